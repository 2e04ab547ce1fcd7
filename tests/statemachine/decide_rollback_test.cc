#include "scenario.h"

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

const Rollback discard{RollbackMode::discard, "all since Monday"};

}  // namespace

TEST_CASE("rule 5: before activation a rollback needs nothing, after it the loss is acknowledged") {
    for (const Phase phase : {Phase::fencing, Phase::draining, Phase::verifying}) {
        at(phase)
            .when(Rollback{})
            .then({RollbackStarted{RollbackMode::discard, "operator:ann", "operator", ""}})
            .in(Phase::rolling_back)
            .wants(EffectKind::release, Side::source)
            .does_not_want(EffectKind::deactivate);
    }
    for (const Phase phase : {Phase::activating, Phase::validating, Phase::holding}) {
        at(phase)
            .when(Rollback{})
            .rejects("loss_not_acknowledged", " s since ")
            .when(discard)
            .then_kinds({EventKind::rollback_started})
            .in(Phase::rolling_back)
            .wants(EffectKind::deactivate, Side::target)
            .does_not_want(EffectKind::release);
    }
    at(Phase::syncing).when(Rollback{}).rejects("wrong_phase");
    at(Phase::rolling_back).when(discard).rejects("wrong_phase", "rolling_back");
    at(Phase::committed).when(discard).rejects("wrong_phase");
}

TEST_CASE("rule 4: the target goes down first, then the source is released") {
    Scenario scenario = at(Phase::rolling_back);
    scenario
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::hold_fence, Side::source},
                      {EffectKind::deactivate, Side::target}})
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 5000})
        .then({TargetDeactivated{true, 5000}})
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::hold_fence, Side::source},
                      {EffectKind::release, Side::source}})
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 5000})
        .then_nothing()
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .then({SourceReleased{start_micros}})
        .in(Phase::rolled_back)
        .outstanding({{EffectKind::replicate, Side::source}});
    REQUIRE(scenario.job().target_bytes_written == 5000);
}

TEST_CASE(
    "rule 4: silence is not a stop; a person's word releases, and the target still owes its own") {
    Scenario scenario = at(Phase::rolling_back);
    scenario.when_link(Side::target, false)
        .does_not_want(EffectKind::release)
        .when(ConfirmTargetStopped{""})
        .rejects("reason_missing")
        .when(ConfirmTargetStopped{"power cut in the rack"})
        .then({TargetStopConfirmed{"operator:ann", "power cut in the rack"}})
        .wants(EffectKind::release, Side::source)
        .wants(EffectKind::deactivate, Side::target)
        .when(ConfirmTargetStopped{"again"})
        .rejects("target_already_stopped")
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .in(Phase::rolled_back)
        .outstanding({{EffectKind::deactivate, Side::target}});
    scenario.when(DeleteData{"web-01"}).rejects("target_not_stopped");
    scenario.when(Resync{"all"})
        .in(Phase::syncing)
        .outstanding({{EffectKind::deactivate, Side::target}})
        .when(Cutover{})
        .rejects("agent_disconnected")
        .when_link(Side::target, true)
        .when(Cutover{})
        .rejects("target_not_stopped")
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 7})
        .then({TargetDeactivated{true, 7}})
        .outstanding(
            {{EffectKind::replicate, Side::source}, {EffectKind::replicate, Side::target}});
}

TEST_CASE("rule 4: a target declared stopped is owed even after the job was cancelled") {
    Scenario scenario = at(Phase::rolling_back);
    scenario.when(ConfirmTargetStopped{"power cut"})
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .when(Cancel{})
        .in(Phase::cancelled)
        .outstanding({{EffectKind::deactivate, Side::target}, {EffectKind::cleanup, Side::source}})
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{false, 0})
        .outstanding({{EffectKind::cleanup, Side::source}, {EffectKind::cleanup, Side::target}});
}

TEST_CASE("rule 5: keep is refused until the agents can do it") {
    at(Phase::holding)
        .when(Rollback{RollbackMode::keep, ""})
        .rejects("capability_missing", "agent web-new lacks capability reverse.sync");
    at(Phase::syncing)
        .when(TestStart{})
        .rejects("capability_missing", "agent web-new lacks capability test.overlay");
}

