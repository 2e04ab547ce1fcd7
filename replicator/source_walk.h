/// The comparison that never ends: between passes a walker goes round the disks, range by range,
/// and compares both ends by XXH3-128. It trusts neither the tracker nor the reading back, costs
/// little, and must never find anything: what it finds is an alarm, and is sent again.
///
///   next range ─► anything dirty, pending or unread in it? skip
///             ─► both ends hash it ─► equal: on
///             ─► differs ─► written meanwhile? skip ─► else again ─► the third time: alarm
///
/// Three looks, because a write may be seen by a read before its completion is tracked.
#pragma once

#include "replicator/peer_channel.h"
#include "replicator/source_job.h"

namespace drover::replicator {

constexpr std::uint64_t walk_range_bytes = 4U << 20;
constexpr std::uint64_t walk_chunk_bytes = 64U << 10;
constexpr int walk_looks_max = 3;
/// Looks at a range that differs while the tracker is too busy to vouch for it; the next round
/// comes by again.
constexpr int walk_unclear_max = 20;

/// One range, if it is due. Only while every disk is tracked and nothing is in flight. Errors: io
/// (of the source's disk), those of the link.
[[nodiscard]] Result<> walk_if_due(SourceJob& job, PeerChannel& control);

}  // namespace drover::replicator
