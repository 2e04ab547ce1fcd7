#include "statemachine/evolve.h"

#include "base/assert.h"
#include "base/mutation.h"
#include "base/sha256.h"
#include "statemachine/json_text.h"
#include "statemachine/transitions.h"
#include "statemachine/wanted.h"

namespace drover::statemachine {
namespace {

constexpr WallMicros second_micros = 1'000'000;

template <class Pair>
auto& at(Pair& pair, Side side) {
    return pair.at(static_cast<std::size_t>(side));
}

/// What each fact changes beside the phase. Called after phase, phase_cause and attempt are set.
class Applier {
  public:
    Applier(Job& job, Phase from, const EventPosition& position)
        : job_(job),
          from_(from),
          cause_{position.seq, position.hash, position.wall_micros} {}

    // ---- planning ----

    void operator()(const JobPlanned& fact) {
        job_.exists = true;
        job_.spec = fact.spec;
        job_.limits = fact.spec.limits;
        job_.created_micros = cause_.wall_micros;
        job_.phase_since_micros = cause_.wall_micros;
        job_.phase_cause = cause_;
    }

    void operator()(const PreflightChecked& fact) { at(job_.preflight, fact.side) = fact.result; }

    void operator()(const PreflightPassed& fact) {
        job_.plan_hash = fact.plan_hash;
        job_.findings.clear();
    }

    void operator()(const PreflightFailed& fact) { job_.findings = fact.findings; }

    // ---- the copy ----

    void operator()(const MirrorStarted&) {
        start_copy();
        set_data_state(DataState::mirroring);
    }

    void operator()(const MirrorCompleted& fact) {
        job_.generation = fact.generation;
        // The agent may have said more about the copy already; only a state of before is outdated.
        if (job_.data_state == DataState::idle || job_.data_state == DataState::mirroring) {
            set_data_state(DataState::catching_up);
        }
    }

    void operator()(const DataStateChanged& fact) {
        set_data_state(fact.state);
        job_.generation = fact.generation;
        job_.backlog_bytes = fact.backlog_bytes;
        if (fact.state == DataState::in_sync) {
            job_.generation_lost.clear();
            job_.target_took_writes = false;
        }
    }

    void operator()(const GenerationLost& fact) {
        job_.generation_lost = fact.cause;
        if (job_.phase != Phase::mirroring) set_data_state(DataState::rescanning);
    }

    // ---- tests ----

    void operator()(const TestStarted&) { end_test(); }

    void operator()(const TestReady& fact) { job_.test = fact.test; }

    void operator()(const TestRevertStarted&) {
        job_.test_reverting = true;
        job_.phase_cause = cause_;  // names RevertTest
        go_on();
    }

    void operator()(const TestReverted&) { end_test(); }

    void operator()(const ResyncStarted& fact) {
        start_copy();
        // An activated target has voided its generation: everything is compared again.
        set_data_state(job_.activate_derived ? DataState::rescanning : DataState::catching_up);
        job_.run = fact.run;
        // What the source has taken over is no loss.
        job_.overwrite_acknowledged = !fact.acknowledged_loss.empty() || job_.reverse_verified;
        job_.armed.reset();
        job_.outage_deadline_micros = 0;
        job_.hold_deadline_micros = 0;
        job_.deletion_wanted = false;
        job_.data_deleted = false;
        go_on();
    }

    // ---- cutover ----

    void operator()(const CutoverArmed& fact) {
        job_.armed = fact;
        job_.wake_cause = cause_;
    }

    void operator()(const Disarmed&) { job_.armed.reset(); }

    void operator()(const CutoverStarted& fact) {
        job_.run = fact.run;
        job_.token = fact.token;
        job_.run_cause = cause_;
        job_.wake_cause = cause_;
        job_.cutover_started_micros = cause_.wall_micros;
        job_.outage_deadline_micros = fact.deadline_micros;
        forget_last_run();
    }

