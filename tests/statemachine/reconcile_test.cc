#include "statemachine/reconcile.h"

#include "samples.h"
#include "scenario.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

/// All that happened so far is in the log, and nothing after it.
Scenario restored(Phase phase) {
    Scenario scenario = at(phase);
    scenario.given({ReconcileStarted{scenario.seq()}});
    return scenario;
}

/// What an agent holds that did what the log says and nothing else.
JobWorld held(const Scenario& scenario, Side side) {
    const Job& job = scenario.job();
    JobWorld world;
    world.job = job.id;
    world.side = side;
    world.job_name = job.spec.name;
    world.last_seq = job.reconciling->old_head_seq;
    const bool is_released = job.phase == Phase::rolled_back || job.phase == Phase::cancelled;
    if (side == Side::source && job.fence && !is_released) world.fence = job.fence->token;
    if (side == Side::target && job.activated_micros != 0 && !job.target_deactivated) {
        world.handover = Handover::active;
        world.handover_token = *job.token;
    }
    return world;
}

Scenario& report(Scenario& scenario, const JobWorld& world) {
    const std::string& agent = world.side == Side::source ? scenario.job().spec.source_agent
                                                          : scenario.job().spec.target_agent;
    return scenario.when_command({bytes_of(0x77), "agent:" + agent, "", WorldReported{world}});
}

bool differs(const Scenario& scenario, const std::string& id) {
    const auto found = differences(scenario.job());
    return std::any_of(found.begin(), found.end(),
                       [&](const Difference& one) { return one.id == id; });
}

}  // namespace

TEST_CASE("reconcile: nothing is asked of anybody before report and log agree") {
    for (unsigned p = 0; p < phase_count; ++p) {
        const auto phase = static_cast<Phase>(p);
        INFO(name_of(phase));
        Scenario scenario = restored(phase);
        scenario.outstanding({});
        report(scenario, held(scenario, Side::source)).outstanding({});
    }
}

TEST_CASE("reconcile: a job on whose state both sides agree goes on where it was") {
    for (unsigned p = 0; p < phase_count; ++p) {
        const auto phase = static_cast<Phase>(p);
        INFO(name_of(phase));
        const auto before = outstanding(at(phase).job());
        Scenario scenario = restored(phase);
        report(scenario, held(scenario, Side::source)).then_kinds({EventKind::world_seen});
        report(scenario, held(scenario, Side::target))
            .then_kinds({EventKind::world_seen, EventKind::reconciled})
            .in(phase);
        // The same effects under the same names: agents answer them from their journals.
        const auto after = outstanding(scenario.job());
        REQUIRE(after.size() == before.size());
        for (std::size_t i = 0; i < after.size(); ++i) REQUIRE(after[i].id == before[i].id);
    }
}

TEST_CASE("reconcile: a fence that was breached after the copy lets nobody in") {
    Scenario scenario = restored(Phase::activating);
    JobWorld source = held(scenario, Side::source);
    source.breached = true;
    report(scenario, source);
    report(scenario, held(scenario, Side::target)).outstanding({});
    CHECK(differs(scenario, "fence_breached"));
    REQUIRE(scenario.job().reconciling);
}

TEST_CASE("reconcile: a breach is taken at once, not after both sides agreed") {
    Scenario scenario = at(Phase::activating);
    const EffectId hold = scenario.newest(EffectKind::hold_fence, Side::source).id;
    scenario.given({ReconcileStarted{scenario.seq()}});
    scenario.when_reported(hold, FenceBreach{3})
        .then_kinds({EventKind::fence_breached, EventKind::parked});
    report(scenario, held(scenario, Side::source));
    report(scenario, held(scenario, Side::target));
    for (const Effect& effect : outstanding(scenario.job()))
        CHECK(effect.id.kind != EffectKind::activate);
}

TEST_CASE("reconcile: a cutover that was armed before the copy waits for a person") {
    Scenario scenario = at(Phase::syncing);
    scenario.given({CutoverArmed{}});
    Job armed = scenario.job();
    armed.armed->at_micros = 1000;
    REQUIRE(evolve(armed, ReconcileStarted{1}, {900, Hash{}, 1}));
    REQUIRE(evolve(armed, Reconciled{}, {901, Hash{}, 1}));
    CHECK(armed.armed->at_micros == 0);
}

TEST_CASE("reconcile: work that the log does not know keeps the job where it is") {
    Scenario scenario = restored(Phase::syncing);
    JobWorld source = held(scenario, Side::source);
    source.last_seq += 20;
    report(scenario, held(scenario, Side::target));
    report(scenario, source).then_kinds({EventKind::world_seen});
    REQUIRE(differs(scenario, "work_unknown"));
    scenario.outstanding({});
}

TEST_CASE(
    "reconcile: a fence that the log does not know, lacks or calls otherwise is a difference") {
    Scenario unknown = restored(Phase::syncing);
    JobWorld fenced = held(unknown, Side::source);
    fenced.fence = bytes_of(0x55);
    report(unknown, fenced);
    REQUIRE(differs(unknown, "fence_unknown"));

    Scenario missing = restored(Phase::verifying);
    JobWorld open = held(missing, Side::source);
    open.fence = {};
    report(missing, open);
    REQUIRE(differs(missing, "fence_missing"));

    Scenario other = restored(Phase::holding);
    fenced = held(other, Side::source);
    fenced.fence = bytes_of(0x55);
    report(other, fenced);
    REQUIRE(differs(other, "fence_unknown"));
}

