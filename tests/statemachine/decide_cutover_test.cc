#include "scenario.h"

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

const Error broken(Errc::io, "step_broke", "it broke", "the source", "look");

DataStateNow copy_is(DataState state) {
    return {state, bytes_of(8), 9'000'000};
}

CutoverArmed armed_terms(WallMicros at_micros = 0, std::uint32_t outage_max_s = 600,
                         bool pause = false) {
    return {"operator:ann", at_micros, bytes_of<Hash>(7), outage_max_s, pause};
}

Scenario at_pausing(Phase phase) {
    Scenario scenario = at(Phase::syncing);
    Cutover wish;
    wish.pause_before_activate = true;
    scenario.when(wish);
    if (phase == Phase::fencing) return scenario;
    scenario.when_reported(EffectKind::fence, Side::source, FenceDone{proof_for(scenario.job())})
        .when_reported(EffectKind::drain, Side::source, DrainDone{1, 2});
    return scenario.in(Phase::verifying);
}

}  // namespace

TEST_CASE(
    "cutover: from syncing it arms and starts in one decision, with a new run, token and "
    "deadline") {
    Scenario scenario = at(Phase::syncing);
    const FenceToken token = scenario.next_token();
    scenario.when(Cutover{})
        .then({armed_terms(),
               CutoverStarted{"operator:ann", 1, token, start_micros + 600 * second_micros}})
        .in(Phase::fencing)
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::replicate, Side::target},
                      {EffectKind::fence, Side::source},
                      {EffectKind::wake_at, Side::source}});
    const auto& work = std::get<FenceWork>(scenario.newest(EffectKind::fence, Side::source).work);
    REQUIRE(work.token == token);
    REQUIRE(work.run == 1);
    REQUIRE(work.disks == std::vector<std::string>{"/dev/vda", "/dev/vdc"});
    REQUIRE(work.backlog_bytes_max == web_spec().backlog_bytes_max);
    REQUIRE(work.pre_fence_hook == Hook{"stop-web", bytes_of<Hash>(1)});
    REQUIRE(scenario.newest(EffectKind::wake_at, Side::source).agent.empty());
}

TEST_CASE("cutover: the whole way, each step after the report of the one before") {
    Scenario scenario = at(Phase::fencing);
    scenario.when_reported(EffectKind::fence, Side::source, FenceDone{proof_for(scenario.job())})
        .then({SourceFenced{proof_for(scenario.job())}})
        .in(Phase::draining)
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::replicate, Side::target},
                      {EffectKind::hold_fence, Side::source},
                      {EffectKind::drain, Side::source},
                      {EffectKind::wake_at, Side::source}});
    scenario.when_reported(EffectKind::drain, Side::source, DrainDone{3, 4, 5, 6, 7})
        .then({DeltaDrained{3, 4, 5, 6, 7}})
        .in(Phase::verifying)
        .wants(EffectKind::verify, Side::source)
        .wants(EffectKind::hold_fence, Side::source);
    scenario.when_reported(EffectKind::verify, Side::source, equal_disks())
        .then({TargetVerified{equal_disks().disks}})
        .in(Phase::activating)
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::hold_fence, Side::source},
                      {EffectKind::activate, Side::target},
                      {EffectKind::wake_at, Side::source}});
    const auto& work =
        std::get<ActivateWork>(scenario.newest(EffectKind::activate, Side::target).work);
    REQUIRE(work.proof == proof_for(scenario.job()));
    REQUIRE(work.source_agent == "web-old");
    REQUIRE(work.post_activate_hook == Hook{"start-web", bytes_of<Hash>(2)});
    scenario.when_reported(EffectKind::activate, Side::target, ActivateDone{start_micros + 5})
        .then({TargetActivated{start_micros + 5}})
        .in(Phase::validating)
        .wants(EffectKind::validate, Side::target);
    scenario.when_reported(EffectKind::validate, Side::target, ValidateDone{"readable"})
        .then({TargetValidated{"readable"}})
        .in(Phase::holding)
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::hold_fence, Side::source},
                      {EffectKind::wake_at, Side::source}});
    scenario.when(Commit{"web-02"})
        .rejects("confirmation_wrong")
        .when(Commit{"web-01"})
        .then({Committed{"operator:ann"}})
        .in(Phase::committed)
        .outstanding({{EffectKind::cleanup, Side::source}, {EffectKind::cleanup, Side::target}});
    REQUIRE(
        std::get<CleanupWork>(scenario.newest(EffectKind::cleanup, Side::source).work).keep_fence);
    scenario.when_reported(EffectKind::cleanup, Side::source, CleanupDone{})
        .then({CleanedUp{Side::source}})
        .when_reported(EffectKind::cleanup, Side::target, CleanupDone{})
        .outstanding({});
}