    void operator()(const SourceFenced& fact) {
        if (job_.token == fact.proof.token) {
            job_.fence = fact.proof;
            job_.fence_cause = cause_;
        }
        if (job_.phase == from_ && from_ != Phase::rolling_back) {
            job_.release_pending = fact.proof.token;
            job_.release_cause = cause_;
        }
    }

    void operator()(const FenceRefused& fact) {
        job_.backlog_bytes = fact.backlog_bytes;
        job_.outage_deadline_micros = 0;
        // The time has been used up: from here a person starts the cutover again.
        if (job_.armed) job_.armed->at_micros = 0;
    }

    void operator()(const DeltaDrained& fact) { job_.verifies_by_induction = fact.by_induction; }

    void operator()(const MismatchFound& fact) {
        job_.repair = fact.ranges;
        job_.repairs += 1;
        job_.copy_suspect = true;
    }

    void operator()(const TargetVerified& fact) {
        job_.proof = fact.disks;
        if (!job_.verifies_by_induction) job_.copy_suspect = false;
        job_.overwrite_acknowledged = false;  // used up: both sides are equal again
    }

    void operator()(const TargetActivated& fact) {
        job_.activated_micros =
            fact.activated_micros != 0 ? fact.activated_micros : cause_.wall_micros;
        job_.target_took_writes = true;
        job_.activate_derived = true;
        if (job_.phase != from_) return;
        // Late: this run has been given up. If the target had answered that it is down, it is not.
        if (job_.target_deactivated || from_ != Phase::rolling_back) job_.deactivate_cause = cause_;
        job_.target_deactivated = false;
        if (from_ != Phase::rolling_back) job_.deactivate_pending = true;
    }

    void operator()(const ActivationFailed&) {}

    void operator()(const TargetValidated&) { start_hold(); }

    void operator()(const ValidationWaived&) {
        start_hold();
        job_.parked.reset();
    }

    void operator()(const ValidationFailed&) {}

    void operator()(const Committed&) {
        set_data_state(DataState::idle);
        go_on();
    }

    void operator()(const DeadlinePassed&) {
        if (job_.phase == Phase::holding) {
            job_.decision_overdue = true;
        } else {
            job_.deadline_passed = true;
        }
    }

    void operator()(const FenceBreached&) { job_.fence_breached = true; }

    void operator()(const FenceBroken&) { job_.fence_broken = true; }

    void operator()(const HoldCompared& fact) {
        job_.hold_proof = fact.disks;
        job_.hold_written = fact.written;
    }

    void operator()(const CopyDiffers&) { job_.copy_differs = true; }

    void operator()(const ComparisonWaived&) {
        job_.comparison_waived = true;
        job_.parked.reset();
    }

    // ---- the way back ----

    void operator()(const RollbackStarted& fact) {
        job_.rollback = fact;
        job_.deactivate_cause = cause_;
        go_on();
    }

    void operator()(const TargetDeactivated& fact) {
        job_.target_deactivated = true;
        job_.deactivate_pending = false;
        job_.target_bytes_written = fact.bytes_written;
        job_.changes_known = fact.changes_known;
        job_.target_changed_bytes = fact.changed_bytes;
        if (fact.was_active || fact.bytes_written != 0) job_.target_took_writes = true;
    }

    void operator()(const TargetStopConfirmed&) {
        job_.target_stop_confirmed = true;
        job_.target_took_writes = true;  // nobody can say that it did not
    }

    void operator()(const TargetFenced&) {}

    void operator()(const ReverseDrained&) {}

    void operator()(const ReverseVerified& fact) {
        job_.proof = fact.disks;
        job_.reverse_verified = true;
        job_.target_took_writes = false;  // the source holds them too
    }

    void operator()(const ReverseAbandoned& fact) {
        DROVER_ASSERT(job_.rollback.has_value());
        job_.rollback->mode = RollbackMode::discard;
        job_.rollback->acknowledged_loss = fact.acknowledged_loss;
        if (job_.reverse_verified) {
            // A Release that could not keep them was asked for already: this one has another name.
            job_.reverse_verified = false;
            job_.target_took_writes = true;
            job_.phase_cause = cause_;
        }
        job_.parked.reset();
    }

