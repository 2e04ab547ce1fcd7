/// Taking filesystems and swap off a disk. What cannot be taken off is named with its holder.
#pragma once

#include "agent/block_nodes.h"
#include "agent/host_ops.h"
#include "base/result.h"

#include <string>
#include <vector>

namespace drover::agent {

/// Everything that uses `disk` now: mounts (of every namespace), swap, holders, writers.
[[nodiscard]] Result<std::vector<DiskUse>> disk_uses(const DiskNodes& disk);

/// Unmounts everything of `disk` in this namespace, newest first; waits up to 2 s for users that
/// are just leaving. Errors: unavailable ("disk_busy"), detail naming the holders.
[[nodiscard]] Result<> unmount_disk(const DiskNodes& disk);

[[nodiscard]] Result<> swap_off_disk(const DiskNodes& disk);

/// What this host keeps on the disk itself, for people; `state` is the agent's state directory.
[[nodiscard]] Result<std::vector<std::string>> own_files_on(const DiskNodes& disk,
                                                            const std::string& state);

[[nodiscard]] std::string joined(const std::vector<std::string>& parts, std::size_t shown_max);

}  // namespace drover::agent
