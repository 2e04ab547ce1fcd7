#include "agent/fence.h"

#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

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

    void tick() {
        process->executor->tick();
        settle();
    }
};

TEST_CASE("fence: it stands only with the workload stopped, unmounted, guarded and marked") {
    Source w;
    w.fenced();
    const FenceProof proof = w.last<FenceDone>().proof;
    CHECK(proof.token == w.token);
    CHECK(proof.job == w.job);
    CHECK(proof.tracker_seq == 100);
    CHECK(wire::verify_signature(w.identity.tls.certificate_pem, fence_proof_message(proof),
                                 proof.signature));
    CHECK(w.host.hooks_run == std::vector<std::string>{"stop-app"});
}

TEST_CASE("fence: a backlog above the bound is declined, and nothing was touched") {
    Source w;
    w.replica_world.settle_error = Error(Errc::unavailable, "backlog", "too much");
    w.replica_world.backlog = 12345;
    w.want(w.fence(50));
    w.settle();
    CHECK(w.last<FenceDeclined>().backlog_bytes == 12345);
    CHECK(w.in_service());
    CHECK(w.host.hooks_run.empty());
}

TEST_CASE("fence: whatever step fails, the source is back in service and the error says so") {
    for (const std::string act : {"run_hook", "unmount", "swap_off", "uses", "hide_from_udev",
                                  "hold_guard", "set_read_only", "write_mark"}) {
        INFO(act);
        Source w;
        w.host.fail_once = act;
        w.want(w.fence(50));
        w.settle();
        CHECK(w.last<StepFailed>().error.kept().find("back in service") != std::string::npos);
        CHECK(w.in_service());
        CHECK(w.host.runs_of("start-app") == 1);
    }
}

TEST_CASE("fence: one that failed without a trace in its directory is undone by the release") {
    Source w;
    const auto in_the_way = w.paths.fences() / (w.token.hex() + ".new");
    std::filesystem::create_directories(in_the_way);
    w.want(w.fence(50));
    w.settle();
    CHECK(w.last<StepFailed>().error.kept().find("NOT fully back") != std::string::npos);
    CHECK_FALSE(w.in_service());
    std::filesystem::remove(in_the_way);
    w.want(w.release(60));
    w.settle();
    (void)w.last<ReleaseDone>();
    CHECK(w.in_service());
}

TEST_CASE("fence: without an audit there is no proof, and without a proof no fence") {
    Source w;
    w.replica_world.mark_error = Error(Errc::io, "audit_lost", "events were lost");
    w.want(w.fence(50));
    w.settle();
    CHECK(w.last_error() == "audit_lost");
    CHECK(w.in_service());
}

TEST_CASE("fence: while writes keep completing it is not proved") {
    Source w;
    w.replica_world.mark_step = 1;
    w.want(w.fence(50));
    w.settle();
    CHECK(w.last_error() == "fence_not_quiet");
    CHECK(w.in_service());
}

TEST_CASE("fence: a holder that is not ours to stop is named") {
    Source w;
    w.host.disks["/dev/s"].other_uses = {{DiskUse::Kind::holder, "vg0-data on /dev/s"}};
    w.want(w.fence(50));
    w.settle();
    CHECK(w.last_error() == "source_in_use");
    CHECK(w.last<StepFailed>().error.detail().find("vg0-data") != std::string::npos);
    CHECK(w.in_service());
}

TEST_CASE("fence: a service that cannot be restored is not forgotten") {
    Source w;
    w.host.fail_once = "hold_guard";
    w.host.failing.insert("start-app");
    w.want(w.fence(50));
    w.settle();
    CHECK(w.last<StepFailed>().error.kept().find("NOT fully back") != std::string::npos);
    w.host.failing.clear();
    w.want(w.release(60));
    w.settle();
    (void)w.last<ReleaseDone>();
    CHECK(w.in_service());
}

TEST_CASE("fence: after a crash at any step it is complete or undone, never half") {
    const std::vector<std::pair<std::string, bool>> steps = {
        {"fence.hook", false},   {"fence.unmount", false}, {"fence.swap_off", false},
        {"fence.hidden", false}, {"fence.guard", false},   {"fence.read_only", false},
        {"fence.marker", true},  {"fence.proof", true}};
    for (const auto& [step, stands] : steps) {
        INFO(step);
        Source w;
        w.want_and_die_at(w.fence(50), step);
        w.boot();  // with no orchestrator in sight
        if (stands) {
            CHECK(w.is_fenced());
            (void)w.last<FenceDone>();
            CHECK(w.host.runs_of("start-app") == 0);
        } else {
            CHECK(w.in_service());
            CHECK(w.last_error() == "fence_interrupted");
        }
        CHECK(w.host.runs_of("stop-app") == 1);
        const Report settled = w.process->output.reports.back();
        w.want(w.fence(50));
        w.settle();
        CHECK(w.process->output.reports.back() == settled);
        // Whatever it was, a release leads back.
        w.want(w.release(60));
        w.settle();
        (void)w.last<ReleaseDone>();
        CHECK(w.in_service());
    }
}