TEST_CASE(
    "keep: the source is released only when the target's writes are on it, or were given up") {
    Scenario scenario = at(Phase::reverse_draining);
    scenario.does_not_want(EffectKind::release)
        .wants(EffectKind::hold_fence, Side::source)
        .when(AbandonReverse{""})
        .rejects("loss_not_acknowledged")
        .when(AbandonReverse{"all"})
        .then({ReverseAbandoned{"operator:ann", "all"}})
        .in(Phase::rolling_back)
        .wants(EffectKind::release, Side::source);

    Scenario kept = at(Phase::reverse_verifying);
    kept.given({ReverseVerified{equal_disks().disks}})
        .in(Phase::rolling_back)
        .wants(EffectKind::release, Side::source)
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .when(Resync{""})
        .in(Phase::syncing);  // nothing is lost: the source has it all

    at(Phase::rolling_back).when(AbandonReverse{"all"}).rejects("wrong_phase");
}

TEST_CASE("keep: the target's own answer leads on, a dead target can only be given up") {
    Scenario keeping = at(Phase::reverse_draining);  // for its capable agents
    REQUIRE(keeping.job().rollback->mode == RollbackMode::keep);
    Scenario scenario = at(Phase::testing).when(TestRevert{});
    scenario.when_reported(EffectKind::revert_test, Side::target, RevertTestDone{})
        .in(Phase::syncing)
        .when(Cutover{});
    scenario.given({SourceFenced{proof_for(scenario.job())}, DeltaDrained{1, 1}});
    Scenario early = scenario;
    scenario.given({TargetVerified{equal_disks().disks}, TargetActivated{start_micros}})
        .when(Rollback{RollbackMode::keep, ""})
        .in(Phase::rolling_back);
    Scenario failed = scenario;
    Scenario dead = scenario;
    Scenario blind = scenario;
    scenario.when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 9, true, 1})
        .then({TargetDeactivated{true, 9, true, 1}, TargetFenced{}})
        .in(Phase::reverse_draining);
    blind.when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 9})
        .then_kinds({EventKind::target_deactivated, EventKind::parked})
        .does_not_want(EffectKind::release)
        .when(AbandonReverse{"all"})
        .wants(EffectKind::release, Side::source);
    dead.when(ConfirmTargetStopped{"burnt"})
        .does_not_want(EffectKind::release)
        .when(AbandonReverse{"all"})
        .in(Phase::rolling_back)
        .wants(EffectKind::release, Side::source);
    early.when(Rollback{RollbackMode::keep, ""}).rejects("nothing_to_keep");

    // Given up while a stop that failed has it parked: the stop is tried anew, under another name.
    const EffectId stop = failed.newest(EffectKind::deactivate, Side::target).id;
    const StepFailed hook_failed{Error(Errc::io, "hook_failed", "why", "all", "retry")};
    failed.when_reported(stop, hook_failed)
        .then_kinds({EventKind::parked})
        .when(AbandonReverse{"all"})
        .wants(EffectKind::deactivate, Side::target)
        .does_not_want(EffectKind::release);
    REQUIRE(failed.newest(EffectKind::deactivate, Side::target).id != stop);
    failed.when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 9, true, 1})
        .wants(EffectKind::release, Side::source);
}

TEST_CASE("rule 6: a target that took writes is overwritten only with the typed acknowledgement") {
    Scenario scenario = at(Phase::rolled_back);
    scenario.when(Resync{""})
        .rejects("loss_not_acknowledged", "4096 bytes")
        .when(Resync{"test orders"})
        .then({ResyncStarted{"operator:ann", 2, "test orders"}})
        .in(Phase::syncing);
    REQUIRE(scenario.job().data_state == DataState::rescanning);
    const Effect& effect = scenario.newest(EffectKind::replicate, Side::target);
    const auto& work = std::get<ReplicateWork>(effect.work);
    REQUIRE(work.overwrite_acknowledged);
    REQUIRE(work.ticket.serial == effect.id.seq);
    scenario.when(Cutover{}).rejects("cutover_lagging", "rescanning");
}

TEST_CASE("resync: after a rollback before activation nothing has to be acknowledged") {
    Scenario scenario = rolled_back_early();
    scenario.when(Resync{""}).in(Phase::syncing);
    REQUIRE_FALSE(std::get<ReplicateWork>(scenario.newest(EffectKind::replicate, Side::target).work)
                      .overwrite_acknowledged);
    scenario
        .when_reported(EffectKind::replicate, Side::source,
                       DataStateNow{DataState::in_sync, bytes_of(8), 0})
        .when(Cutover{})
        .in(Phase::fencing);
    REQUIRE(scenario.job().run == 3);  // raised by each cutover and each resync
}

