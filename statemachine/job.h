/// The state of one job: what evolve makes of its events, and all that decide and outstanding see.
/// A plain value; copying it is how decisions are tried out.
#pragma once

#include "statemachine/event.h"
#include "statemachine/phase.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace drover::statemachine {

/// The event that made a piece of work outstanding: names its effects (see EffectId).
struct Cause {
    std::uint64_t seq = 0;
    Hash hash;
    WallMicros wall_micros = 0;

    bool operator==(const Cause&) const = default;
};

struct ParkedState {
    EffectKind step = EffectKind::preflight;
    Error error;
    WallMicros since_micros = 0;

    bool operator==(const ParkedState&) const = default;
};

/// After a restore with a loss: nothing is asked of either side until both hold what the log says.
struct Reconciling {
    std::uint64_t old_head_seq = 0;  ///< what the agents took after it is not in the log
    WallMicros since_micros = 0;
    std::array<std::optional<JobWorld>, 2> worlds;  ///< by Side

    bool operator==(const Reconciling&) const = default;
};

struct Rejected {
    std::string id;      ///< stable, for example "cutover_lagging"
    std::string detail;  ///< why, here
    std::string next;    ///< what to do instead

    bool operator==(const Rejected&) const = default;
};

struct Job {
    JobId id;
    Uuid lineage;  ///< of the log; part of every effect id
    JobSpec spec;
    Phase phase = Phase::planned;
    bool exists = false;        ///< false before JobPlanned
    std::uint32_t version = 0;  ///< events applied, CommandRejected included: the stream position

    // Flags beside the phase.
    bool paused = false;
    std::string pause_reason;
    std::optional<ParkedState> parked;
    std::optional<std::string> quarantined;
    Limits limits;

    // Preflight.
    std::array<std::optional<PreflightDone>, 2> preflight;  ///< by Side
    Hash plan_hash;
    std::vector<Finding> findings;  ///< of the last PreflightFailed; empty once one passed

    // The copy.
    DataState data_state = DataState::idle;
    WallMicros data_state_since_micros = 0;
    std::uint64_t backlog_bytes = 0;
    Generation generation;
    std::string generation_lost;      ///< cause of the last loss, empty once in sync again
    std::uint64_t ticket_serial = 0;  ///< seq of MirrorStarted or ResyncStarted
    WallMicros ticket_not_after_micros = 0;
    bool overwrite_acknowledged = false;

    // Cutover.
    std::uint32_t run = 0;
    std::optional<CutoverArmed> armed;
    std::optional<FenceToken> token;  ///< of the present run, from CutoverStarted on
    std::optional<FenceProof> fence;
    WallMicros cutover_started_micros = 0;
    WallMicros outage_deadline_micros = 0;
    bool deadline_passed = false;
    std::vector<ByteRange> repair;
    std::uint32_t repairs = 0;
    std::vector<DiskProof> proof;
    bool activate_derived = false;  ///< Activate was wanted in this run: the target may be live
    WallMicros activated_micros = 0;
    bool target_took_writes = false;  ///< since the last time both sides were equal
    std::uint64_t target_bytes_written = 0;
    WallMicros hold_deadline_micros = 0;
    bool decision_overdue = false;
    bool fence_breached = false;
    bool fence_broken = false;

    // Rollback. Kept until the next CutoverStarted, so that late reports of this run are
    // recognised.
    std::optional<RollbackStarted> rollback;
    bool reverse_verified = false;  ///< mode keep: the source holds what the target wrote
    bool target_deactivated = false;
    bool target_stop_confirmed =
        false;                        ///< by a person; Deactivate stays outstanding until answered
    bool deactivate_pending = false;  ///< carried into later phases after TargetStopConfirmed
    /// Token of a fence that was reported after its run was over: Release is owed in any phase.
    std::optional<FenceToken> release_pending;

    // Clean-up.
    std::array<bool, 2> cleaned_up{};  ///< by Side
    bool deletion_wanted = false;
    bool data_deleted = false;

    // Links and attempts.
    std::array<bool, 2> agent_connected{};
    std::uint32_t attempt = 0;

    Cause phase_cause;  ///< the event that entered the phase, or the last RetryStarted in it
    Cause run_cause;    ///< the last CutoverStarted: reports of older effects are of older runs
    Cause copy_cause;   ///< the last MirrorStarted or ResyncStarted: names Replicate
    Cause fence_cause;  ///< SourceFenced: names HoldFence
    Cause deactivate_cause;  ///< RollbackStarted of the run: names Deactivate wherever it is
                             ///< outstanding
    Cause release_cause;     ///< the late SourceFenced: names the Release of release_pending
    Cause deletion_cause;
    Cause wake_cause;  ///< the event that set the earliest deadline: names WakeAt
    WallMicros phase_since_micros = 0;
    WallMicros created_micros = 0;

    // After a restore with a loss.
    std::optional<Reconciling> reconciling;
    bool resolved = false;  ///< ended by a person as it was found: every fence stays

    // Tests.
    std::optional<StartTestDone> test;  ///< once it runs
    bool test_reverting = false;

    // How equality is shown.
    /// The present Verify confirms the proof by induction alone. Part of the effect's content, so
    /// it changes only with a new cause.
    bool verifies_by_induction = false;
    /// A comparison found a difference, and none has shown since that it is gone.
    bool copy_suspect = false;
    std::vector<DiskProof> hold_proof;    ///< of the comparison during the hold, once it is done
    std::vector<ByteRange> hold_written;  ///< what that comparison left out
    bool copy_differs = false;            ///< that comparison found a difference
    bool comparison_waived = false;

    // The way back with the target's writes.
    bool changes_known = false;  ///< the deactivated target says what its users changed
    std::uint64_t target_changed_bytes = 0;

    bool operator==(const Job&) const = default;
};

}  // namespace drover::statemachine
