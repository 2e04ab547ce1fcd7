/// Finds the moments at which what was collected is what a power cut of the source would leave: a
/// point, without freezing anything and without a snapshot.
///
///   begin ─► take every dirty word, read, send ─► look
///     E                                            E' == E on every disk, every audit exact: quiet
///                                                  else: keep the batch open and go round again
///
/// Why it holds: a completed write sets its bit, then counts in the sequence, and only then does
/// the writer learn of it. If the sequence did not move, no write completed while the batch was
/// read; so every write acknowledged before `look` was read after it was made, on whichever disk.
/// What the batch does not hold has not changed since the last point. Writes in flight may be
/// there, partly or not at all, as after a power cut. The audit proves that no event was lost.
#pragma once

#include "replicator/tracker.h"

#include <vector>

namespace drover::replicator {

class QuietWindow {
  public:
    using Trackers = std::vector<ChangeTracker*>;

    /// The trackers of all disks of a job; they outlive the window.
    explicit QuietWindow(Trackers trackers)
        : trackers_(std::move(trackers)) {}

    /// False if one of them only compares content: it does not see when a write completes.
    [[nodiscard]] bool is_possible() const;

    /// Before the first dirty word of the round is taken.
    void begin();

    struct Sight {
        bool is_quiet = false;
        /// Of each disk. Not looked at (verdict busy) once an earlier disk was not quiet; whoever
        /// finds "lost" has the disk compared, as after any audit.
        std::vector<Audit> audits;
    };

    /// After the last read of the round. Errors: io.
    [[nodiscard]] Result<Sight> look();

  private:
    Trackers trackers_;
    std::vector<std::uint64_t> began_;
};

}  // namespace drover::replicator