TEST_CASE(
    "reconcile: a target that serves unknown to the log, or does not serve, is a difference") {
    for (const Phase phase : {Phase::syncing, Phase::verifying, Phase::rolled_back}) {
        Scenario scenario = restored(phase);
        JobWorld target = held(scenario, Side::target);
        target.handover = Handover::active;
        target.handover_token = bytes_of(0x55);
        report(scenario, target);
        REQUIRE(differs(scenario, "target_active"));
    }
    Scenario gone = restored(Phase::holding);
    JobWorld target = held(gone, Side::target);
    target.handover = Handover::taken_back;
    report(gone, target);
    REQUIRE(differs(gone, "target_not_active"));
}

TEST_CASE("reconcile: a step that is under way is waited for") {
    Scenario scenario = restored(Phase::fencing);
    JobWorld source = held(scenario, Side::source);
    source.busy = true;
    report(scenario, held(scenario, Side::target));
    report(scenario, source).then_kinds({EventKind::world_seen});
    source.busy = false;
    report(scenario, source).then_kinds({EventKind::world_seen, EventKind::reconciled});
    report(scenario, source).then_nothing();
}

TEST_CASE("reconcile: people and agents are refused meanwhile, links and timers are not") {
    Scenario scenario = restored(Phase::holding);
    scenario.when(Commit{scenario.job().spec.name}).rejects("job_reconciling");
    scenario.when(Rollback{RollbackMode::discard, "all"}).rejects("job_reconciling");
    scenario.when(Cancel{}).rejects("job_reconciling");
    scenario.when_link(Side::source, false).then({AgentLost{Side::source}});
    scenario.when_reported(scenario.newest(EffectKind::fence, Side::source).id, StepFailed{})
        .rejects("job_reconciling");
    report(scenario, held(scenario, Side::source));
    JobWorld foreign = held(scenario, Side::target);
    scenario.when_command({bytes_of(0x77), "agent:mallory", "", WorldReported{foreign}})
        .rejects("wrong_agent");
}

TEST_CASE("resolve: ends the job in any phase, keeps every fence and asks for nothing else") {
    for (unsigned p = 0; p < phase_count; ++p) {
        const auto phase = static_cast<Phase>(p);
        for (const Serving serving : {Serving::target, Serving::source, Serving::neither}) {
            INFO(name_of(phase));
            Scenario scenario = restored(phase);
            scenario.when(Resolve{serving, scenario.job().spec.name});
            REQUIRE(is_final(scenario.job().phase));
            for (const Effect& effect : outstanding(scenario.job())) {
                REQUIRE(effect.id.kind == EffectKind::cleanup);
                REQUIRE(std::get<CleanupWork>(effect.work).keep_fence);
            }
        }
    }
}

TEST_CASE("resolve: needs the job's name, a reason, and a job that is reconciling") {
    at(Phase::holding).when(Resolve{Serving::neither, "web"}).rejects("not_reconciling");
    Scenario scenario = restored(Phase::holding);
    scenario.when(Resolve{Serving::neither, "wrong"}).rejects("confirmation_wrong");
    scenario.when(Resolve{Serving::neither, scenario.job().spec.name}, "")
        .rejects("reason_missing");
}

TEST_CASE("resolve: is refused where an agent says the opposite") {
    Scenario scenario = restored(Phase::syncing);
    const std::string name = scenario.job().spec.name;
    report(scenario, held(scenario, Side::source));
    scenario.when(Resolve{Serving::target, name}).rejects("resolve_contradicts");
    JobWorld target = held(scenario, Side::target);
    target.handover = Handover::active;
    target.handover_token = bytes_of(0x55);
    report(scenario, target);
    scenario.when(Resolve{Serving::source, name}).rejects("resolve_contradicts");
    scenario.when(Resolve{Serving::neither, name}).then_kinds({EventKind::resolved_to_neither});
}

TEST_CASE("resolve: late reports of fences and targets make nothing outstanding afterwards") {
    Scenario scenario = restored(Phase::fencing);
    const EffectId fence = scenario.newest(EffectKind::fence, Side::source).id;
    const FenceProof proof = proof_for(scenario.job());
    scenario.when(Resolve{Serving::neither, scenario.job().spec.name});
    scenario.when_reported(fence, FenceDone{proof}).then_nothing();
    scenario.does_not_want(EffectKind::release);
    scenario.when(DeleteData{scenario.job().spec.name}).rejects("job_resolved");
}

TEST_CASE("resolve: an agent that has cleaned up after newer work has cleaned up") {
    Scenario scenario = restored(Phase::holding);
    scenario.when(Resolve{Serving::target, scenario.job().spec.name});
    const Error stale(Errc::denied, "stale_effect", "older");
    scenario.when_reported(EffectKind::cleanup, Side::source, StepFailed{stale})
        .then({CleanedUp{Side::source}});
    scenario.when_reported(EffectKind::cleanup, Side::target, CleanupDone{})
        .then({CleanedUp{Side::target}})
        .outstanding({});
}

}  // namespace drover::statemachine::testing
