/// Hashes of what a disk holds, for both ends of a comparison. Reads the device, never a cache of
/// ours.
#pragma once

#include "replicator/device.h"
#include "replicator/digest.h"

#include <functional>
#include <vector>

namespace drover::replicator {

/// Called between reads: an error ends the work (stopped), and the target says that it is alive.
using Between = std::function<Result<>()>;

/// XXH3-128 of every chunk of [offset, offset + length); the last may be shorter. Errors: io, and
/// whatever `between` returns.
[[nodiscard]] Result<std::vector<Digest>> read_digests(BlockDevice& device, std::uint64_t offset,
                                                       std::uint64_t length,
                                                       std::uint64_t chunk_bytes,
                                                       const Between& between);

/// Leaves as merkle.h defines them.
[[nodiscard]] Result<std::vector<Hash>> read_leaves(BlockDevice& device, std::uint64_t offset,
                                                    std::uint64_t length, std::uint64_t leaf_bytes,
                                                    const Between& between);

}  // namespace drover::replicator
