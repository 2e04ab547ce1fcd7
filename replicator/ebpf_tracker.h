/// Changed-block tracking by two BPF programs on the kernel's block tracepoints. Only this header's
/// .cc includes libbpf. Programs: bpf/block_track.bpf.c.
///
///   block_rq_complete ─► dirty[] bits, sector counters, seq      (decides what is copied)
///   block_rq_issue ────► issued[] bits                           (repair only)
///   /sys/block/X/stat ─► audit(): exact, repaired, lost
///
/// Links and maps are pinned in bpffs under drover/JOB-DISK, so a killed agent loses nothing.
#pragma once

#include "replicator/tracker.h"

namespace drover::replicator {

[[nodiscard]] Result<std::unique_ptr<ChangeTracker>> open_ebpf_tracker(
    BlockDevice& device, const TrackerOptions& options);

}  // namespace drover::replicator