TEST_CASE("decide: cutover is refused while the copy lags") {
    for (const DataState state : {DataState::catching_up, DataState::lagging, DataState::stalled,
                                  DataState::not_converging, DataState::disconnected}) {
        Scenario scenario = at(Phase::syncing);
        scenario.when_reported(EffectKind::replicate, Side::source, copy_is(state))
            .when(Cutover{})
            .rejects("cutover_lagging", name_of(state))
            .rejects("cutover_lagging", "9000000 bytes")
            .in(Phase::syncing);
    }
}

TEST_CASE("cutover: refused while paused, parked, disconnected, or approved for another plan") {
    at(Phase::syncing).when(Pause{}).when(Cutover{}).rejects("job_paused");
    at(Phase::syncing).when(Park{}).when(Cutover{}).rejects("job_parked");
    at(Phase::syncing)
        .when_link(Side::target, false)
        .then({AgentLost{Side::target}})
        .when(Cutover{})
        .rejects("agent_disconnected", "web-new")
        .when_link(Side::target, false)
        .then_nothing()
        .when_link(Side::target, true)
        .then({AgentBack{Side::target}})
        .when(Cutover{})
        .in(Phase::fencing);
    Cutover other;
    other.plan_hash = bytes_of<Hash>(0x55);
    at(Phase::syncing).when(other).rejects("plan_changed");
    at(Phase::armed).when(other).rejects("plan_changed");
    Cutover impatient;
    impatient.outage_max_s = 0;
    at(Phase::syncing).when(impatient).rejects("invalid_outage");
    for (const Phase phase : {Phase::ready, Phase::mirroring, Phase::fencing, Phase::holding,
                              Phase::rolled_back, Phase::cancelled}) {
        at(phase).when(Cutover{}).rejects("wrong_phase", name_of(phase));
    }
}

TEST_CASE("cutover: from armed it starts, and other terms are armed first") {
    at(Phase::armed).when(Cutover{}).then_kinds({EventKind::cutover_started});
    Cutover wish;
    wish.outage_max_s = 30;
    Scenario scenario = at(Phase::armed);
    scenario.when(wish).then_kinds({EventKind::cutover_armed, EventKind::cutover_started});
    REQUIRE(scenario.job().outage_deadline_micros == start_micros + 30 * second_micros);
}

TEST_CASE("arm: now or at a time, and what it was armed for") {
    Arm wish;
    wish.at_micros = start_micros + 60 * second_micros;
    wish.outage_max_s = 120;
    Scenario scenario = at(Phase::syncing);
    scenario.when(wish)
        .then({armed_terms(wish.at_micros, 120)})
        .in(Phase::armed)
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::replicate, Side::target},
                      {EffectKind::wake_at, Side::source}})
        .when(Disarm{})
        .then({Disarmed{"operator:ann"}})
        .in(Phase::syncing)
        .does_not_want(EffectKind::wake_at);
    wish.at_micros = start_micros;
    scenario.when(wish).rejects("time_in_past");
    at(Phase::ready).when(Arm{}).rejects("wrong_phase");
    at(Phase::syncing).when(Disarm{}).rejects("wrong_phase");
}

TEST_CASE("rule 3: a timer starts what a named person armed for that time") {
    Arm wish;
    wish.at_micros = start_micros + 60 * second_micros;
    Scenario scenario = at(Phase::syncing);
    scenario.when(wish).after_s(59).when_timer_fires().then_nothing().after_s(1);
    const FenceToken token = scenario.next_token();
    scenario.when_timer_fires()
        .then({CutoverStarted{"operator:ann", 1, token, start_micros + 660 * second_micros}})
        .in(Phase::fencing);
}

TEST_CASE("rule 3: a timer that finds the gates closed disarms, and the log says why") {
    Arm wish;
    wish.at_micros = start_micros + 60 * second_micros;
    Scenario scenario = at(Phase::syncing);
    scenario.when(wish)
        .when_reported(EffectKind::replicate, Side::source, copy_is(DataState::lagging))
        .after_s(60)
        .when_timer_fires()
        .then_kinds({EventKind::disarmed, EventKind::command_rejected})
        .in(Phase::syncing)
        .when_timer_fires()
        .then_nothing();
}

