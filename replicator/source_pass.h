/// One pass over the disks: bring the trackers up to date, take what is dirty, read it, send it,
/// commit. The first sweep of a disk is the same walk with a durable cursor.
#pragma once

#include "replicator/batch_stream.h"
#include "replicator/quiet_window.h"
#include "replicator/source_job.h"

#include <optional>

namespace drover::replicator {

struct PassFacts {
    std::uint64_t backlog_bytes = 0;  ///< when it began
    std::uint64_t sent_bytes = 0;     ///< payload
    std::int64_t refresh_ms = 0;      ///< what bringing the trackers up to date took
    bool is_complete = false;         ///< false: interrupted, everything sent was committed
    bool is_audited = false;          ///< every tracker's audit was exact
    bool is_point = false;            ///< it ended in a quiet window
};

/// Returns with everything it sent acknowledged. Disks must be past comparing. Errors: io (a disk
/// of the source failed or changed its size), those of the links, whatever the target refuses with.
[[nodiscard]] Result<PassFacts> run_pass(SourceJob& job, BatchStream& stream);

/// Sends what was read at `offset`; the tracker learns what is sent, exactly. Waits as the rate
/// limit says.
[[nodiscard]] Result<> send_read(SourceJob& job, BatchStream& stream, std::size_t disk,
                                 std::uint64_t offset, ByteView data, PassFacts& facts);

/// The end of a round of the window: if it was quiet, a time that the point is as of, so that
/// whatever completed before it was read. What the audits say is passed on: they say it once.
[[nodiscard]] Result<std::optional<WallMicros>> look(SourceJob& job, QuietWindow& window);

/// Refreshes and audits the trackers of disks that are past their first sweep. Returns whether
/// every audit was exact. A lost audit sends its disk back to comparing.
[[nodiscard]] Result<bool> refresh_trackers(SourceJob& job);

}  // namespace drover::replicator
