/// Space set aside on the log's volume, to be given up when a full volume keeps the log from
/// opening: recovery has to write before it can read.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <filesystem>

namespace drover::eventlog {

/// Bytes that an unprivileged writer may still use on the volume of `path`; 0 when unknown.
[[nodiscard]] std::uint64_t volume_free_bytes(const std::filesystem::path& path);

/// Sets `bytes` aside in the file `path` unless they are already, or the volume has less than twice
/// as much left: then the log comes first and the ballast waits for the next start. True if set
/// aside.
[[nodiscard]] Result<bool> keep_ballast(const std::filesystem::path& path, std::uint64_t bytes);

/// Gives the space back. False if there was none.
[[nodiscard]] Result<bool> release_ballast(const std::filesystem::path& path);

}  // namespace drover::eventlog