TEST_CASE("rule 3: a timer never commits, activates or releases") {
    for (const Phase phase : {Phase::activating, Phase::validating, Phase::holding}) {
        Scenario scenario = at(phase);
        scenario.after_s(6 * 86400).when_timer_fires().then_kinds({EventKind::deadline_passed});
        scenario.in(phase).does_not_want(EffectKind::wake_at).when_timer_fires().then_nothing();
        REQUIRE(scenario.job().decision_overdue == (phase == Phase::holding));
    }
}

TEST_CASE("rule 2: an outage that runs out before activation rolls back by itself") {
    for (const Phase phase : {Phase::fencing, Phase::draining, Phase::verifying}) {
        Scenario scenario = at(phase);
        const WallMicros deadline = scenario.job().outage_deadline_micros;
        scenario.after_s(600)
            .when_timer_fires()
            .then({DeadlinePassed{deadline},
                   RollbackStarted{RollbackMode::discard, "timer", "outage deadline", ""}})
            .in(Phase::rolling_back)
            .wants(EffectKind::release, Side::source)
            .does_not_want(EffectKind::deactivate);
    }
}

TEST_CASE(
    "rule 1: the target is let in only after fence, drain and equality, and only for this run") {
    for (unsigned i = 0; i < phase_count; ++i) {
        const auto phase = static_cast<Phase>(i);
        if (phase == Phase::activating) continue;
        at(phase).does_not_want(EffectKind::activate);
    }
    Scenario scenario = at(Phase::fencing);
    FenceProof older = proof_for(scenario.job());
    older.run = 0;
    scenario.when_reported(EffectKind::fence, Side::source, FenceDone{older})
        .then_kinds({EventKind::parked})
        .in(Phase::fencing);
    REQUIRE(scenario.job().parked->error.id() == "fence_proof_wrong");
}

TEST_CASE("verify: only one equal proof for each disk and no named range verifies") {
    VerifyDone differs = equal_disks();
    differs.disks[1].target_root = bytes_of<Hash>(0x66);
    at(Phase::verifying)
        .when_reported(EffectKind::verify, Side::source, differs)
        .then({MismatchFound{{{1, 0, 1U << 20}}}})
        .in(Phase::draining);

    VerifyDone missing = equal_disks();
    missing.disks.pop_back();
    at(Phase::verifying)
        .when_reported(EffectKind::verify, Side::source, missing)
        .then({MismatchFound{{{0, 0, 1U << 20}, {1, 0, 1U << 20}}}});

    VerifyDone short_proof = equal_disks();
    short_proof.disks[0].bytes -= 1;
    at(Phase::verifying)
        .when_reported(EffectKind::verify, Side::source, short_proof)
        .then({MismatchFound{{{0, 0, 1U << 20}}}});

    VerifyDone empty_roots = equal_disks();
    empty_roots.disks[0].source_root = empty_roots.disks[0].target_root = Hash{};
    at(Phase::verifying)
        .when_reported(EffectKind::verify, Side::source, empty_roots)
        .then({MismatchFound{{{0, 0, 1U << 20}}}});

    VerifyDone named = equal_disks();
    named.mismatches = {{0, 4096, 4096}};
    Scenario scenario = at(Phase::verifying);
    scenario.when_reported(EffectKind::verify, Side::source, named)
        .then({MismatchFound{{{0, 4096, 4096}}}});
    const auto& drain = std::get<DrainWork>(scenario.newest(EffectKind::drain, Side::source).work);
    REQUIRE(drain.repair == named.mismatches);

    VerifyDone nowhere = equal_disks();
    nowhere.mismatches = {{7, 0, 1}};
    at(Phase::verifying)
        .when_reported(EffectKind::verify, Side::source, nowhere)
        .then({MismatchFound{{{0, 0, 1U << 20}, {1, 0, 1U << 20}}}});
}

TEST_CASE("verify: repairs are bounded, then the job parks with the source fenced") {
    VerifyDone differs = equal_disks();
    differs.mismatches = {{0, 0, 4096}};
    Scenario scenario = at(Phase::verifying);
    for (std::uint32_t round = 0; round < repairs_max; ++round) {
        scenario.when_reported(EffectKind::verify, Side::source, differs)
            .in(Phase::draining)
            .when_reported(EffectKind::drain, Side::source, DrainDone{9, 9})
            .in(Phase::verifying);
    }
    scenario.when_reported(EffectKind::verify, Side::source, differs)
        .then_kinds({EventKind::parked})
        .in(Phase::verifying)
        .does_not_want(EffectKind::verify)
        .wants(EffectKind::hold_fence, Side::source);
    REQUIRE(scenario.job().parked->error.id() == "verify_mismatch");
    const EffectId before = scenario.newest(EffectKind::verify, Side::source).id;
    scenario.when(Retry{}).then({Unparked{"operator:ann"}, RetryStarted{"operator:ann", 1}});
    REQUIRE(scenario.newest(EffectKind::verify, Side::source).id != before);
}

