// When whole disks are compared, what a release may rest on, and tests on an overlay.
#include "scenario.h"

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

constexpr std::uint64_t disk_bytes = 1U << 20;

/// Agents that can do both; null: the source cannot do `without`.
Scenario synced_with(Comparison comparison, std::string_view without = "",
                     std::uint64_t size_bytes = disk_bytes) {
    JobSpec spec = web_spec();
    spec.comparison = comparison;
    Scenario scenario;
    scenario.given(
        {JobPlanned{spec, "operator:ann"}, AgentBack{Side::source}, AgentBack{Side::target}});
    for (const Side side : {Side::source, Side::target}) {
        PreflightDone half = capable_half(side);
        for (const std::string_view can : {"verify.induction", "compare.hold"}) {
            if (side == Side::target || can != without) half.capabilities.emplace_back(can);
        }
        for (DiskFacts& disk : half.disks) disk.size_bytes = size_bytes;
        scenario.given({PreflightChecked{side, half}});
    }
    scenario.given({PreflightPassed{bytes_of<Hash>(7)}, MirrorStarted{"operator:ann"},
                    MirrorCompleted{bytes_of(8)},
                    DataStateChanged{DataState::in_sync, bytes_of(8), 4096}});
    return scenario;
}

Scenario fenced_with(Comparison comparison, std::string_view without = "",
                     std::uint64_t size_bytes = disk_bytes) {
    Scenario scenario = synced_with(comparison, without, size_bytes);
    scenario.when(Cutover{});
    scenario.given({SourceFenced{proof_for(scenario.job())}});
    return scenario;
}

bool compares_whole(const Scenario& scenario) {
    return std::get<VerifyWork>(scenario.newest(EffectKind::verify, Side::source).work).compare;
}

Scenario& drain(Scenario& scenario, const DrainDone& done = {5, 512}) {
    return scenario.when_reported(EffectKind::drain, Side::source, done);
}

VerifyDone by_induction() {
    return {{DiskProof{}, DiskProof{}}, {}};
}

Scenario holding_with(Comparison comparison) {
    Scenario scenario = fenced_with(comparison);
    scenario.when_reported(EffectKind::drain, Side::source, DrainDone{5, 512})
        .when_reported(EffectKind::verify, Side::source, by_induction())
        .when_reported(EffectKind::activate, Side::target, ActivateDone{start_micros})
        .when_reported(EffectKind::validate, Side::target, ValidateDone{"ok"})
        .in(Phase::holding);
    return scenario;
}

/// The target is fenced, and what its users wrote is known.
Scenario going_back() {
    Scenario scenario = holding_with(Comparison::never);
    scenario.when(Rollback{RollbackMode::keep, ""})
        .when_reported(EffectKind::deactivate, Side::target, DeactivateDone{true, 9, true, 4096})
        .in(Phase::reverse_draining);
    return scenario;
}

Scenario gone_back() {
    Scenario scenario = going_back();
    scenario.when_reported(EffectKind::reverse_drain, Side::target, ReverseDrainDone{1, 4096})
        .in(Phase::reverse_verifying);
    return scenario;
}

CompareDone compared(std::uint64_t written) {
    const DiskProof proof{bytes_of<Hash>(4), bytes_of<Hash>(4), disk_bytes - written, 0, written};
    return {{proof, proof}, {}, {{0, 0, written}}};
}

}  // namespace

TEST_CASE("equality: the plan says when whole disks are compared, small ones before the release") {
    const auto whole = [](Scenario scenario) {
        drain(scenario);
        return compares_whole(scenario);
    };
    CHECK(whole(fenced_with(Comparison::before_release)));
    CHECK_FALSE(whole(fenced_with(Comparison::during_hold)));
    CHECK_FALSE(whole(fenced_with(Comparison::never)));
    CHECK(whole(fenced_with(Comparison::automatic)));
    CHECK_FALSE(whole(fenced_with(Comparison::automatic, "", 1ULL << 30)));
}

TEST_CASE("equality: what agents cannot do during the hold is done before the release") {
    const auto whole = [](Scenario scenario) {
        drain(scenario);
        return compares_whole(scenario);
    };
    CHECK(whole(fenced_with(Comparison::during_hold, "compare.hold")));
    CHECK(whole(fenced_with(Comparison::automatic, "compare.hold", 1ULL << 30)));
    CHECK(whole(fenced_with(Comparison::never, "verify.induction")));
    CHECK_FALSE(whole(fenced_with(Comparison::never, "compare.hold")));
}

