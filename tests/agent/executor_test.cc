#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

/// Booted, with the source's half of the job replicating.
struct Source : World {
    Source() {
        boot();
        want(replicate(40, Side::source));
        settle();
        process->output.reports.clear();
    }

    void fenced() {
        want(fence(50));
        settle();
        REQUIRE(is_fenced());
    }
};

TEST_CASE("executor: a repeated effect is answered with the same report, and not done again") {
    Source w;
    w.fenced();
    const Report first = w.process->output.reports.back();
    w.want(w.fence(50));
    w.settle();
    CHECK(w.process->output.reports.back() == first);
    CHECK(w.host.runs_of("stop-app") == 1);

    w.die();
    w.boot();
    w.want(w.fence(50));
    w.settle();
    CHECK(w.process->output.reports.back() == first);
    CHECK(w.host.runs_of("stop-app") == 1);
}

TEST_CASE("executor: a one-shot is taken durably before its work begins") {
    Source w;
    w.want(w.fence(50));
    REQUIRE(w.process->journal->find(w.fence(50).id));
    CHECK(w.process->output.taken_ids.back() == w.fence(50).id);
    CHECK(w.host.hooks_run.empty());
}

TEST_CASE("executor: an effect that still runs is taken again and not started twice") {
    Source w;
    w.want(w.fence(50));
    w.want(w.fence(50));
    w.settle();
    CHECK(w.report_count() == 1);
    CHECK(w.host.runs_of("stop-app") == 1);
}

TEST_CASE("executor: the same id with other contents is refused and the first outcome stands") {
    Source w;
    w.fenced();
    Effect other = w.fence(50);
    std::get<FenceWork>(other.work).run = 2;
    w.want(other);
    w.settle();
    CHECK(w.last_error() == "effect_digest_mismatch");
    w.want(w.fence(50));
    w.settle();
    CHECK(w.last<FenceDone>().proof.run == 1);
}

TEST_CASE("executor: a digest that is not that of the contents is refused") {
    Source w;
    EffectWanted wanted;
    wanted.effect = w.fence(50);
    wanted.digest.data[0] = 1;
    w.process->executor->wanted(wanted);
    w.settle();
    CHECK(w.last_error() == "effect_digest_mismatch");
    CHECK(w.in_service());
}

TEST_CASE("executor: an ownership effect older than the last one is refused") {
    Source w;
    w.want(w.release(60));
    w.settle();
    (void)w.last<ReleaseDone>();
    Effect late = w.fence(50);
    std::get<FenceWork>(late.work).token.data[0] = 99;  // not even its token is known to be dead
    w.want(late);
    w.settle();
    CHECK(w.last_error() == "stale_effect");
    CHECK(w.in_service());
}

TEST_CASE("executor: a fence that arrives after its release fails") {
    Source w;
    w.want(w.release(60));
    w.settle();
    w.want(w.fence(70));
    w.settle();
    CHECK(w.last_error() == "token_tombstoned");
    CHECK(w.in_service());
    w.die();
    w.boot();
    w.want(w.fence(71));
    w.settle();
    CHECK(w.last_error() == "token_tombstoned");
}

TEST_CASE("executor: reports are sent again after a restart until they are acknowledged") {
    Source w;
    w.fenced();
    const Report report = w.process->output.reports.back();
    w.die();
    w.boot();
    REQUIRE(w.process->journal->unacknowledged() == std::vector{report});
    w.process->executor->acknowledged(report.report_id);
    w.die();
    w.boot();
    CHECK(w.process->journal->unacknowledged().empty());
}

TEST_CASE("executor: replication goes on after a restart with no orchestrator in sight") {
    Source w;
    CHECK(w.replica_world.sources_opened == 1);
    w.die();
    w.boot();
    CHECK(w.replica_world.sources_opened == 2);
}

TEST_CASE("executor: a newer desired state updates the replica without opening it again") {
    Source w;
    w.want(w.replicate(40, Side::source, ReplicateMode::connected));
    w.settle();
    CHECK(w.replica_world.sources_opened == 1);
    CHECK(w.replica_world.mode == ReplicateMode::connected);
    // A delayed older one does not bring the old state back.
    w.want(w.replicate(39, Side::source, ReplicateMode::transfer));
    w.settle();
    CHECK(w.replica_world.mode == ReplicateMode::connected);
}

TEST_CASE("executor: a withdrawn replication stays withdrawn after a restart") {
    Source w;
    w.process->executor->withdrawn({w.replicate(40, Side::source).id, 1});
    w.settle();
    w.die();
    w.boot();
    CHECK(w.replica_world.sources_opened == 1);
}

TEST_CASE("executor: replication that cannot be opened is reported once and tried again") {
    World w;
    w.replica_world.open_error = Error(Errc::unavailable, "busy", "not now", "kept", "next");
    w.boot();
    w.want(w.replicate(40, Side::source));
    w.settle();
    CHECK(w.last_error() == "busy");
    const std::size_t reports = w.report_count();
    w.clock.advance_micros(SourceJob::reopen_interval_ms * 1000);
    w.process->executor->tick();
    w.settle();
    CHECK(w.report_count() == reports);
    w.replica_world.open_error.reset();
    w.clock.advance_micros(SourceJob::reopen_interval_ms * 1000);
    w.process->executor->tick();
    w.settle();
    CHECK(w.replica_world.sources_opened == 1);
}