TEST_CASE("resync: a report about the copy of before tells nothing about the new one") {
    Scenario scenario = rolled_back_early();
    const EffectId before = scenario.newest(EffectKind::replicate, Side::source).id;
    scenario.when(Resync{""})
        .when_reported(before, DataStateNow{DataState::in_sync, bytes_of(8), 0})
        .then_nothing()
        .when(Cutover{})
        .rejects("cutover_lagging");
}

TEST_CASE("late fence: reported while rolling back, it is recorded and released") {
    Scenario scenario = at(Phase::fencing);
    const FenceProof proof = proof_for(scenario.job());
    scenario.when(Rollback{})
        .wants(EffectKind::release, Side::source)
        .does_not_want(EffectKind::hold_fence)
        .when_reported(EffectKind::fence, Side::source, FenceDone{proof})
        .then({SourceFenced{proof}})
        .in(Phase::rolling_back)
        .wants(EffectKind::release, Side::source)
        .wants(EffectKind::hold_fence, Side::source)
        .when_reported(EffectKind::fence, Side::source, FenceDone{proof})
        .then_nothing();
}

TEST_CASE(
    "late fence: reported after the release, it is released again, wherever the job is by then") {
    const std::vector<std::vector<Wish>> ways{{}, {Cancel{}}, {Resync{""}}, {Resync{""}, Arm{}}};
    for (const auto& way : ways) {
        Scenario scenario = at(Phase::fencing);
        const FenceProof proof = proof_for(scenario.job());
        scenario.when(Rollback{})
            .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
            .in(Phase::rolled_back);
        for (const Wish& wish : way) scenario.when(wish);
        const Phase phase = scenario.job().phase;
        scenario.does_not_want(EffectKind::release)
            .when_reported(EffectKind::fence, Side::source, FenceDone{proof})
            .then({SourceFenced{proof}})
            .in(phase)
            .wants(EffectKind::release, Side::source);
        const Effect& release = scenario.newest(EffectKind::release, Side::source);
        REQUIRE(std::get<ReleaseWork>(release.work).token == proof.token);
        REQUIRE(release.id.seq > scenario.job().run_cause.seq);
        if (phase == Phase::armed) scenario.when(Cutover{}).rejects("release_pending");
        if (phase == Phase::rolled_back) scenario.when(Resync{""}).rejects("release_pending");
        if (phase == Phase::cancelled) scenario.does_not_want(EffectKind::cleanup, Side::source);
        scenario.when_reported(EffectKind::fence, Side::source, FenceDone{proof})
            .then_nothing()
            .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
            .then({SourceReleased{start_micros}})
            .in(phase)
            .does_not_want(EffectKind::release);
    }
}

TEST_CASE("late fence: of a refused attempt, it is released before the next cutover") {
    Scenario scenario = at(Phase::fencing);
    const FenceProof proof = proof_for(scenario.job());
    scenario.when_reported(EffectKind::fence, Side::source, FenceDeclined{1})
        .in(Phase::armed)
        .when_reported(EffectKind::fence, Side::source, FenceDone{proof})
        .then({SourceFenced{proof}})
        .in(Phase::armed)
        .wants(EffectKind::release, Side::source)
        .when(Cutover{})
        .rejects("release_pending");
}

TEST_CASE("late fence: a fence of an earlier run never passes for the present one") {
    Scenario scenario = at(Phase::fencing);
    const FenceProof old_proof = proof_for(scenario.job());
    const EffectId old = scenario.newest(EffectKind::fence, Side::source).id;
    scenario.when(Rollback{})
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .when(Resync{""})
        .when_reported(EffectKind::replicate, Side::source,
                       DataStateNow{DataState::in_sync, bytes_of(8), 0})
        .when(Cutover{})
        .in(Phase::fencing)
        .when_reported(old, FenceDone{old_proof})
        .then_nothing()
        .in(Phase::fencing);
}

TEST_CASE("late activation: reported while rolling back, the target goes down before any release") {
    Scenario scenario = at(Phase::activating);
    const EffectId activate = scenario.newest(EffectKind::activate, Side::target).id;
    scenario.when(discard)
        .when_reported(activate, ActivateDone{start_micros})
        .then({TargetActivated{start_micros}})
        .in(Phase::rolling_back)
        .wants(EffectKind::deactivate, Side::target)
        .does_not_want(EffectKind::release);
}

