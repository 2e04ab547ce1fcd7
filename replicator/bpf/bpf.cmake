# drover_add_ebpf(TARGET): adds the BPF tracker to a library. The programs are compiled to BPF bytecode
# and embedded as a generated header; without a BPF compiler the library says "unsupported" at run time
# and disks are scanned instead. The compiler is clang whatever compiles the rest.
option(DROVER_EBPF "Build the block tracepoint programs (needs clang and bpftool)" ON)
find_program(DROVER_BPF_CLANG NAMES clang clang-19 clang-16 clang-14)
find_program(DROVER_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin)

function(drover_add_ebpf target)
  set(here ${PROJECT_SOURCE_DIR}/replicator)
  target_sources(${target} PRIVATE ${here}/audit_ledger.cc ${here}/bpffs.cc ${here}/diskstats.cc
    ${here}/ebpf_host.cc)
  if(NOT DROVER_EBPF OR NOT DROVER_BPF_CLANG OR NOT DROVER_BPFTOOL)
    message(STATUS "No clang or no bpftool, or DROVER_EBPF is off: changed blocks are found by comparing content")
    target_sources(${target} PRIVATE ${here}/ebpf_unavailable.cc)
    return()
  endif()
  set(out ${PROJECT_BINARY_DIR}/generated/bpf)
  set(skeleton ${out}/block_track.skel.h)
  file(MAKE_DIRECTORY ${out})
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND ${DROVER_BPF_CLANG} -target bpf -O2 -g -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter
            -c ${here}/bpf/block_track.bpf.c -o ${out}/block_track.bpf.o
    COMMAND ${DROVER_BPFTOOL} gen skeleton ${out}/block_track.bpf.o name block_track > ${skeleton}.part
    COMMAND ${CMAKE_COMMAND} -E rename ${skeleton}.part ${skeleton}
    DEPENDS ${here}/bpf/block_track.bpf.c ${here}/bpf/core_types.h ${here}/bpf/track_layout.h
    COMMENT "BPF programs: block_track"
    VERBATIM)
  target_sources(${target} PRIVATE ${here}/ebpf_support.cc ${here}/ebpf_tracker.cc
    ${here}/kernel_tracker.cc ${skeleton})
  target_include_directories(${target} SYSTEM PRIVATE ${out})
  target_link_libraries(${target} PRIVATE PkgConfig::LIBBPF)
endfunction()