    void operator()(const SourceReleased&) {
        job_.release_pending.reset();
        if (job_.phase == from_) return;
        job_.outage_deadline_micros = 0;
        set_data_state(DataState::idle);
        // Released on a person's word, or before a late activation became known.
        if (job_.activate_derived && !job_.target_deactivated) job_.deactivate_pending = true;
    }

    // ---- the end ----

    void operator()(const Cancelled&) {
        // The overlay comes down before anything else is done to the target's disks.
        if (from_ == Phase::testing) job_.test_reverting = true;
        set_data_state(DataState::idle);
        go_on();
    }

    void operator()(const CleanedUp& fact) { at(job_.cleaned_up, fact.side) = true; }

    void operator()(const DeletionStarted&) {
        job_.deletion_wanted = true;
        job_.data_deleted = false;
        job_.deletion_cause = cause_;
    }

    void operator()(const TargetDataDeleted&) { job_.data_deleted = true; }

    // ---- flags ----

    void operator()(const Paused& fact) {
        job_.paused = true;
        job_.pause_reason = fact.reason;
    }

    void operator()(const Resumed&) {
        job_.paused = false;
        job_.pause_reason.clear();
        renew_ticket();
    }

    void operator()(const Parked& fact) {
        job_.parked = ParkedState{fact.step, fact.error, cause_.wall_micros};
    }

    void operator()(const Unparked&) {
        job_.parked.reset();
        renew_ticket();
    }

    void operator()(const Quarantined& fact) { job_.quarantined = fact.reason; }

    void operator()(const QuarantineLifted&) { job_.quarantined.reset(); }

    void operator()(const LimitsChanged& fact) { job_.limits = fact.limits; }

    void operator()(const RetryStarted& fact) {
        job_.attempt = fact.attempt;
        if (!DROVER_MUTANT("retry_keeps_cause")) job_.phase_cause = cause_;
        renew_ticket();
        if (job_.phase <= Phase::ready) job_.preflight = {};
        if (job_.phase == Phase::rolling_back) job_.deactivate_cause = cause_;
        // Whatever made the last attempt fail: the second one looks at every byte.
        if (job_.phase == Phase::verifying) job_.verifies_by_induction = false;
        renew_debts();
    }

    void operator()(const AgentLost& fact) { at(job_.agent_connected, fact.side) = false; }

    void operator()(const AgentBack& fact) { at(job_.agent_connected, fact.side) = true; }

    void operator()(const CommandRejected&) {}

    // ---- after a restore ----

    void operator()(const ReconcileStarted& fact) {
        job_.reconciling = Reconciling{fact.old_head_seq, cause_.wall_micros, {}};
    }

    void operator()(const WorldSeen& fact) {
        if (job_.reconciling) at(job_.reconciling->worlds, fact.world.side) = fact.world;
    }

    void operator()(const Reconciled&) {
        job_.reconciling.reset();
        // Whether it was disarmed after the copy was made is not known.
        if (job_.armed) job_.armed->at_micros = 0;
        renew_ticket();
    }

    void operator()(const ResolvedToTarget&) { resolve(); }

    void operator()(const ResolvedToSource&) { resolve(); }

    void operator()(const ResolvedToNeither&) { resolve(); }

  private:
    /// Nothing is owed any more that would open or close a disk for anybody.
    void resolve() {
        job_.reconciling.reset();
        job_.resolved = true;
        job_.release_pending.reset();
        job_.deactivate_pending = false;
        job_.deletion_wanted = false;
        job_.cleaned_up = {};
        end_test();
        job_.phase_cause = cause_;
        set_data_state(DataState::idle);
        go_on();
    }

    void end_test() {
        job_.test.reset();
        job_.test_reverting = false;
    }

    void set_data_state(DataState state) {
        if (job_.data_state != state) job_.data_state_since_micros = cause_.wall_micros;
        job_.data_state = state;
    }