TEST_CASE("late activation: reported after the target's stop, the stop is asked for again") {
    Scenario scenario = at(Phase::activating);
    const EffectId activate = scenario.newest(EffectKind::activate, Side::target).id;
    scenario.when(discard).when_reported(EffectKind::deactivate, Side::target,
                                         DeactivateDone{false, 0});
    const EffectId stop = scenario.newest(EffectKind::deactivate, Side::target).id;
    scenario.wants(EffectKind::release, Side::source)
        .when_reported(activate, ActivateDone{start_micros})
        .then({TargetActivated{start_micros}})
        .wants(EffectKind::deactivate, Side::target)
        .does_not_want(EffectKind::release)
        .when_reported(stop, DeactivateDone{false, 0})
        .then_nothing()  // that answer is older than the activation
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 3})
        .wants(EffectKind::release, Side::source);
}

TEST_CASE(
    "late activation: reported after the release, nothing is copied until the target is down") {
    Scenario scenario = at(Phase::activating);
    const EffectId activate = scenario.newest(EffectKind::activate, Side::target).id;
    scenario.when(discard)
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{false, 0})
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .when(Resync{"all"})
        .in(Phase::syncing)
        .when_reported(activate, ActivateDone{start_micros})
        .then({TargetActivated{start_micros}})
        .outstanding({{EffectKind::deactivate, Side::target}})
        .when_reported(activate, ActivateDone{start_micros})
        .then_nothing()
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 3})
        .wants(EffectKind::replicate, Side::target);
}

TEST_CASE(
    "late release: a source that is released in spite of all is a fact, and the target goes down") {
    Scenario scenario = at(Phase::activating);
    const EffectId activate = scenario.newest(EffectKind::activate, Side::target).id;
    scenario.when(discard)
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{false, 0})
        .wants(EffectKind::release, Side::source)
        .when_reported(activate, ActivateDone{start_micros})
        .does_not_want(EffectKind::release)
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .then({SourceReleased{start_micros}})
        .in(Phase::rolled_back)
        .wants(EffectKind::deactivate, Side::target);
}

TEST_CASE("rolling back: a failed stop or release parks and stays wanted; retry is a new effect") {
    const Error error(Errc::io, "busy", "busy", "all", "look");
    Scenario scenario = at(Phase::rolling_back);
    const EffectId before = scenario.newest(EffectKind::deactivate, Side::target).id;
    scenario.when_reported(EffectKind::deactivate, Side::target, StepFailed{error})
        .then({Parked{EffectKind::deactivate, error}})
        .wants(EffectKind::deactivate, Side::target)
        .when(Retry{})
        .wants(EffectKind::deactivate, Side::target);
    REQUIRE(scenario.newest(EffectKind::deactivate, Side::target).id != before);
    scenario.when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 1})
        .when_reported(EffectKind::release, Side::source, StepFailed{error})
        .then({Parked{EffectKind::release, error}})
        .wants(EffectKind::release, Side::source);
}

TEST_CASE(
    "rolling back: writes on the source are a breach until its release is wanted, then they are "
    "not") {
    at(Phase::rolling_back)
        .when_reported(EffectKind::hold_fence, Side::source, FenceBreach{1})
        .then({FenceBreached{1}})
        .when_reported(EffectKind::hold_fence, Side::source, FenceBreach{2})
        .then_nothing();
    at(Phase::rolling_back)
        .given({TargetDeactivated{true, 1}})
        .when_reported(EffectKind::hold_fence, Side::source, FenceBreach{1})
        .then_nothing();
}

TEST_CASE("rule 8: root may break the fence; it is recorded, and rolling back goes on") {
    Scenario scenario = at(Phase::rolling_back);
    scenario.when_reported(EffectKind::hold_fence, Side::source, FenceBrokenByRoot{"root"})
        .then({FenceBroken{"root"}})
        .does_not_want(EffectKind::hold_fence)
        .when_reported(EffectKind::hold_fence, Side::source, FenceBrokenByRoot{"root"})
        .then_nothing();
}

TEST_CASE("cancel: before the fence and after a rollback, never in between") {
    for (const Phase phase : {Phase::planned, Phase::blocked, Phase::ready, Phase::mirroring,
                              Phase::syncing, Phase::testing, Phase::armed, Phase::rolled_back}) {
        Scenario scenario = at(phase);
        scenario.when(Cancel{}).then({Cancelled{"operator:ann"}});
        if (phase == Phase::testing)
            scenario.when_reported(EffectKind::revert_test, Side::target, RevertTestDone{});
        scenario.outstanding(
            {{EffectKind::cleanup, Side::source}, {EffectKind::cleanup, Side::target}});
        REQUIRE_FALSE(std::get<CleanupWork>(scenario.newest(EffectKind::cleanup, Side::source).work)
                          .keep_fence);
    }
    for (const Phase phase : {Phase::fencing, Phase::holding, Phase::rolling_back,
                              Phase::reverse_draining, Phase::committed, Phase::cancelled}) {
        at(phase).when(Cancel{}).rejects("wrong_phase");
    }
}