TEST_CASE("fence: undoing survives a crash at any step too") {
    for (const std::string step : {"release.marker", "release.writable", "release.guard",
                                   "release.shown", "release.hook", "release.removed"}) {
        INFO(step);
        Source w;
        w.host.fail_once = "set_read_only";
        w.want_and_die_at(w.fence(50), step);
        w.boot();
        CHECK(w.in_service());
        CHECK(w.last_error() == "fence_interrupted");
    }
}

TEST_CASE("release: after a crash at any step the source is in service and the token is dead") {
    for (const std::string step :
         {"release.tombstone", "release.marker", "release.writable", "release.guard",
          "release.shown", "release.hook", "release.removed"}) {
        INFO(step);
        Source w;
        w.fenced();
        w.want_and_die_at(w.release(60), step);
        w.boot();
        (void)w.last<ReleaseDone>();
        CHECK(w.in_service());
        w.want(w.fence(70));
        w.settle();
        CHECK(w.last_error() == "token_tombstoned");
        CHECK(w.in_service());
    }
}

TEST_CASE("release: a failing hook leaves a release that the next attempt completes") {
    Source w;
    w.fenced();
    w.host.failing.insert("start-app");
    w.want(w.release(60));
    w.settle();
    CHECK(w.last_error() == "hook_failed");
    w.host.failing.clear();
    w.want(w.release(61));
    w.settle();
    (void)w.last<ReleaseDone>();
    CHECK(w.in_service());
}

TEST_CASE("fence: it is back after an agent's death and after a reboot, before any effect") {
    Source w;
    w.fenced();
    w.die();
    w.boot();
    CHECK(w.is_fenced());
    CHECK(w.report_count() == 0);
    w.die();
    w.host.reboot(false);
    w.boot();
    CHECK(w.is_fenced());
    CHECK(w.report_count() == 0);
}

TEST_CASE(
    "fence: a filesystem that the reboot mounted is taken off again and reported as a breach") {
    Source w;
    w.fenced();
    w.die();
    w.host.disks["/dev/s"].hidden = false;  // by the initramfs, which has no rule of ours
    w.host.reboot(true);
    w.boot();
    CHECK(w.is_fenced());
    CHECK(w.last<FenceBreach>().completions == 1);
}

TEST_CASE("fence: a write between the boot and the agent's start is a breach") {
    Source w;
    w.fenced();
    w.die();
    w.host.reboot(false);
    w.host.disks["/dev/s"].write_mark = 8;
    w.boot();
    CHECK(w.is_fenced());
    CHECK(w.last<FenceBreach>().completions == 1);
}

TEST_CASE("fence: as many writes after a boot as there had been before the fence are a breach") {
    Source w;
    w.host.disks["/dev/s"].write_mark = 8;
    w.fenced();
    w.die();
    w.host.reboot(false);
    w.host.disks["/dev/s"].write_mark = 8;
    w.boot();
    CHECK(w.last<FenceBreach>().completions == 1);
}

TEST_CASE("fence: a completed write is reported as a breach, once, and drain is refused") {
    Source w;
    w.fenced();
    w.want(w.effect(55, EffectKind::hold_fence, Side::source, HoldFenceWork{w.token}));
    w.settle();
    w.tick();
    const std::size_t before = w.report_count();
    w.host.disks["/dev/s"].write_mark += 8;
    w.tick();
    CHECK(w.last<FenceBreach>().completions == 1);
    CHECK(w.process->output.reports.back().effect.kind == EffectKind::hold_fence);
    w.tick();
    CHECK(w.report_count() == before + 1);
    w.want(w.drain(60));
    w.settle();
    CHECK(w.last_error() == "fence_breached");
}

TEST_CASE("fence: a write during the drain makes the drain worthless") {
    Source w;
    w.fenced();
    w.replica_world.during_drain = [&w] { w.host.disks["/dev/s"].write_mark += 1; };
    w.want(w.drain(60));
    w.settle();
    CHECK(w.last_error() == "fence_breached");
}

TEST_CASE("fence: a guard that died is replaced") {
    Source w;
    w.fenced();
    w.host.guards.clear();
    w.tick();
    CHECK(w.is_fenced());
}

TEST_CASE("fence: drain and verify need the fence of their own token") {
    Source w;
    w.want(w.drain(50));
    w.settle();
    CHECK(w.last_error() == "not_fenced");
    w.fenced();
    Effect other = w.drain(60);
    std::get<DrainWork>(other.work).token.data[0] = 99;
    w.want(other);
    w.settle();
    CHECK(w.last_error() == "not_fenced");
    w.want(w.drain(61));
    w.settle();
    CHECK(w.last<DrainDone>().batch == 7);
}