    void start_copy() {
        job_.copy_cause = cause_;
        job_.ticket_serial = cause_.seq;
        renew_ticket();
    }

    /// Besides a new copy, whatever a person does to get a job going again gives its agents a
    /// ticket for another 30 days.
    void renew_ticket() {
        if (job_.ticket_serial != 0)
            job_.ticket_not_after_micros = cause_.wall_micros + ticket_life_micros;
    }

    void start_hold() {
        job_.wake_cause = cause_;
        job_.hold_deadline_micros = cause_.wall_micros + job_.spec.hold_s * second_micros;
    }

    void renew_debts() {
        if (job_.deactivate_pending) job_.deactivate_cause = cause_;
        if (job_.release_pending) job_.release_cause = cause_;
        if (job_.deletion_wanted && !job_.data_deleted) job_.deletion_cause = cause_;
    }

    /// A person or a deadline chose another way: what held the job up on the old one is over.
    void go_on() {
        // What is owed whatever the way is done anew if it had failed: under its old name it would
        // only be answered with the old failure.
        if (job_.parked) renew_debts();
        job_.paused = false;
        job_.pause_reason.clear();
        job_.parked.reset();
    }

    void forget_last_run() {
        job_.fence.reset();
        job_.deadline_passed = false;
        job_.repair.clear();
        job_.repairs = 0;
        job_.proof.clear();
        job_.activate_derived = false;
        job_.activated_micros = 0;
        job_.target_bytes_written = 0;
        job_.hold_deadline_micros = 0;
        job_.decision_overdue = false;
        job_.fence_breached = false;
        job_.fence_broken = false;
        job_.rollback.reset();
        job_.reverse_verified = false;
        job_.target_deactivated = false;
        job_.target_stop_confirmed = false;
        job_.verifies_by_induction = false;
        job_.hold_proof.clear();
        job_.hold_written.clear();
        job_.copy_differs = false;
        job_.comparison_waived = false;
        job_.changes_known = false;
        job_.target_changed_bytes = 0;
    }

    Job& job_;
    Phase from_;
    Cause cause_;
};

Error not_legal(const Job& job, EventKind kind) {
    return Error(
        Errc::corrupt, "history_not_legal",
        std::string(name_of(kind)) + " cannot happen in phase " + std::string(name_of(job.phase)),
        "the job's state is as before this event",
        "report this; the job stays as it is until its quarantine is lifted");
}

/// Activate counts as derived from the first state in which outstanding() would want it. The fact
/// that enters the phase may be followed at once by the Paused that the armed cutover asked for.
bool derives_activate(const Job& job, EventKind kind) {
    if (job.phase != Phase::activating) return false;
    const bool is_void = job.fence_breached && !DROVER_MUTANT("breach_ignored");
    if (job.paused || job.parked || job.quarantined || is_void || job.fence_broken) {
        return false;
    }
    const bool pause_follows = job.armed && job.armed->pause_before_activate;
    return kind != EventKind::target_verified || !pause_follows;
}

}  // namespace

Result<> evolve(Job& job, const Event& event, const EventPosition& position) {
    const EventKind kind = kind_of(event);
    const bool is_first = kind == EventKind::job_planned;
    const auto next = next_phase(job.phase, kind);
    if (!next || job.exists == is_first) return not_legal(job, kind);

    const Phase from = job.phase;
    if (*next != from) {
        job.phase = *next;
        job.phase_cause = {position.seq, position.hash, position.wall_micros};
        job.phase_since_micros = position.wall_micros;
        job.attempt = 0;
    }
    std::visit(Applier(job, from, position), event);
    if (derives_activate(job, kind)) job.activate_derived = true;
    job.version += 1;
    return {};
}

Hash digest_of(const Job& job) {
    Sha256 digest;
    digest.update(as_bytes("drover-job1"));
    digest.update(as_bytes(job_text(job)));
    return digest.finish();
}

}  // namespace drover::statemachine
