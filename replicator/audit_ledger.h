/// Did the BPF programs see every write? A pure function over counters; the tracker takes the
/// samples and applies the remedies.
///
///   kernel   sectors that the kernel says were completed        (never misses one)
///   traced   sectors that block_rq_complete reported            (may miss one)
///   issued   sectors that block_rq_issue reported                (may miss one; counts a requeue
///   twice)
///
///   missing = kernel - base - lost - traced    > 0: events were lost
///   drift   = issued - (kernel - base)         constant while no write is in flight;
///                                              falls when issue events are lost
///
/// A lost completion is repaired from the blocks that block_rq_issue marked, unless issue events
/// were lost in the same window: then nobody knows where the write went. A window ends when an
/// audit is exact with no write in flight, because then every write issued so far is in the dirty
/// map.
///
/// A requeued request is issued twice and raises the drift for good, which may hide a lost issue
/// event. So a raised drift and a lost completion never share a window: whichever comes second, the
/// repair is not believed.
#pragma once

#include "base/clock.h"
#include "replicator/diskstats.h"
#include "replicator/tracker.h"

#include <cstdint>

namespace drover::replicator {

/// What is carried from audit to audit. Counters are modulo 2^64.
struct AuditLedger {
    // Kept across processes, beside the maps:
    SectorCounts base;  ///< kernel - traced when tracking began
    SectorCounts lost;  ///< found missing and dealt with, in total
    std::uint64_t passthrough_seen = 0;
    std::uint64_t out_of_bounds_seen = 0;
    std::uint64_t drift = 0;
    std::uint64_t drift_observations = 0;  ///< drift is trusted from drift_observations_enough on
    std::uint64_t window_lost = 0;         ///< sectors, completion events
    std::uint64_t window_issue_lost = 0;   ///< sectors, issue events
    std::uint64_t repairs = 0;
    // Of this process only:
    SteadyMillis behind_since_ms = 0;  ///< 0: the kernel's counters are not behind
    SteadyMillis unchanged_since_ms = 0;
    std::uint64_t raised = 0;  ///< above drift when last seen with no write in flight; not adopted
    std::uint64_t last_issued = 0;
    SectorCounts last_kernel;
    SteadyMillis rotated_ms = 0;
    std::uint64_t rotated_at_issued = 0;
};

constexpr std::uint64_t drift_observations_enough = 4;
/// A completion stays between the trace and the kernel's accounting for microseconds; a kernel that
/// counts less than was traced for this long has had its accounting switched off meanwhile.
constexpr SteadyMillis behind_ms_max = 2000;
/// So long without any write, a changed drift means requeued requests, which were issued twice.
constexpr SteadyMillis requeue_quiet_ms = 1000;
/// Clearing a side of the issued log costs a walk over it.
constexpr SteadyMillis rotation_ms_min = 1000;

/// Read in this order; only then is missing > 0 never a false alarm.
struct AuditSample {
    SectorCounts traced_before;
    SectorCounts kernel;
    SectorCounts traced_after;
    std::uint64_t passthrough = 0;
    std::uint64_t out_of_bounds = 0;
    std::uint64_t issued = 0;            ///< sectors, discards included
    std::uint64_t writes_in_flight = 0;  ///< looked at only if nothing was traced meanwhile
    bool accounting_on = true;
    SteadyMillis now_ms = 0;
};

enum class Remedy : std::uint8_t { none, mark_issued, mark_all };

/// To be applied in this order: remedy, rotation, then the ledger is stored. A crash in between
/// only makes the next audit do it again.
struct Judgement {
    Audit audit;
    Remedy remedy = Remedy::none;
    bool rotate_issued = false;  ///< clear the side not being marked, then mark that one
    AuditLedger ledger;
};

[[nodiscard]] Judgement judge(const AuditLedger& ledger, const AuditSample& sample);

/// The ledger of a tracker that has just been attached.
[[nodiscard]] AuditLedger first_ledger(const AuditSample& sample);

}  // namespace drover::replicator
