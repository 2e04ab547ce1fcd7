/// Where BPF objects live when no process holds them: names in the BPF file system, kept until the
/// host reboots. One directory for each tracked disk of each job:
///
///   /sys/fs/bpf/drover/JOB-DISK/{dirty,issued_a,issued_b,counters,control,on_*,link_*}
#pragma once

#include "base/result.h"
#include "schemas/model.h"

#include <cstdint>
#include <filesystem>

namespace drover::replicator {

/// Mounts the BPF file system at its usual place if it is not there yet.
/// Errors: unsupported (no such file system, or not allowed to mount it).
[[nodiscard]] Result<> ensure_bpffs();

/// JOB as 32 hexadecimal digits, DISK as a decimal index.
[[nodiscard]] std::filesystem::path pin_directory(const JobId& job, std::uint32_t disk);

/// Errors: io, denied.
[[nodiscard]] Result<> make_pin_directory(const std::filesystem::path& directory);

/// Removes the names; the kernel drops each object with its last user. Missing ones are a success.
[[nodiscard]] Result<> remove_pins(const std::filesystem::path& directory);

}  // namespace drover::replicator