TEST_CASE("executor: a wish that could not be stored starts nothing, not even at the next tick") {
    World w;
    w.boot();
    const JobId job = w.replicate(10, Side::source).id.job;
    const auto in_the_way = w.paths.job(job, Side::source) / "replicate.new";
    std::filesystem::create_directories(in_the_way);
    w.want(w.replicate(10, Side::source));
    w.settle();
    CHECK(w.last_error() == "file_error");
    w.process->executor->tick();
    w.settle();
    CHECK(w.replica_world.sources_opened == 0);

    std::filesystem::remove(in_the_way);
    w.want(w.replicate(10, Side::source));
    w.settle();
    CHECK(w.replica_world.sources_opened == 1);
}

TEST_CASE("executor: a role that the configuration does not give is refused") {
    World w;
    w.config.is_target = false;
    w.boot();
    w.want(w.replicate(40, Side::target));
    w.settle();
    CHECK(w.last_error() == "role_missing");
}

TEST_CASE("executor: what the copy observes is journalled and sent") {
    Source w;
    w.replica_world.observer->mirror_done(MirrorDone{});
    w.settle();
    CHECK(w.process->output.reports.back().effect == w.replicate(40, Side::source).id);
    (void)w.last<MirrorDone>();
    CHECK(w.process->journal->unacknowledged().size() == 1);
}

TEST_CASE("executor: after clean-up nothing older is obeyed, the fence of a committed job stays") {
    Source w;
    w.fenced();
    w.want(w.effect(90, EffectKind::cleanup, Side::source, CleanupWork{true}));
    w.settle();
    (void)w.last<CleanupDone>();
    CHECK(w.is_fenced());
    CHECK(w.replica_world.sources_forgotten == 1);
    w.want(w.replicate(45, Side::source));
    w.settle();
    CHECK(w.last_error() == "stale_effect");
    w.die();
    w.boot();
    CHECK(w.is_fenced());
}

TEST_CASE("executor: clean-up that was not told to keep a standing fence is refused") {
    Source w;
    w.fenced();
    w.want(w.effect(90, EffectKind::cleanup, Side::source, CleanupWork{false}));
    w.settle();
    CHECK(w.last_error() == "fence_stands");
    CHECK(w.is_fenced());
}

TEST_CASE("executor: every failure says what is kept and what to do next") {
    Source w;
    w.replica_world.drain_error = Error(Errc::io, "bare", "an error without advice");
    w.fenced();
    w.want(w.drain(60));
    w.settle();
    const Error error = w.last<StepFailed>().error;
    CHECK(error.id() == "bare");
    CHECK_FALSE(error.kept().empty());
    CHECK_FALSE(error.next().empty());
}

TEST_CASE("preflight: a source names its root disk, its tracker and its hooks") {
    World w;
    w.host.disks["/dev/s"].root = true;
    w.host.failing.insert("start-app");
    w.boot();
    w.want(w.effect(
        10, EffectKind::preflight, Side::source,
        PreflightWork{{"/dev/s", "/dev/none"},
                      {{HookStep::pre_fence, "stop-app"}, {HookStep::post_release, "start-app"}}}));
    w.settle();
    const auto done = w.last<PreflightDone>();
    std::vector<std::string> ids;
    for (const Finding& finding : done.findings) ids.push_back(finding.id);
    CHECK(ids == std::vector<std::string>{"root_disk", "disk_not_found", "hook_unknown"});
    CHECK(done.disks.at(0).tracker == "ebpf");
    CHECK(done.hook_digests.size() == 1);
}

TEST_CASE("preflight: a target disk must be exposed, the same, unused and blank") {
    World w;
    w.boot();
    const auto finding = [&w](std::uint64_t seq) -> std::string {
        w.want(w.effect(seq, EffectKind::preflight, Side::target, PreflightWork{{"/dev/t"}, {}}));
        w.settle();
        const auto done = w.last<PreflightDone>();
        CHECK(done.journal_mode == "direct");
        CHECK(done.endpoint.control_port == 1);
        return done.findings.empty() ? "" : done.findings[0].id;
    };
    CHECK(finding(1) == "target_not_exposed");
    w.expose("/dev/t");
    CHECK(finding(2).empty());
    w.host.disks["/dev/t"].mounted = true;
    CHECK(finding(3) == "target_in_use");
    w.host.disks["/dev/t"].mounted = false;
    w.host.disks["/dev/t"].blank = false;
    CHECK(finding(4) == "target_not_blank");
    w.host.disks["/dev/t"].blank = true;
    w.host.disks["/dev/t"].identity = "wwid:other";
    CHECK(finding(5) == "target_identity_changed");
}

}  // namespace
}  // namespace drover::agent