TEST_CASE("equality: a proof by induction with a hole is none") {
    Scenario unread = fenced_with(Comparison::never);
    drain(unread, {5, 512, 100, 0, 4096});
    CHECK(compares_whole(unread));

    Scenario doubtful = fenced_with(Comparison::never);
    doubtful.given({GenerationLost{0, "taken back by hand"}});
    drain(doubtful);
    CHECK(compares_whole(doubtful));
}

TEST_CASE("equality: what failed once is compared as a whole, under a new name") {
    Scenario scenario = fenced_with(Comparison::never);
    drain(scenario);
    const EffectId first = scenario.newest(EffectKind::verify, Side::source).id;
    scenario
        .when_reported(EffectKind::verify, Side::source,
                       StepFailed{Error(Errc::conflict, "not_proved", "why", "all", "retry")})
        .when(Retry{});
    CHECK(compares_whole(scenario));
    CHECK(scenario.newest(EffectKind::verify, Side::source).id != first);
}

TEST_CASE("equality: what a comparison found is not forgotten by the next run") {
    Scenario scenario = fenced_with(Comparison::never);
    scenario.given({DeltaDrained{5, 512}, MismatchFound{{{0, 0, 4096}}}})
        .when(Rollback{})
        .when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .when(Resync{""});
    scenario.given({DataStateChanged{DataState::in_sync, bytes_of(8), 0}}).when(Cutover{});
    scenario.given({SourceFenced{proof_for(scenario.job())}});
    drain(scenario);
    CHECK(compares_whole(scenario));
    scenario.when_reported(EffectKind::verify, Side::source, equal_disks()).in(Phase::activating);
    CHECK_FALSE(scenario.job().copy_suspect);
}

TEST_CASE("equality: what Verify says is of the copy that it was asked about") {
    Scenario scenario = fenced_with(Comparison::never);
    drain(scenario);
    const EffectId asked = scenario.newest(EffectKind::verify, Side::source).id;
    scenario
        .when_reported(EffectKind::replicate, Side::target, GenerationGone{0, "taken back by hand"})
        .then_kinds({EventKind::generation_lost, EventKind::retry_started})
        .when_reported(asked, by_induction())
        .then_nothing()
        .in(Phase::verifying);
    CHECK(compares_whole(scenario));
}

TEST_CASE("equality: no figures are a proof only where induction was asked for") {
    Scenario asked = fenced_with(Comparison::never);
    drain(asked)
        .when_reported(EffectKind::verify, Side::source, by_induction())
        .in(Phase::activating);

    Scenario other = fenced_with(Comparison::before_release);
    drain(other)
        .when_reported(EffectKind::verify, Side::source, by_induction())
        .in(Phase::draining);  // nothing is proved: all of it is sent again
}

TEST_CASE("equality: free space may be left out where the plan says so, and nowhere else") {
    const DiskProof part{bytes_of<Hash>(4), bytes_of<Hash>(4), disk_bytes - 4096, 4096};
    const DiskProof all{bytes_of<Hash>(4), bytes_of<Hash>(4), disk_bytes};
    Scenario scenario = fenced_with(Comparison::before_release);
    scenario.given({DeltaDrained{5, 512}})
        .when_reported(EffectKind::verify, Side::source, VerifyDone{{part, all}, {}})
        .then({MismatchFound{{{0, 0, disk_bytes}}}});

    JobSpec spec = web_spec();
    spec.disks.front().skip_free_space = true;
    Scenario skipping;
    skipping.given(
        {JobPlanned{spec, "operator:ann"}, AgentBack{Side::source}, AgentBack{Side::target},
         PreflightChecked{Side::source, preflight_half(Side::source)},
         PreflightChecked{Side::target, preflight_half(Side::target)},
         PreflightPassed{bytes_of<Hash>(7)}, MirrorStarted{"operator:ann"},
         MirrorCompleted{bytes_of(8)}, DataStateChanged{DataState::in_sync, bytes_of(8), 4096}});
    skipping.when(Cutover{});
    skipping.given({SourceFenced{proof_for(skipping.job())}, DeltaDrained{5, 512}})
        .when_reported(EffectKind::verify, Side::source, VerifyDone{{part, all}, {}})
        .in(Phase::activating);
}

TEST_CASE("hold: the comparison is asked for until it is made, and a commit waits for it") {
    Scenario scenario = holding_with(Comparison::during_hold);
    scenario.wants(EffectKind::compare, Side::source)
        .wants(EffectKind::replicate, Side::target)
        .when(Commit{"web-01"})
        .rejects("comparison_pending");
    scenario.when_reported(EffectKind::compare, Side::source, compared(4096))
        .then({HoldCompared{compared(4096).disks, compared(4096).written}})
        .does_not_want(EffectKind::compare)
        .does_not_want(EffectKind::replicate, Side::target)
        .when(Commit{"web-01"})
        .in(Phase::committed);

    holding_with(Comparison::never)
        .does_not_want(EffectKind::compare)
        .when(Commit{"web-01"})
        .in(Phase::committed);
}

