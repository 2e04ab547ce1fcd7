/// Everything of one source replica that outlives a connection, for the functions that do its work:
/// source_connect.h, source_pass.h, source_compare.h, source_read_back.h, source_walk.h,
/// source_verify.h.
#pragma once

#include "base/threads.h"
#include "replicator/peer_message.h"
#include "replicator/rate_limit.h"
#include "replicator/source_report.h"
#include "replicator/wishes.h"

#include <atomic>

namespace drover::replicator {

/// Where the walker is (source_walk.h).
struct Walk {
    std::uint32_t disk = 0;
    std::uint64_t offset = 0;   ///< bytes
    int looks = 0;              ///< at this range, that found it differing and not written
    int unclear = 0;            ///< likewise, but nobody could say whether it was written
    SteadyMillis due_ms = 0;    ///< of the next look
    SteadyMillis began_ms = 0;  ///< of this round
};

struct SourceJob {
    SourceJob(SourceConfig given, SourceState earlier, SourceObserver& observer, Clock& time,
              Random& randomness);

    SourceConfig config;  ///< as given; what may change is in `wishes`
    SourceState state;
    Wishes wishes;
    SourceReport report;
    Clock& clock;
    Random& random;
    Mutex tracker_mutex;  ///< around refresh, observe, audit and seq of the trackers
    /// Disks (one bit each) whose audit was lost while another thread looked.
    std::atomic<std::uint32_t> lost_disks = 0;
    RateLimit rate;
    std::uint64_t serial = 0;  ///< of the ticket that the present connection shows
    // Of the replica's thread.
    bool makes_points = false;     ///< the present target keeps a journal
    bool reads_back = false;       ///< the present target reads back what it writes, and says so
    BulkCodecs codecs;             ///< that the present target knows
    ReadBackFound read_back_seen;  ///< its last word in the present connection
    int read_back_rounds = 0;      ///< drains in a row that ended with something that differs
    Walk walk;

    [[nodiscard]] BlockDevice& device(std::size_t disk) { return *config.disks[disk].device; }

    [[nodiscard]] ChangeTracker& tracker(std::size_t disk) { return *config.disks[disk].tracker; }

    [[nodiscard]] std::uint64_t size(std::size_t disk) { return device(disk).facts().size_bytes; }

    [[nodiscard]] std::size_t disks() const { return config.disks.size(); }

    /// The present step should end soon: stopped, a newer ticket, or no passes wanted any more.
    [[nodiscard]] bool interrupted() const {
        return wishes.is_over(serial) || !wishes.wants_passes();
    }
};

/// Bytes of a disk not known to be durable on the target; all of it while that is unknown.
/// Thread-safe.
[[nodiscard]] std::uint64_t backlog_of(SourceJob& job, std::size_t disk);
[[nodiscard]] SourceReport::Backlogs backlogs_of(SourceJob& job);
/// The first copy of every disk is complete, and none is being compared.
[[nodiscard]] bool all_tracked(const SourceJob& job);
[[nodiscard]] std::uint64_t total_backlog(SourceJob& job);

/// Passes on the figures.
void tell_progress(SourceJob& job);
/// Passes them on if they are due.
void report_progress(SourceJob& job);

/// A disk whose content on the target is no longer known starts over with a comparison, under a new
/// generation. Errors: conflict "changes_unknown" on the way back, for good.
[[nodiscard]] Result<> compare_anew(SourceJob& job, std::size_t disk, const std::string& cause);

/// Success if every disk has the size that it was planned with. One that has not is compared as a
/// whole once it has it again. Errors: io ("disk_resized").
[[nodiscard]] Result<> check_sizes(SourceJob& job);

}  // namespace drover::replicator
