/// What block tracepoints need of a host and of a disk, looked at piece by piece and without
/// changing anything: ebpf_can_track() refuses by it, `drover-agent doctor` explains it.
#pragma once

#include "base/result.h"
#include "replicator/device.h"

#include <filesystem>
#include <string>

namespace drover::replicator {

enum class Bpffs : std::uint8_t {
    writable,
    read_only,
    absent  ///< the tracker mounts it when it is needed
};

struct TracingHost {
    std::uint64_t capabilities = 0;  ///< effective ones of this process, as a bit set
    bool has_btf = false;
    std::string lockdown;  ///< "none", "integrity", "confidentiality"; empty: the kernel has none
    Bpffs bpffs = Bpffs::absent;

    [[nodiscard]] bool may_trace() const;
};

/// `root` stands before /proc and /sys.
[[nodiscard]] TracingHost look_at_tracing(const std::filesystem::path& root = "/");

/// Errors: unsupported ("ebpf_unsupported") with the first reason why nothing can be traced.
[[nodiscard]] Result<> tracing_allowed(const TracingHost& host);

/// Request-based whole disks only: block_rq_* never fires on others, and what fires there instead
/// reports split writes without their heads. Errors: unsupported ("ebpf_unsupported").
[[nodiscard]] Result<> tracepoints_cover(const DeviceFacts& facts,
                                         const std::filesystem::path& root = "/");

/// Loads both programs for a disk that does not exist, attaches them and lets them go: nothing is
/// pinned and nothing is marked. Errors: unsupported, with what the kernel said.
[[nodiscard]] Result<> try_tracepoints();

}  // namespace drover::replicator