TEST_CASE("hold: a difference parks the job, and only a reason commits it") {
    Scenario scenario = holding_with(Comparison::during_hold);
    CompareDone differs = compared(0);
    differs.mismatches = {{1, 4096, 512}};
    scenario.when_reported(EffectKind::compare, Side::source, differs)
        .then_kinds({EventKind::copy_differs, EventKind::parked})
        .when(Commit{"web-01"})
        .rejects("job_parked")
        .when(Commit{"web-01", true}, "")
        .rejects("job_parked")
        .when(Unpark{})
        .when(Commit{"web-01"})
        .rejects("copy_differs");
    Scenario back = scenario;
    scenario.when(Commit{"web-01", true}, "a scratch disk")
        .then({ComparisonWaived{"operator:ann", "a scratch disk"}, Committed{"operator:ann"}});
    back.when(Rollback{RollbackMode::discard, "all of it"}).in(Phase::rolling_back);
}

TEST_CASE("hold: once the fence is void a commit needs a waiver, and writes cannot be kept") {
    Scenario scenario = holding_with(Comparison::during_hold);
    scenario.when_reported(EffectKind::hold_fence, Side::source, FenceBreach{3})
        .does_not_want(EffectKind::compare)
        .when(Unpark{})
        .when(Commit{"web-01"})
        .rejects("comparison_pending")
        .when(Rollback{RollbackMode::keep, ""})
        .rejects("fence_breached")
        .when(Commit{"web-01", true}, "a scratch disk")
        .in(Phase::committed);
}

TEST_CASE("hold: what a comparison leaves out without saying so is a difference") {
    Scenario scenario = holding_with(Comparison::during_hold);
    CompareDone holes = compared(4096);
    holes.disks.front().written_bytes = 0;
    scenario.when_reported(EffectKind::compare, Side::source, holes)
        .then_kinds({EventKind::copy_differs, EventKind::parked});
}

TEST_CASE("test: it begins with its overlay and ends with the target's word") {
    Scenario scenario = at(Phase::testing);
    scenario.wants(EffectKind::start_test, Side::target)
        .wants(EffectKind::replicate, Side::source)
        .wants(EffectKind::replicate, Side::target);
    const StartTestDone ready{3, PointKind::crash, start_micros, "reflink", {"/run/a", "/run/b"}};
    scenario.when_reported(EffectKind::start_test, Side::target, ready)
        .then({TestReady{ready}})
        .does_not_want(EffectKind::start_test)
        .when(TestRevert{})
        .then({TestRevertStarted{"operator:ann"}})
        .in(Phase::testing)
        .wants(EffectKind::revert_test, Side::target)
        .when(TestRevert{})
        .then_nothing()
        .when_reported(EffectKind::revert_test, Side::target, RevertTestDone{})
        .then({TestReverted{}})
        .in(Phase::syncing);
    CHECK_FALSE(scenario.job().test);
}

TEST_CASE("test: one that cannot start is reverted too, and a pause does not keep it up") {
    Scenario scenario = at(Phase::testing);
    scenario
        .when_reported(EffectKind::start_test, Side::target,
                       StepFailed{Error(Errc::conflict, "no_point_yet", "why", "all", "wait")})
        .when(TestRevert{})
        .wants(EffectKind::revert_test, Side::target)
        .when(Pause{})
        .wants(EffectKind::revert_test, Side::target);
    const EffectId first = scenario.newest(EffectKind::revert_test, Side::target).id;
    scenario
        .when_reported(EffectKind::revert_test, Side::target,
                       StepFailed{Error(Errc::unavailable, "overlay_busy", "who", "all", "stop")})
        .when(TestRevert{})
        .then({Unparked{"operator:ann"}, RetryStarted{"operator:ann", 1}})
        .wants(EffectKind::revert_test, Side::target);
    CHECK(scenario.newest(EffectKind::revert_test, Side::target).id != first);
}