TEST_CASE("cutover: the source's refusal goes back to armed, where no old timer fires") {
    Arm wish;
    wish.at_micros = start_micros + 60 * second_micros;
    Scenario scenario = at(Phase::syncing);
    scenario.when(wish)
        .after_s(60)
        .when_timer_fires()
        .in(Phase::fencing)
        .when_reported(EffectKind::fence, Side::source, FenceDeclined{50'000'000})
        .then({FenceRefused{50'000'000}})
        .in(Phase::armed)
        .does_not_want(EffectKind::wake_at)
        .does_not_want(EffectKind::fence)
        .when(Cutover{})
        .in(Phase::fencing);
    REQUIRE(scenario.job().run == 2);
}

TEST_CASE("pause before activation: verified, then held, and released by a person") {
    Scenario scenario = at_pausing(Phase::verifying);
    scenario.when_reported(EffectKind::verify, Side::source, equal_disks())
        .then_kinds({EventKind::target_verified, EventKind::paused})
        .in(Phase::activating)
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::hold_fence, Side::source},
                      {EffectKind::wake_at, Side::source}});
    REQUIRE_FALSE(scenario.job().activate_derived);

    Scenario back = scenario;
    back.when(Rollback{})
        .then_kinds({EventKind::rollback_started})
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::hold_fence, Side::source},
                      {EffectKind::release, Side::source}});

    scenario.when(Resume{})
        .then({Resumed{"operator:ann"}})
        .wants(EffectKind::activate, Side::target);
    REQUIRE(scenario.job().activate_derived);
    scenario.when(Rollback{}).rejects("loss_not_acknowledged");
}

TEST_CASE("rule 2: from activating on nothing is automatic, even while paused before it") {
    Scenario scenario = at_pausing(Phase::verifying);
    scenario.when_reported(EffectKind::verify, Side::source, equal_disks())
        .after_s(601)
        .when_timer_fires()
        .then_kinds({EventKind::deadline_passed})
        .in(Phase::activating);
}

TEST_CASE("activation: parked when it is verified, it counts as wanted only once unparked") {
    Scenario scenario = at(Phase::verifying);
    scenario.when(Park{})
        .when_reported(EffectKind::verify, Side::source, equal_disks())
        .in(Phase::activating)
        .does_not_want(EffectKind::activate);
    REQUIRE_FALSE(scenario.job().activate_derived);
    scenario.when(Unpark{}).wants(EffectKind::activate, Side::target);
    REQUIRE(scenario.job().activate_derived);
}

TEST_CASE("a failed step parks the job and keeps the fence; retry is a new effect") {
    const std::vector<std::pair<Phase, EffectKind>> steps{{Phase::fencing, EffectKind::fence},
                                                          {Phase::draining, EffectKind::drain},
                                                          {Phase::verifying, EffectKind::verify}};
    for (const auto& [phase, kind] : steps) {
        Scenario scenario = at(phase);
        const EffectId failed = scenario.newest(kind, Side::source).id;
        scenario.when_reported(kind, Side::source, StepFailed{broken})
            .then({Parked{kind, broken}})
            .in(phase)
            .does_not_want(kind)
            .wants(EffectKind::wake_at, Side::source)
            .when_reported(kind, Side::source, StepFailed{broken})
            .then_nothing();
        if (phase != Phase::fencing) scenario.wants(EffectKind::hold_fence, Side::source);
        scenario.when(Retry{}).wants(kind, Side::source);
        REQUIRE(scenario.newest(kind, Side::source).id != failed);
        REQUIRE(scenario.job().attempt == 1);
        scenario.when_reported(failed, StepFailed{broken}).then_nothing();
    }
}

TEST_CASE("activation: a failure is a fact of its own, and its retry asks again") {
    Scenario scenario = at(Phase::activating);
    scenario.when_reported(EffectKind::activate, Side::target, StepFailed{broken})
        .then({ActivationFailed{broken}, Parked{EffectKind::activate, broken}})
        .does_not_want(EffectKind::activate)
        .when(Retry{})
        .wants(EffectKind::activate, Side::target)
        // The first attempt did it after all.
        .when_reported(scenario.seen()[scenario.seen().size() - 2].id, ActivateDone{start_micros});
    scenario.in(Phase::validating);
}

