/// Finds what differs on a target that already holds something: XXH3-128 of 1 MiB parents first,
/// then of 64 KiB chunks where parents differ. Only marks; the passes send.
#pragma once

#include "replicator/batch_stream.h"
#include "replicator/source_job.h"

namespace drover::replicator {

constexpr std::uint64_t compare_chunk_bytes = 64U << 10;
constexpr std::uint64_t compare_parent_bytes = 1U << 20;

/// Compares every disk that is in phase comparing, from its cursor on. False if interrupted. No
/// dirty bit is cleared, so a write at any moment keeps its mark. Errors as run_pass.
[[nodiscard]] Result<bool> compare_disks(SourceJob& job, PeerChannel& control, BatchStream& stream);

}  // namespace drover::replicator