TEST_CASE("keep: the way back has a ticket of its own, with the sides exchanged") {
    Scenario scenario = going_back();
    const auto& back =
        std::get<ReplicateWork>(scenario.newest(EffectKind::replicate, Side::target).work);
    const auto& there =
        std::get<ReplicateWork>(scenario.newest(EffectKind::replicate, Side::source).work);
    CHECK(back.reverse);
    CHECK(back.ticket == there.ticket);
    CHECK(back.ticket.source_agent == "web-new");
    CHECK(back.ticket.target_agent == "web-old");
    CHECK(back.ticket.disks.front().source == "/dev/vdb");
    CHECK(back.ticket.serial > scenario.job().ticket_serial);
    scenario.wants(EffectKind::reverse_drain, Side::target)
        .wants(EffectKind::hold_fence, Side::source)
        .when_reported(EffectKind::reverse_drain, Side::target, ReverseDrainDone{1, 4096})
        .then({ReverseDrained{4096}})
        .when_reported(EffectKind::reverse_verify, Side::target,
                       ReverseVerifyDone{{DiskProof{}, DiskProof{}}, {}})
        .in(Phase::rolling_back);
    const auto& release =
        std::get<ReleaseWork>(scenario.newest(EffectKind::release, Side::source).work);
    CHECK(release.keep_reverse);
}

TEST_CASE("test: cancelled, it is reverted before anything else is done to the disks") {
    Scenario scenario = at(Phase::testing);
    scenario.when(Cancel{})
        .in(Phase::cancelled)
        .when(DeleteData{"web-01"})
        .wants(EffectKind::revert_test, Side::target)
        .does_not_want(EffectKind::delete_data)
        .does_not_want(EffectKind::cleanup, Side::target)
        .when_reported(EffectKind::revert_test, Side::target, RevertTestDone{})
        .does_not_want(EffectKind::revert_test)
        .wants(EffectKind::delete_data, Side::target);
}

TEST_CASE("keep: a fence that breaks on the way back stops it") {
    Scenario scenario = going_back();
    const EffectId drain_id = scenario.newest(EffectKind::reverse_drain, Side::target).id;
    scenario.when_reported(EffectKind::hold_fence, Side::source, FenceBreach{1})
        .then_kinds({EventKind::fence_breached, EventKind::parked})
        .when(Unpark{})
        .does_not_want(EffectKind::reverse_drain)
        .when_reported(drain_id, ReverseDrainDone{1, 4096})
        .then_nothing()
        .when(AbandonReverse{"all"})
        .wants(EffectKind::release, Side::source);
}

TEST_CASE(
    "keep: what was kept is no loss for the next sync, and a refused release can be given up") {
    Scenario scenario = gone_back();
    scenario.given({ReverseVerified{{DiskProof{}, DiskProof{}}}});
    Scenario refused = scenario;
    scenario.when_reported(EffectKind::release, Side::source, ReleaseDone{start_micros})
        .when(Resync{""})
        .in(Phase::syncing);
    const auto& copy =
        std::get<ReplicateWork>(scenario.newest(EffectKind::replicate, Side::target).work);
    CHECK(copy.overwrite_acknowledged);

    const EffectId first = refused.newest(EffectKind::release, Side::source).id;
    refused
        .when_reported(EffectKind::release, Side::source,
                       StepFailed{Error(Errc::conflict, "reverse_not_done", "why", "all", "x")})
        .when(AbandonReverse{"all"})
        .wants(EffectKind::release, Side::source);
    CHECK(refused.newest(EffectKind::release, Side::source).id != first);
}

TEST_CASE("keep: a source that was rebooted on the way back goes on, and a breach is recorded") {
    Scenario scenario = going_back();
    scenario.when_reported(EffectKind::replicate, Side::source, GenerationGone{0, "reboot"});
    REQUIRE_FALSE(scenario.job().parked.has_value());
    scenario.wants(EffectKind::reverse_drain, Side::target);

    Scenario kept = gone_back();
    kept.given({ReverseVerified{{DiskProof{}, DiskProof{}}}})
        .in(Phase::rolling_back)
        .when_reported(EffectKind::hold_fence, Side::source, FenceBreach{1})
        .then_kinds({EventKind::fence_breached});
    const Error refused(Errc::denied, "fence_breached", "who", "all", "abandon");
    kept.when_reported(EffectKind::release, Side::source, StepFailed{refused})
        .then_kinds({EventKind::parked})
        .when(AbandonReverse{"all"})
        .wants(EffectKind::release, Side::source);
}

TEST_CASE("keep: given up, the source is released as it was fenced") {
    Scenario scenario = gone_back();
    scenario.when(AbandonReverse{"all"});
    const auto& release =
        std::get<ReleaseWork>(scenario.newest(EffectKind::release, Side::source).work);
    CHECK_FALSE(release.keep_reverse);
}

}  // namespace drover::statemachine::testing
