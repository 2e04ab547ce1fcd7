// The way back: rollback, resync, and what only a person can say about the target.
#include "base/mutation.h"
#include "statemachine/deciders.h"

#include <algorithm>

namespace drover::statemachine {
namespace {

/// What a person is asked to accept: how long the target may have been written to, and how much.
std::string loss_of(const Asked& asked) {
    const Job& job = asked.job;
    const bool activated = job.activated_micros != 0;
    const WallMicros since = activated ? job.activated_micros : job.cutover_started_micros;
    const std::int64_t seconds =
        std::max<std::int64_t>(asked.context.now_micros - since, 0) / 1'000'000;
    const std::string bytes =
        job.target_bytes_written != 0
            ? std::to_string(job.target_bytes_written) + " bytes"
            : std::string("`drover job show` tells how many bytes were written so far");
    return "what the target took in the " + std::to_string(seconds) + " s since " +
           (activated ? "its activation" : "the cutover") + " is lost: " + bytes;
}

Rejected not_acknowledged(const Asked& asked) {
    return reject(rejection::loss_not_acknowledged, loss_of(asked),
                  "acknowledge the loss in words, or leave the target in service");
}

}  // namespace

Decision decide_on(const Rollback& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (wish.mode == RollbackMode::keep) {
        for (const Side side : {Side::target, Side::source}) {
            if (auto lacking = lacks_capability(job, side, capability_reverse)) return *lacking;
        }
    }
    if (!is_in_cutover(job.phase)) {
        return wrong_phase(asked, job.phase == Phase::rolling_back
                                      ? "it is rolling back already"
                                      : "there is no cutover to take back");
    }
    if (wish.mode == RollbackMode::keep && !job.activate_derived) {
        return reject(rejection::nothing_to_keep, "the target was never activated",
                      "use mode discard: nothing is lost");
    }
    if (wish.mode == RollbackMode::keep && fence_is_void(job)) {
        return reject(rejection::fence_breached,
                      "the source may have been written since its fence stood: what the target's "
                      "users wrote cannot be added to that",
                      "roll back in mode discard, or leave the target in service");
    }
    const bool loses_writes = wish.mode == RollbackMode::discard && job.activate_derived;
    const bool is_asked = !DROVER_MUTANT("loss_not_asked");
    if (loses_writes && wish.acknowledged_loss.empty() && is_asked) return not_acknowledged(asked);
    return Accepted{
        {RollbackStarted{wish.mode, asked.command.actor, "operator", wish.acknowledged_loss}}};
}

Decision decide_on(const Resync& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (job.phase != Phase::rolled_back) {
        return wrong_phase(asked, "a job is synced again after it has rolled back");
    }
    if (job.release_pending) {
        return reject(rejection::release_pending,
                      "a late fence is still to be released on agent " + job.spec.source_agent,
                      "wait for that agent's answer");
    }
    if (job.deletion_wanted && !job.data_deleted) {
        return reject(rejection::deletion_running, "the target's copy is being deleted",
                      "wait until the deletion has been reported");
    }
    if (job.target_took_writes && wish.acknowledged_loss.empty()) return not_acknowledged(asked);
    return Accepted{{ResyncStarted{asked.command.actor, job.run + 1, wish.acknowledged_loss}}};
}

Decision decide_on(const ConfirmTargetStopped& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (job.phase != Phase::rolling_back) {
        return wrong_phase(asked, "this is asked for only while a job rolls back");
    }
    if (target_is_out(job)) {
        return reject(rejection::target_already_stopped,
                      "the target is known to be out of service already", "wait for the release");
    }
    if (wish.how.empty()) {
        return reject(rejection::reason_missing,
                      "silence is not a stop: it must be said how the target was stopped",
                      "say how, for example that its power was cut");
    }
    return Accepted{{TargetStopConfirmed{asked.command.actor, wish.how}}};
}

Decision decide_on(const AbandonReverse& wish, const Asked& asked) {
    const Job& job = asked.job;
    const bool keeps =
        job.rollback && job.rollback->mode == RollbackMode::keep &&
        (!job.reverse_verified || (job.parked && job.parked->step == EffectKind::release)) &&
        is_one_of(job.phase,
                  {Phase::rolling_back, Phase::reverse_draining, Phase::reverse_verifying});
    if (!keeps) return wrong_phase(asked, "no rollback that keeps the target's writes is running");
    if (wish.acknowledged_loss.empty()) return not_acknowledged(asked);
    Accepted accepted{{ReverseAbandoned{asked.command.actor, wish.acknowledged_loss}}};
    // What had failed is done anew: under its old name nobody would try it again.
    if (job.parked) accepted.events.push_back(RetryStarted{asked.command.actor, job.attempt + 1});
    return accepted;
}

}  // namespace drover::statemachine
