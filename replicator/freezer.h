/// Holds the filesystems on a job's disks still for a moment, so that what is on the disks is more
/// than what a power cut would leave. Implemented where filesystems are known (agent/freezer.h);
/// used by the source's pass that seals a point.
///
///   prepare ─► settle ... ─► freeze ─► (read what is dirty, into memory) ─► thaw ─► kind of point
#pragma once

#include "base/result.h"
#include "schemas/model.h"

#include <string>

namespace drover::replicator {

class Freezer {
  public:
    virtual ~Freezer() = default;  ///< thaws

    /// Opens and starts everything that freeze() and thaw() need: from freeze() to thaw() nothing
    /// may be opened, started or logged, since it might need what is frozen. Blocks.
    [[nodiscard]] virtual Result<> prepare() = 0;
    /// Writes out what the filesystems hold in memory, so that freezing is short. Blocks.
    [[nodiscard]] virtual Result<> settle() = 0;
    /// No filesystem of the disks is written from here on, until thaw() or, whatever happens to
    /// this process, until the time limit. Blocks for what is still to be written out. After an
    /// error nothing is frozen.
    [[nodiscard]] virtual Result<> freeze() = 0;
    /// What the time between was worth. Errors: timed_out ("freeze_ended_early"): the limit passed
    /// before; the disks were written meanwhile, perhaps.
    [[nodiscard]] virtual Result<PointKind> thaw() = 0;
};

/// A point that was asked for.
struct SealedPoint {
    std::uint64_t batch = 0;  ///< names it
    WallMicros taken_micros = 0;
    PointKind kind = PointKind::crash;
    std::int64_t frozen_ms = 0;

    bool operator==(const SealedPoint&) const = default;
};

[[nodiscard]] Error points_not_possible(std::string why);

}  // namespace drover::replicator
