# The BPF tracker. The audit's arithmetic runs anywhere; the rest needs root and loop devices, and says
# so if it has none.
drover_test(audit_ledger_test LIBS drover_replicator SOURCES audit_ledger_test.cc)
drover_test(ebpf_tracker_test LIBS drover_replicator LABELS e2e TIMEOUT 180
  SOURCES ebpf_tracker_test.cc ebpf_copy_test.cc ebpf_point_test.cc loop_disk.cc)
drover_test(free_space_test LIBS drover_replica_lab LABELS e2e TIMEOUT 600
  SOURCES free_space_test.cc filesystem_bench.cc loop_disk.cc skip_disk_test.cc)
# Databases on a tracked disk. The pass is compiled again for its mutant: the negative control.
drover_test(database_point_test LIBS drover_replica_lab sqlite3 LABELS e2e TIMEOUT 300
  SOURCES database_point_test.cc ledger.cc filesystem_bench.cc loop_disk.cc
          ${PROJECT_SOURCE_DIR}/replicator/source_pass.cc)
target_compile_definitions(database_point_test PRIVATE DROVER_MUTANTS)