TEST_CASE("validation: a failing one may be tried again, waived with a reason, or rolled back") {
    Scenario scenario = at(Phase::validating);
    scenario.when_reported(EffectKind::validate, Side::target, StepFailed{broken})
        .then({ValidationFailed{broken}, Parked{EffectKind::validate, broken}});
    Scenario again = scenario;
    again.when(Retry{}).wants(EffectKind::validate, Side::target);
    Scenario waived = scenario;
    waived.when(WaiveValidation{}, "")
        .rejects("reason_missing")
        .when(WaiveValidation{}, "the check is wrong")
        .then({ValidationWaived{"operator:ann", "the check is wrong"}})
        .in(Phase::holding);
    REQUIRE_FALSE(waived.job().parked.has_value());
    scenario.when(Rollback{RollbackMode::discard, "one minute"}).in(Phase::rolling_back);
    at(Phase::holding).when(WaiveValidation{}).rejects("wrong_phase");
}

TEST_CASE("parked and paused withhold forward effects and nothing else") {
    for (const bool pause : {true, false}) {
        const auto hold = [pause](Scenario scenario) {
            return pause ? scenario.when(Pause{}) : scenario.when(Park{});
        };
        for (const Phase phase : {Phase::mirroring, Phase::syncing, Phase::armed}) {
            Scenario scenario = hold(at(phase));
            scenario.wants(EffectKind::replicate, Side::source)
                .wants(EffectKind::replicate, Side::target);
            for (const Effect& effect : outstanding(scenario.job())) {
                const auto& work = std::get<ReplicateWork>(effect.work);
                REQUIRE(work.mode == ReplicateMode::track_only);
            }
        }
        for (const Phase phase : {Phase::draining, Phase::verifying}) {
            hold(at(phase)).outstanding({{EffectKind::replicate, Side::source},
                                         {EffectKind::replicate, Side::target},
                                         {EffectKind::hold_fence, Side::source},
                                         {EffectKind::wake_at, Side::source}});
        }
    }
    at(Phase::rolling_back).when(Park{}).wants(EffectKind::deactivate, Side::target);
    at(Phase::rolling_back).when(Pause{}).rejects("wrong_phase");
}

TEST_CASE("a breached or broken fence withholds activation for good") {
    Scenario breached = at(Phase::activating);
    breached.when_reported(EffectKind::hold_fence, Side::source, FenceBreach{2})
        .then_kinds({EventKind::fence_breached, EventKind::parked})
        .does_not_want(EffectKind::activate)
        .when(Retry{})
        .rejects("fence_breached")
        .when(Unpark{})
        .rejects("fence_breached")
        .when_reported(EffectKind::hold_fence, Side::source, FenceBreach{3})
        .then_nothing()
        .when(Rollback{RollbackMode::discard, "perhaps"})
        .in(Phase::rolling_back);

    // Found at a restart of the source: named by its Fence, and perhaps before the fence is known
    // here.
    for (const Phase phase : {Phase::fencing, Phase::draining}) {
        at(phase)
            .when_reported(EffectKind::fence, Side::source, FenceBreach{1})
            .then_kinds({EventKind::fence_breached, EventKind::parked})
            .in(phase);
    }

    // The breach alone withholds it, whatever else is known.
    at(Phase::activating).given({FenceBreached{1}}).does_not_want(EffectKind::activate);

    Scenario broken_fence = at(Phase::draining);
    broken_fence.when_reported(EffectKind::hold_fence, Side::source, FenceBrokenByRoot{"root"})
        .then_kinds({EventKind::fence_broken, EventKind::parked})
        .does_not_want(EffectKind::hold_fence)
        .when(Unpark{})
        .rejects("fence_breached")
        .when(Rollback{})
        .in(Phase::rolling_back);

    Scenario holding = at(Phase::holding);
    holding.when_reported(EffectKind::hold_fence, Side::source, FenceBreach{1})
        .when(Commit{"web-01"})
        .rejects("job_parked", "fence_breached")
        .when(Unpark{})
        .when(Commit{"web-01"})
        .in(Phase::committed);
}

TEST_CASE("throttle: the running copy gets new limits under the same effect") {
    Scenario scenario = at(Phase::syncing);
    const EffectId id = scenario.newest(EffectKind::replicate, Side::source).id;
    scenario.when(Throttle{Limits{1000}})
        .then({LimitsChanged{"operator:ann", Limits{1000}}})
        .when(Throttle{Limits{1000}})
        .then_nothing();
    const Effect now = outstanding(scenario.job()).front();
    REQUIRE(now.id == id);
    REQUIRE(std::get<ReplicateWork>(now.work).limits.rate_bytes_per_s == 1000);
}

}  // namespace drover::statemachine::testing