TEST_CASE("cancel: a failing clean-up parks, stays wanted and can be tried again") {
    const Error error(Errc::io, "busy", "busy", "all", "look");
    Scenario scenario = at(Phase::cancelled);
    scenario.when_reported(EffectKind::cleanup, Side::target, StepFailed{error})
        .then({Parked{EffectKind::cleanup, error}})
        .wants(EffectKind::cleanup, Side::target)
        .when(Retry{})
        .when_reported(EffectKind::cleanup, Side::target, CleanupDone{})
        .then({CleanedUp{Side::target}});
}

TEST_CASE(
    "delete-data: its own command, only once the job is over or rolled back, confirmed by name") {
    at(Phase::syncing).when(DeleteData{"web-01"}).rejects("wrong_phase");
    at(Phase::committed).when(DeleteData{"web-01"}).rejects("wrong_phase");
    at(Phase::ready).when(Cancel{}).when(DeleteData{"web-01"}).rejects("nothing_copied");
    Scenario scenario = at(Phase::rolled_back);
    scenario.does_not_want(EffectKind::delete_data)
        .when(DeleteData{"web"})
        .rejects("confirmation_wrong")
        .when(DeleteData{"web-01"})
        .then({DeletionStarted{"operator:ann"}})
        .wants(EffectKind::delete_data, Side::target)
        .when(Resync{"all"})
        .rejects("deletion_running")
        .when(DeleteData{"web-01"})
        .then_nothing();
    Scenario cancelled = scenario;
    cancelled.when(Cancel{})
        .outstanding({{EffectKind::cleanup, Side::source}, {EffectKind::delete_data, Side::target}})
        .when_reported(EffectKind::delete_data, Side::target, DataDeleted{})
        .wants(EffectKind::cleanup, Side::target);
    scenario.when_reported(EffectKind::delete_data, Side::target, DataDeleted{})
        .then({TargetDataDeleted{}})
        .when(Resync{"all"})
        .in(Phase::syncing);
}

TEST_CASE("delete-data: one that failed is asked for anew when the job is cancelled meanwhile") {
    Scenario scenario = at(Phase::rolled_back);
    scenario.when(DeleteData{"web-01"});
    const EffectId first = scenario.newest(EffectKind::delete_data, Side::target).id;
    const Error error(Errc::not_found, "disk_not_found", "gone", "kept", "next");
    scenario.when_reported(EffectKind::delete_data, Side::target, StepFailed{error})
        .then({Parked{EffectKind::delete_data, error}})
        .when(Cancel{});
    // Under its old name the agent would only repeat the old failure.
    REQUIRE_FALSE(scenario.newest(EffectKind::delete_data, Side::target).id == first);
    scenario.when_reported(EffectKind::delete_data, Side::target, DataDeleted{})
        .then({TargetDataDeleted{}});
}

TEST_CASE(
    "a failure never discards copied data: nothing but the command makes delete-data wanted") {
    for (unsigned i = 0; i < phase_count; ++i) {
        at(static_cast<Phase>(i)).does_not_want(EffectKind::delete_data);
    }
}

TEST_CASE("quarantine: nothing starts and nothing is accepted but its end; the fence is held") {
    Scenario scenario = at(Phase::verifying);
    const EffectId verify = scenario.newest(EffectKind::verify, Side::source).id;
    scenario.given({Quarantined{"history not legal"}})
        .outstanding({{EffectKind::replicate, Side::source},
                      {EffectKind::replicate, Side::target},
                      {EffectKind::hold_fence, Side::source}});
    for (const Wish& wish : operator_wishes()) {
        if (std::holds_alternative<LiftQuarantine>(wish)) continue;
        scenario.when(wish).rejects("quarantined", "history not legal");
    }
    scenario.when_reported(verify, equal_disks()).rejects("quarantined");
    scenario.when_link(Side::source, false).then_nothing();
    scenario.when(LiftQuarantine{})
        .then({QuarantineLifted{"operator:ann"}})
        .wants(EffectKind::verify, Side::source);
}

}  // namespace drover::statemachine::testing
