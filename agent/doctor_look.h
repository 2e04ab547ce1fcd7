/// Gathers what the doctor judges. Reads only; the one thing that leaves a trace for a moment is
/// that the block tracepoints are attached, for no disk, and let go again.
#pragma once

#include "agent/doctor.h"
#include "agent/host_ops.h"

#include <filesystem>

namespace drover::agent {

struct FoundConfig {
    Config config;  ///< defaults if there is no file
    bool exists = false;
};

/// A host may be looked at before it is configured. Errors: those of load_config(), but for a file
/// that does not exist.
[[nodiscard]] Result<FoundConfig> find_config(const std::filesystem::path& file);

/// `root` stands before /proc and /sys. `host`: for the hooks.
[[nodiscard]] HostFacts look_at_host(const Result<FoundConfig>& found, HostOps& host,
                                     const std::filesystem::path& root = "/");

[[nodiscard]] DiskView look_at_disk(HostOps& host, const std::string& path);

}  // namespace drover::agent
