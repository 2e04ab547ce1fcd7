/// The beginning of a tracked disk as a disk of its own: a target may be larger than the source
/// that it was copied from.
#pragma once

#include "replicator/source_replica.h"

namespace drover::replicator {

/// `disk` itself if it has exactly this size. Errors: invalid ("disk_resized") for a smaller one;
/// conflict ("changes_unknown") if blocks beyond the size were written: they have no place.
[[nodiscard]] Result<SourceDisk> prefix_of(SourceDisk disk, std::uint64_t size_bytes);

}  // namespace drover::replicator
