/// Seals a point at a moment that is chosen, not found: with the filesystems frozen, what is dirty
/// is read into memory, and sent once they are thawed.
///
///   passes until little is dirty ─► freeze ─► rounds until quiet, into the spool ─► thaw ─► send,
///   COMMIT
#pragma once

#include "replicator/batch_stream.h"
#include "replicator/freezer.h"
#include "replicator/source_job.h"

#include <optional>
#include <string>

namespace drover::replicator {

/// What may be dirty when the filesystems are frozen, and what may be read while they are.
constexpr std::uint64_t seal_backlog_bytes_max = 4U << 20;
constexpr std::uint64_t spool_bytes_max = 32U << 20;

struct SealOutcome {
    SealedPoint point;
    /// There is no point: unavailable ("points_not_possible", "freeze_backlog_too_large",
    /// "freeze_never_quiet"), timed_out ("freeze_ended_early"), or what the freezer says.
    std::optional<Error> refused;
};

/// On the replica's thread, between passes. When it returns a point, the target holds it durably.
/// Whatever was read is sent and committed in any case. Errors: those that end the connection.
[[nodiscard]] Result<SealOutcome> seal_point(SourceJob& job, BatchStream& stream, Freezer& freezer);

}  // namespace drover::replicator
