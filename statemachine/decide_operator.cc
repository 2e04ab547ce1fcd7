// What a person does beside the path: pause, park, retry, throttle, tests, cancel, delete.
#include "base/assert.h"
#include "statemachine/deciders.h"

#include <algorithm>

namespace drover::statemachine {
namespace {

/// The step at which a job that a person parks stands.
EffectKind step_of(Phase phase) {
    switch (phase) {
        case Phase::planned:
        case Phase::blocked:
        case Phase::ready:
            return EffectKind::preflight;
        case Phase::mirroring:
        case Phase::syncing:
        case Phase::armed:
        case Phase::rolled_back:
            return EffectKind::replicate;
        case Phase::testing:
            return EffectKind::hold_test;
        case Phase::fencing:
            return EffectKind::fence;
        case Phase::draining:
            return EffectKind::drain;
        case Phase::verifying:
            return EffectKind::verify;
        case Phase::activating:
            return EffectKind::activate;
        case Phase::validating:
            return EffectKind::validate;
        case Phase::holding:
            return EffectKind::hold_fence;
        case Phase::rolling_back:
            return EffectKind::release;
        case Phase::reverse_draining:
            return EffectKind::reverse_drain;
        case Phase::reverse_verifying:
            return EffectKind::reverse_verify;
        case Phase::committed:
        case Phase::cancelled:
            return EffectKind::cleanup;
    }
    DROVER_UNREACHABLE();
}

/// After a breach of the fence no retry can make the target safe to let in.
std::optional<Rejected> breach_forbids(const Job& job) {
    const bool before_target = job.phase >= Phase::fencing && job.phase <= Phase::activating;
    if (!before_target || !fence_is_void(job)) return std::nullopt;
    return reject(rejection::fence_breached,
                  "the source may have written after its fence stood; the target is not activated",
                  "roll back: the source's data is complete");
}

/// What a second attempt would find as it was found.
std::optional<Rejected> retry_is_hopeless(const Job& job) {
    const EffectKind step = job.parked->step;
    const bool differs = step == EffectKind::compare && job.copy_differs;
    const bool unknown = step == EffectKind::reverse_drain && !job.changes_known;
    if (!differs && !unknown) return std::nullopt;
    return reject(rejection::retry_hopeless, "another attempt would find the same",
                  job.parked->error.next());
}

Rejected not_parked() {
    return reject(rejection::not_parked, "the job is not parked", "nothing has to be done");
}

}  // namespace

Decision decide_on(const Pause&, const Asked& asked) {
    const Job& job = asked.job;
    const bool has_forward_steps =
        (job.phase >= Phase::mirroring && job.phase <= Phase::validating) ||
        is_one_of(job.phase, {Phase::reverse_draining, Phase::reverse_verifying});
    if (!has_forward_steps) return wrong_phase(asked, "there is nothing that could be paused");
    if (job.paused) return Accepted{};
    return Accepted{{Paused{asked.command.actor, asked.command.reason}}};
}

Decision decide_on(const Resume&, const Asked& asked) {
    if (!asked.job.paused) return Accepted{};
    if (is_final(asked.job.phase)) return wrong_phase(asked, "the job is over");
    return Accepted{{Resumed{asked.command.actor}}};
}

Decision decide_on(const Throttle& wish, const Asked& asked) {
    if (is_final(asked.job.phase)) return wrong_phase(asked, "the job is over");
    if (asked.job.limits == wish.limits) return Accepted{};
    return Accepted{{LimitsChanged{asked.command.actor, wish.limits}}};
}

std::optional<Rejected> lacks_capability(const Job& job, Side side, std::string_view capability) {
    if (has_capability(job, side, capability)) return std::nullopt;
    return reject(rejection::capability_missing,
                  "agent " + agent_of(job, side) + " lacks capability " + std::string(capability),
                  "see what the preflight found there: what the agent is to be allowed in its "
                  "configuration, or a release that has it; the copy goes on as it is");
}

Decision decide_on(const TestStart&, const Asked& asked) {
    const Job& job = asked.job;
    if (auto lacking = lacks_capability(job, Side::target, capability_test)) return *lacking;
    if (job.phase != Phase::syncing) return wrong_phase(asked, "a test starts from syncing");
    if (auto held = held_up(job)) return *held;
    if (auto owed = owed_from_before(job)) return *owed;
    return Accepted{{TestStarted{asked.command.actor}}};
}

Decision decide_on(const TestRevert&, const Asked& asked) {
    if (asked.job.phase != Phase::testing) return wrong_phase(asked, "no test is running");
    if (asked.job.test_reverting && asked.job.parked) return decide_on(Retry{}, asked);
    if (asked.job.test_reverting) return Accepted{};
    return Accepted{{TestRevertStarted{asked.command.actor}}};
}

Decision decide_on(const Cancel&, const Asked& asked) {
    const Job& job = asked.job;
    if (is_in_cutover(job.phase)) return wrong_phase(asked, "roll back first, then cancel");
    if (job.phase > Phase::armed && job.phase != Phase::rolled_back) {
        return wrong_phase(asked, is_final(job.phase)
                                      ? "the job is over"
                                      : "wait until it has rolled back, then cancel");
    }
    return Accepted{{Cancelled{asked.command.actor}}};
}

Decision decide_on(const Retry&, const Asked& asked) {
    const Job& job = asked.job;
    if (!job.parked) return not_parked();
    if (auto breach = breach_forbids(job)) return *breach;
    if (auto hopeless = retry_is_hopeless(job)) return *hopeless;
    return Accepted{
        {Unparked{asked.command.actor}, RetryStarted{asked.command.actor, job.attempt + 1}}};
}

Decision decide_on(const Park&, const Asked& asked) {
    const Job& job = asked.job;
    if (is_final(job.phase)) return wrong_phase(asked, "the job is over");
    if (job.parked) return Accepted{};
    const std::string why = asked.command.reason.empty() ? "no reason given" : asked.command.reason;
    return Accepted{
        {Parked{step_of(job.phase), Error(Errc::cancelled, "parked_by_operator",
                                          asked.command.actor + " parked the job: " + why,
                                          "everything that was copied, and the fence if one stands",
                                          "unpark it when the reason is gone")}}};
}

Decision decide_on(const Unpark&, const Asked& asked) {
    if (!asked.job.parked) return not_parked();
    if (auto breach = breach_forbids(asked.job)) return *breach;
    return Accepted{{Unparked{asked.command.actor}}};
}

Decision decide_on(const DeleteData& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (!is_one_of(job.phase, {Phase::rolled_back, Phase::cancelled})) {
        return wrong_phase(asked, "cancel the job, or roll it back, before its copy is deleted");
    }
    if (job.resolved) {
        return reject(rejection::job_resolved,
                      "the job was ended after a restore: its target may be in service",
                      "look at the target, and delete the data there by hand");
    }
    if (job.copy_cause.seq == 0) {
        return reject(rejection::nothing_copied, "the job never wrote to its target disks",
                      "nothing has to be deleted");
    }
    if (job.deactivate_pending) {
        return reject(
            rejection::target_not_stopped,
            "agent " + job.spec.target_agent + " has not confirmed that its workload is down",
            "bring the agent back, so that it can answer");
    }
    if (wish.confirm != job.spec.name) {
        return reject(rejection::confirmation_wrong,
                      "the confirmation does not equal the job's name",
                      "confirm with the name " + job.spec.name);
    }
    if (job.deletion_wanted) return Accepted{};
    return Accepted{{DeletionStarted{asked.command.actor}}};
}

Decision decide_on(const LiftQuarantine&, const Asked& asked) {
    if (!asked.job.quarantined) return Accepted{};
    return Accepted{{QuarantineLifted{asked.command.actor}}};
}

Decision decide_on(const LinkChanged& wish, const Asked& asked) {
    if (is_connected(asked.job, wish.side) == wish.connected) return Accepted{};
    if (wish.connected) return Accepted{{AgentBack{wish.side}}};
    return Accepted{{AgentLost{wish.side}}};
}

}  // namespace drover::statemachine