TEST_CASE("fence: a marker of another host is foreign and ignored") {
    Source w;
    w.fenced();
    w.die();
    w.host.id.id = "host-b";
    w.host.guards.clear();
    w.host.disks["/dev/s"].read_only = false;
    w.boot();
    CHECK_FALSE(w.host.guarded(w.job, Side::source));
    CHECK_FALSE(w.host.disks["/dev/s"].read_only);
}

TEST_CASE("fence: a fence that was to be held and is not there is reported") {
    Source w;
    w.want(w.effect(55, EffectKind::hold_fence, Side::source, HoldFenceWork{w.token}));
    w.settle();
    (void)w.last<FenceBreach>();
}

TEST_CASE("fence: a newer step does not wait behind a drain that waits for the target") {
    Source w;
    w.fenced();
    w.want(w.drain(60));  // on its lane, not begun
    w.want(w.release(70));
    CHECK(w.replica_world.sources_stopped == 1);
    w.settle();
    (void)w.last<ReleaseDone>();
    CHECK(w.in_service());
    // The drain must not begin after that either: nobody would end its wait.
    const auto& reports = w.process->output.reports;
    CHECK(std::get<StepFailed>(reports.at(reports.size() - 2).body).error.id() == "step_overtaken");
}

Result<> break_fence(World& w, const std::optional<FenceToken>& token) {
    Result<> outcome = Error(Errc::io, "not_called", "");
    w.process->executor->break_fence({"move-web", token, "root"},
                                     [&](const Result<>& result) { outcome = result; });
    w.settle();
    return outcome;
}

TEST_CASE("root: breaking a fence burns its token, journals it and opens the source") {
    Source w;
    w.fenced();
    REQUIRE(break_fence(w, std::nullopt));
    CHECK(w.in_service());
    CHECK(w.last<FenceBrokenByRoot>().by == "root");
    w.want(w.fence(70));
    w.settle();
    CHECK(w.last_error() == "token_tombstoned");
}

TEST_CASE("root: of several fences of jobs of one name, the one to break must be named") {
    Source w;
    w.fenced();
    // An earlier job of this name was committed, and its fence stands.
    FenceMarker earlier = *w.process->fences->own()->begin();
    earlier.effect.id.job.data[0] = 99;
    auto& work = std::get<FenceWork>(earlier.effect.work);
    work.token.data[0] = 99;
    work.disks = {"/dev/earlier"};
    REQUIRE(w.process->fences->store(earlier));

    const Result<> refused = break_fence(w, std::nullopt);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id() == "fence_ambiguous");
    CHECK(refused.error().detail().find(w.token.hex()) != std::string::npos);
    CHECK(refused.error().detail().find(work.token.hex()) != std::string::npos);
    CHECK(w.is_fenced());

    FenceToken none = w.token;
    none.data[0] = 1;
    CHECK(break_fence(w, none).error().id() == "not_fenced");
    REQUIRE(break_fence(w, w.token));
    CHECK(w.in_service());
    CHECK(w.process->fences->find(work.token)->has_value());
}

TEST_CASE("root: a fence is removed only after the commit, and starts nothing") {
    Source w;
    w.fenced();
    Result<> outcome;
    const auto remove = [&] {
        w.process->executor->remove_fence(w.token,
                                          [&](const Result<>& result) { outcome = result; });
        w.settle();
    };
    remove();
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().id() == "job_not_finished");
    CHECK(w.is_fenced());
    w.want(w.effect(90, EffectKind::cleanup, Side::source, CleanupWork{true}));
    w.settle();
    remove();
    REQUIRE(outcome);
    CHECK(w.host.runs_of("start-app") == 0);
    CHECK_FALSE(w.host.disks["/dev/s"].read_only);
    CHECK_FALSE(w.host.disks["/dev/s"].hidden);
    CHECK_FALSE(w.host.guarded(w.job, Side::source));
}

TEST_CASE("root: a removal cut short by a crash still starts nothing") {
    Source w;
    w.fenced();
    w.want(w.effect(90, EffectKind::cleanup, Side::source, CleanupWork{true}));
    w.settle();
    w.crash_at = "release.marker";
    w.process->executor->remove_fence(w.token, [](const Result<>&) {});
    REQUIRE_THROWS_AS(w.settle(), testing::Crash);
    w.die();
    w.boot();
    CHECK(w.host.runs_of("start-app") == 0);
    CHECK_FALSE(w.host.disks["/dev/s"].read_only);
}

}  // namespace
}  // namespace drover::agent
