// The target's half of a test cutover, on a host in memory.
#include "agent/test_run.h"

#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

struct TestWorld : World {
    TestWorld() {
        config.test_directory = "/tests";
        boot();
        expose("/dev/t");
        want(replicate(40, Side::target));
        settle();
        process->output.reports.clear();
    }

    [[nodiscard]] Effect start(std::uint64_t seq) const {
        return effect(seq, EffectKind::start_test, Side::target,
                      StartTestWork{{"start-test", {}}, {"stop-test", {}}});
    }

    [[nodiscard]] Effect revert(std::uint64_t seq) const {
        return effect(seq, EffectKind::revert_test, Side::target,
                      RevertTestWork{{"stop-test", {}}});
    }

    [[nodiscard]] bool has_record() const {
        return std::filesystem::exists(paths.job(job, Side::target) / "test");
    }

    void check_nothing_is_left() const {
        CHECK(host.overlays.empty());
        CHECK_FALSE(replica_world.in_test);
        CHECK_FALSE(has_record());
    }
};

TEST_CASE("test: the workload gets overlays of the newest point, and nothing else of it stays") {
    TestWorld w;
    w.want(w.start(50));
    w.settle();
    const auto done = w.last<StartTestDone>();
    CHECK(done.point == 7);
    CHECK(done.point_kind == PointKind::filesystem);
    CHECK(done.taken_micros == 1700);
    CHECK(done.overlay == "reflink");
    CHECK(done.disks == std::vector<std::string>{"/dev/t.reflink"});
    CHECK(w.host.test_disks == done.disks);
    CHECK(w.host.hooks_run == std::vector<std::string>{"start-test"});
    CHECK(w.replica_world.in_test);
    CHECK_FALSE(w.host.disks["/dev/t"].mounted);
    w.want(w.revert(60));
    w.settle();
    (void)w.last<RevertTestDone>();
    CHECK(w.host.hooks_run == std::vector<std::string>{"start-test", "stop-test"});
    w.check_nothing_is_left();
}

TEST_CASE("test: a start that dies at any step is completed, once, by the next process") {
    for (const char* step : {"test.record", "test.frozen", "test.standing", "test.running"}) {
        INFO(step);
        TestWorld w;
        w.want_and_die_at(w.start(50), step);
        w.boot();
        w.want(w.start(50));
        w.settle();
        CHECK(w.last<StartTestDone>().disks == std::vector<std::string>{"/dev/t.reflink"});
        CHECK(w.replica_world.in_test);
        w.want(w.revert(60));
        w.settle();
        (void)w.last<RevertTestDone>();
        w.check_nothing_is_left();
    }
}

TEST_CASE("test: a revert that dies at any step is completed by the next process") {
    for (const char* step : {"test.reverting", "test.stopped", "test.removed", "test.ended"}) {
        INFO(step);
        TestWorld w;
        w.want(w.start(50));
        w.settle();
        w.want_and_die_at(w.revert(60), step);
        CHECK(w.has_record());
        w.boot();
        w.want(w.revert(60));
        w.settle();
        (void)w.last<RevertTestDone>();
        w.check_nothing_is_left();
        CHECK(w.host.hooks_run.back() == "stop-test");
    }
}

TEST_CASE("test: a start that fails is undone, and says why") {
    TestWorld w;
    SECTION("by its hook") {
        w.host.failing = {"start-test"};
        w.want(w.start(50));
        w.settle();
        CHECK(w.last_error() == "hook_failed");
        CHECK(w.host.hooks_run == std::vector<std::string>{"stop-test"});
    }
    SECTION("for want of a point") {
        w.replica_world.test_error = Error(Errc::unavailable, "no_point_yet", "none", "k", "n");
        w.want(w.start(50));
        w.settle();
        CHECK(w.last_error() == "no_point_yet");
        CHECK(w.host.hooks_run.empty());
    }
    SECTION("by the overlay") {
        w.host.failing = {"make_overlays"};
        w.want(w.start(50));
        w.settle();
        CHECK(w.host.hooks_run.empty());
    }
    SECTION("because no kind is possible") {
        w.host.overlay_kinds.clear();
        w.want(w.start(50));
        w.settle();
        CHECK(w.last_error() == "overlay_unsupported");
    }
    w.check_nothing_is_left();
}

