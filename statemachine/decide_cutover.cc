// From the copy to the commit: arm, cutover, waive, commit, and what a timer may do.
#include "base/assert.h"
#include "base/mutation.h"
#include "statemachine/deciders.h"

namespace drover::statemachine {
namespace {

constexpr WallMicros second_micros = 1'000'000;

std::optional<Rejected> plan_changed(const Job& job, const std::optional<Hash>& approved) {
    if (!approved || *approved == job.plan_hash) return std::nullopt;
    return reject(rejection::plan_changed,
                  "the approval is for plan " + approved->hex() + ", the job's plan is " +
                      job.plan_hash.hex(),
                  "look at the present plan and approve it");
}

std::optional<Rejected> outage_fault(const std::optional<std::uint32_t>& outage_max_s) {
    if (!outage_max_s || *outage_max_s > 0) return std::nullopt;
    return reject(rejection::invalid_outage, "the longest outage is 0 s",
                  "give at least 1 s, or leave it out to use the plan's");
}

std::optional<Rejected> disconnected(const Job& job) {
    for (const Side side : {Side::source, Side::target}) {
        if (is_connected(job, side)) continue;
        return reject(rejection::agent_disconnected,
                      "agent " + agent_of(job, side) + " is not connected",
                      "bring the agent back; the copy goes on from where it is");
    }
    return std::nullopt;
}

std::optional<Rejected> lagging(const Job& job) {
    if (job.data_state == DataState::in_sync) return std::nullopt;
    return reject(rejection::cutover_lagging,
                  "the copy is " + std::string(name_of(job.data_state)) + ", not in_sync; " +
                      std::to_string(job.backlog_bytes) +
                      " bytes were behind when that was last reported",
                  "wait until it is in sync; if it does not get there, look at job why");
}

/// Everything that has to hold when a cutover starts, whoever starts it.
std::optional<Rejected> cutover_gates(const Job& job) {
    if (auto held = held_up(job)) return held;
    if (job.armed) {
        if (auto changed = plan_changed(job, job.armed->plan_hash)) return changed;
    }
    if (auto away = disconnected(job)) return away;
    if (auto owed = owed_from_before(job)) return owed;
    return lagging(job);
}

CutoverStarted started(const Asked& asked, std::string by, std::uint32_t outage_max_s) {
    DROVER_ASSERT(!asked.context.fresh_token.is_zero());
    CutoverStarted fact;
    fact.by = std::move(by);
    fact.run = asked.job.run + 1;
    fact.token = asked.context.fresh_token;
    fact.deadline_micros = asked.context.now_micros + outage_max_s * second_micros;
    return fact;
}

CutoverArmed armed_by_cutover(const Cutover& wish, const Asked& asked) {
    const Job& job = asked.job;
    const std::uint32_t usual = job.armed ? job.armed->outage_max_s : job.spec.outage_max_s;
    const bool pause = job.armed && job.armed->pause_before_activate;
    CutoverArmed armed;
    armed.by = asked.command.actor;
    armed.plan_hash = job.plan_hash;
    armed.outage_max_s = wish.outage_max_s.value_or(usual);
    armed.pause_before_activate = wish.pause_before_activate || pause;
    return armed;
}

/// The plan asks for a comparison of the whole disks that has not shown them to be equal.
std::optional<Rejected> comparison_missing(const Job& job) {
    constexpr const char* waive = "say that it is waived, with a reason";
    if (job.copy_differs) {
        return reject(rejection::copy_differs,
                      "the comparison during the hold found ranges that differ",
                      std::string("roll back, or ") + waive);
    }
    if (!owes_hold_comparison(job)) return std::nullopt;
    if (fence_is_void(job)) {
        return reject(rejection::comparison_pending,
                      "source and target were not compared, and cannot be any more: the source may "
                      "have been written",
                      std::string("roll back, or ") + waive);
    }
    return reject(rejection::comparison_pending,
                  "source and target have not been compared yet; after a commit they cannot be",
                  std::string("wait for it, or ") + waive);
}

/// The time that a named person armed has come. If the cutover cannot start now it does not start
/// later by surprise: the job is disarmed and the log says why.
Accepted armed_time_came(const Asked& asked) {
    const CutoverArmed& armed = *asked.job.armed;
    if (const auto refusal = cutover_gates(asked.job)) {
        return Accepted{
            {Disarmed{"timer"}, CommandRejected{"timer", "cutover", refusal->id, refusal->detail}}};
    }
    return Accepted{{started(asked, armed.by, armed.outage_max_s)}};
}

}  // namespace

std::optional<Rejected> owed_from_before(const Job& job) {
    if (job.deactivate_pending) {
        return reject(rejection::target_not_stopped,
                      "agent " + job.spec.target_agent +
                          " has not confirmed that its workload of the last run is down",
                      "bring the agent back, so that it can answer");
    }
    if (job.release_pending) {
        return reject(
            rejection::release_pending,
            "a fence of an earlier run is still to be released on agent " + job.spec.source_agent,
            "wait for that agent's answer");
    }
    return std::nullopt;
}

Decision decide_on(const Arm& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (!is_one_of(job.phase, {Phase::syncing, Phase::armed})) {
        return wrong_phase(asked, "a cutover is armed while the job is syncing");
    }
    if (auto held = held_up(job)) return *held;
    if (auto changed = plan_changed(job, wish.plan_hash)) return *changed;
    if (auto fault = outage_fault(wish.outage_max_s)) return *fault;
    if (wish.at_micros != 0 && wish.at_micros <= asked.context.now_micros) {
        return reject(rejection::time_in_past, "the given time has passed",
                      "give a later time, or none to start the cutover by hand");
    }
    CutoverArmed fact;
    fact.by = asked.command.actor;
    fact.at_micros = wish.at_micros;
    fact.plan_hash = job.plan_hash;
    fact.outage_max_s = wish.outage_max_s.value_or(job.spec.outage_max_s);
    fact.pause_before_activate = wish.pause_before_activate;
    return Accepted{{std::move(fact)}};
}

Decision decide_on(const Disarm&, const Asked& asked) {
    if (asked.job.phase != Phase::armed) return wrong_phase(asked, "no cutover is armed");
    return Accepted{{Disarmed{asked.command.actor}}};
}

Decision decide_on(const Cutover& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (!is_one_of(job.phase, {Phase::syncing, Phase::armed})) {
        return wrong_phase(asked, is_in_cutover(job.phase)
                                      ? "the cutover is under way"
                                      : "a cutover starts while the job is syncing or armed");
    }
    if (auto changed = plan_changed(job, wish.plan_hash)) return *changed;
    if (auto fault = outage_fault(wish.outage_max_s)) return *fault;
    if (auto refusal = cutover_gates(job)) return *refusal;

    Accepted accepted;
    CutoverArmed terms = armed_by_cutover(wish, asked);
    const bool same_terms = job.armed && job.armed->outage_max_s == terms.outage_max_s &&
                            job.armed->pause_before_activate == terms.pause_before_activate;
    accepted.events.push_back(started(asked, asked.command.actor, terms.outage_max_s));
    if (!same_terms) accepted.events.insert(accepted.events.begin(), std::move(terms));
    return accepted;
}

Decision decide_on(const WaiveValidation&, const Asked& asked) {
    if (asked.job.phase != Phase::validating) {
        return wrong_phase(asked, "only a validation that is outstanding can be waived");
    }
    if (asked.command.reason.empty()) {
        return reject(rejection::reason_missing, "waiving a validation needs a reason",
                      "say why the target may go on without it");
    }
    return Accepted{{ValidationWaived{asked.command.actor, asked.command.reason}}};
}

Decision decide_on(const Commit& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (job.phase != Phase::holding) {
        return wrong_phase(asked, "a job is committed while it holds both sides after a cutover");
    }
    const bool waives = wish.waive_comparison && !asked.command.reason.empty();
    if (job.parked && !(waives && job.parked->step == EffectKind::compare)) return *held_up(job);
    if (!waives) {
        if (auto missing = comparison_missing(job)) return *missing;
    }
    if (wish.confirm != job.spec.name && !DROVER_MUTANT("commit_unconfirmed")) {
        return reject(rejection::confirmation_wrong,
                      "the confirmation does not equal the job's name; a commit drops the way back",
                      "confirm with the name " + job.spec.name);
    }
    Accepted accepted;
    if (waives && comparison_missing(job)) {
        accepted.events.push_back(ComparisonWaived{asked.command.actor, asked.command.reason});
    }
    accepted.events.push_back(Committed{asked.command.actor});
    return accepted;
}

Decision decide_on(const TimerElapsed& wish, const Asked& asked) {
    const Job& job = asked.job;
    const auto wake = next_wake(job);
    const bool due = wake && wake->id == wish.effect && asked.context.now_micros >= wake->at_micros;
    if (!due) return Accepted{};  // of an earlier state, or the clock was set back: it stays wanted
    if (job.phase == Phase::armed) return armed_time_came(asked);

    Accepted accepted{{DeadlinePassed{wake->at_micros}}};
    // From activating on nothing is automatic: the target may have taken writes.
    const bool is_safe = is_one_of(job.phase, {Phase::fencing, Phase::draining, Phase::verifying});
    if (is_safe && !DROVER_MUTANT("deadline_ignored")) {
        accepted.events.push_back(
            RollbackStarted{RollbackMode::discard, "timer", "outage deadline", ""});
    }
    return accepted;
}

}  // namespace drover::statemachine