TEST_CASE("test: an overlay that is in use stays, with the journal, until it is let go") {
    TestWorld w;
    w.want(w.start(50));
    w.settle();
    w.host.failing = {"remove_overlays"};
    w.want(w.revert(60));
    w.settle();
    (void)w.last<StepFailed>();
    CHECK(w.replica_world.in_test);
    CHECK(w.has_record());
    w.host.failing.clear();
    w.want(w.revert(70));
    w.settle();
    (void)w.last<RevertTestDone>();
    w.check_nothing_is_left();
}

TEST_CASE("test: after a reboot no hook is told the names of another boot") {
    TestWorld w;
    bool is_told_of_none = false;
    SECTION("while it began: the overlays are made anew") {
        w.want_and_die_at(w.start(50), "test.standing");
        w.host.reboot(false);
        w.host.acts.clear();
        w.boot();
        w.want(w.start(50));
        w.settle();
        CHECK(w.host.when("make_overlays") < w.host.when("run_hook"));
        CHECK(w.last<StartTestDone>().disks == w.host.test_disks);
    }
    SECTION("while it ran: the stop is told of none") {
        is_told_of_none = true;
        w.want(w.start(50));
        w.settle();
        w.die();
        w.host.reboot(false);
        w.boot();
    }
    w.want(w.revert(60));
    w.settle();
    (void)w.last<RevertTestDone>();
    if (is_told_of_none) CHECK(w.host.test_disks.empty());
    w.check_nothing_is_left();
}

TEST_CASE("test: a job that ends stops the workload first") {
    TestWorld w;
    w.want(w.start(50));
    w.settle();
    w.want(w.effect(90, EffectKind::cleanup, Side::target, CleanupWork{false}));
    w.settle();
    (void)w.last<CleanupDone>();
    CHECK(w.host.hooks_run == std::vector<std::string>{"start-test", "stop-test"});
    CHECK(w.host.overlays.empty());
    CHECK_FALSE(w.has_record());
}

TEST_CASE("test: of several kinds of overlay a clone is preferred, and a choice is kept to") {
    TestWorld w;
    CHECK((*choose_overlay(w.parts(), "x", {"/dev/t"}))->kind == "reflink");
    w.host.overlay_kinds = {"qcow2"};
    CHECK((*choose_overlay(w.parts(), "x", {"/dev/t"}))->kind == "qcow2");
    w.config.test_overlay = "reflink";
    CHECK(choose_overlay(w.parts(), "x", {"/dev/t"}).error().id() == "overlay_unsupported");
    w.config.test_overlay = "none";
    CHECK_FALSE(choose_overlay(w.parts(), "x", {"/dev/t"})->has_value());
}

TEST_CASE("test: the configuration names a directory and, if it must be, a kind of overlay") {
    const std::string base = "name = \"t\"\nserver = \"h:1\"\nroles = [\"source\"]\n[test]\n";
    const auto config = parse_config(base + "directory = \"/srv/tests\"\n", "here");
    REQUIRE(config.has_value());
    CHECK(config->test_directory == "/srv/tests");
    CHECK(config->test_overlay == "auto");
    CHECK(parse_config(base + "overlay = \"none\"\n", "here").has_value());
    CHECK_FALSE(parse_config(base + "directory = \"tests\"\n", "here").has_value());
    CHECK_FALSE(parse_config(base + "overlay = \"qcow2\"\n", "here").has_value());
    CHECK_FALSE(parse_config(base + "directory = \"/t\"\noverlay = \"lvm\"\n", "here").has_value());
}

}  // namespace
}  // namespace drover::agent
