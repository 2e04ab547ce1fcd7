// A rollback that keeps what the target's users wrote, as both agents see it: who may write the
// fenced disks, what a crash leaves, and which image is released.
#include "agent/exposure.h"
#include "agent/preflight.h"
#include "agent/reverse_receiver.h"
#include "base/file.h"
#include "replicator/source_state.h"
#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

/// A fenced source with everything that the way back needs. Its disk is an image that is there.
struct Fenced : World {
    Fenced() {
        source = (dir.path() / "source.img").native();
        REQUIRE(write_file_durably(source, Bytes(4096)).has_value());
        host.disks[source] = host.disks["/dev/s"];
        config.journal_directory = std::filesystem::path("/var/tmp");
        boot();
        REQUIRE(expose_reverse(consents(), host, source).has_value());
    }

    void fenced() {
        want(at_source(replicate(40, Side::source)));
        want(at_source(fence(50)));
        settle();
        (void)last<FenceDone>();
    }

    /// Fenced, and ready for what comes back.
    void reversing() {
        fenced();
        want(reverse(60, Side::source));
        settle();
    }

    [[nodiscard]] ExposureStore consents() const {
        return ExposureStore(paths.reverse_exposures());
    }

    [[nodiscard]] Effect at_source(Effect effect) const {
        if (auto* work = std::get_if<ReplicateWork>(&effect.work))
            work->ticket.disks = {{source, "/dev/t"}};
        if (auto* work = std::get_if<FenceWork>(&effect.work)) work->disks = {source};
        return effect;
    }

    [[nodiscard]] Effect reverse(std::uint64_t seq, Side side) const {
        Effect effect = replicate(seq, side, ReplicateMode::connected);
        auto& work = std::get<ReplicateWork>(effect.work);
        work.reverse = true;
        work.ticket.disks = {{"/dev/t", source}};
        return effect;
    }

    [[nodiscard]] Effect released(std::uint64_t seq, bool keeps) const {
        Effect effect = release(seq);
        std::get<ReleaseWork>(effect.work).keep_reverse = keeps;
        return effect;
    }

    [[nodiscard]] std::optional<FenceMarker> marker() const {
        const auto found = process->fences->of_job(job);
        REQUIRE(found.has_value());
        return *found;
    }

    [[nodiscard]] bool serves() const {
        const auto& disk = host.disks.at(source);
        return !disk.read_only && disk.mounted && !host.guarded(job, Side::source) && !marker();
    }

    [[nodiscard]] bool breached() const {
        for (const Report& report : process->output.reports)
            if (std::holds_alternative<FenceBreach>(report.body)) return true;
        return false;
    }

    std::string source;
};

TEST_CASE("way back: the marker says so before the disks are writable, and the guard stays") {
    Fenced w;
    w.fenced();
    w.host.acts.clear();
    w.want(w.reverse(60, Side::source));
    w.settle();
    CHECK(w.marker()->state == FenceState::reversing);
    CHECK(w.marker()->reverse == ReverseState::begun);
    CHECK_FALSE(w.host.disks[w.source].read_only);
    CHECK(w.host.guarded(w.job, Side::source));
    CHECK(w.process->peers.listening);
    CHECK(w.host.when("set_writable") < w.host.when("open_disk"));
}

TEST_CASE("way back: our writes are no breach, another's use of the disk is one") {
    Fenced w;
    w.reversing();
    w.host.disks[w.source].write_mark += 100;
    w.process->executor->tick();
    w.settle();
    CHECK_FALSE(w.breached());
    SECTION("a process opens it for writing") {
        w.host.disks[w.source].other_uses = {{DiskUse::Kind::writer, "dd (pid 7) writes it"}};
        w.process->executor->tick();
        w.settle();
        CHECK(w.breached());
    }
    SECTION("the guard is lost and it is mounted") {
        w.host.guards.clear();
        w.host.disks[w.source].mounted = true;
        w.process->executor->tick();
        w.settle();
        CHECK(w.breached());
        CHECK(w.host.guarded(w.job, Side::source));
        CHECK_FALSE(w.host.disks[w.source].mounted);
    }
    SECTION("once it is settled every write counts again") {
        w.host.failing.insert("end_guard");  // the release goes no further than the settled fence
        w.want(w.released(70, false));
        w.settle();
        w.host.failing.clear();
        CHECK_FALSE(w.breached());
        CHECK(w.marker()->state == FenceState::releasing);
        CHECK(w.marker()->reverse == ReverseState::none);
        CHECK(w.marker()->write_marks.front() == w.host.disks[w.source].write_mark);
    }
}

TEST_CASE("way back: without a fence that holds, nothing is opened") {
    Fenced w;
    w.fenced();
    SECTION("somebody wrote before") {
        w.host.disks[w.source].write_mark += 1;
    }
    SECTION("root took the consent back") {
        REQUIRE(w.consents().remove(w.source).has_value());
    }
    SECTION("there is no place for a journal") {
        w.config.journal_directory.clear();
    }
    w.want(w.reverse(60, Side::source));
    w.settle();
    CHECK(w.marker()->state != FenceState::releasing);
    CHECK(w.host.disks[w.source].read_only);
    CHECK_FALSE(w.process->peers.listening);
    (void)w.last<StepFailed>();
}

TEST_CASE("way back: killed at any step of its beginning, fence and journal are there again") {
    for (const std::string step :
         {"reverse.marker", "reverse.writable", "reverse.journal", "reverse.begun"}) {
        INFO(step);
        Fenced w;
        w.fenced();
        w.want_and_die_at(w.reverse(60, Side::source), step);
        w.launch();
        CHECK(w.process->executor->wait_for_fences(0).size() == 1);
        w.settle();
        CHECK(w.host.guarded(w.job, Side::source));
        CHECK(w.marker()->state == FenceState::reversing);
        CHECK(w.process->peers.listening);
        w.want(w.released(70, false));
        w.settle();
        (void)w.last<ReleaseDone>();
        CHECK(w.replica_world.restored == std::vector<std::uint64_t>{0});
        CHECK(w.serves());
    }
}

TEST_CASE("way back: after a reboot the disks are held, read-only, before anything is brought") {
    Fenced w;
    w.reversing();
    w.die();
    w.host.reboot(true);
    w.host.acts.clear();
    w.boot();
    CHECK(w.host.guarded(w.job, Side::source));
    CHECK(w.host.when("set_read_only") < w.host.when("open_disk"));
    CHECK_FALSE(w.breached());
    CHECK(w.marker()->state == FenceState::reversing);
}

TEST_CASE("way back: abandoned, the fence point is restored before the release begins") {
    for (const std::string step :
         {"", "reverse.settled", "reverse.read_only", "reverse.fenced", "release.tombstone",
          "release.marker", "release.writable", "release.hook"}) {
        INFO("killed at: " << step);
        Fenced w;
        w.reversing();
        EffectWithdrawn gone;
        gone.id = w.reverse(60, Side::source).id;
        w.process->executor->withdrawn(gone);
        w.settle();
        CHECK(w.host.disks[w.source].read_only);
        CHECK_FALSE(w.process->peers.listening);
        if (step.empty()) {
            w.want(w.released(70, false));
        } else {
            w.want_and_die_at(w.released(70, false), step);
            w.boot();
            w.want(w.released(70, false));
        }
        w.settle();
        (void)w.last<ReleaseDone>();
        CHECK(w.replica_world.restored.size() >= 1);
        CHECK(w.replica_world.promotions == 0);
        CHECK(w.serves());
        CHECK_FALSE(std::filesystem::exists(w.paths.job(w.job, Side::source) / "reverse"));
    }
}

TEST_CASE("way back: kept, the journal ends before the release begins, and nothing is restored") {
    for (const std::string step : {"", "reverse.settled", "reverse.fenced", "release.marker"}) {
        INFO("killed at: " << step);
        Fenced w;
        w.reversing();
        if (step.empty()) {
            w.want(w.released(70, true));
        } else {
            w.want_and_die_at(w.released(70, true), step);
            w.boot();
            w.want(w.released(70, true));
        }
        w.settle();
        (void)w.last<ReleaseDone>();
        CHECK(w.replica_world.promotions >= 1);
        CHECK(w.replica_world.restored.empty());
        CHECK(w.serves());
    }
}

TEST_CASE("way back: what could not be undone is not released, by nobody") {
    Fenced w;
    w.reversing();
    w.replica_world.open_error = Error(Errc::corrupt, "first_point_lost", "x", "y", "z");
    w.die();
    w.boot();
    w.want(w.released(70, false));
    w.settle();
    CHECK(w.last_error() == "first_point_lost");
    Result<> broken;
    w.process->executor->break_fence({"move-web", {}, "root"},
                                     [&](const Result<>& result) { broken = result; });
    w.settle();
    REQUIRE_FALSE(broken.has_value());
    CHECK(w.marker()->state == FenceState::reversing);
    CHECK(w.host.guarded(w.job, Side::source));
}

TEST_CASE("way back: root breaks the fence, the fence point comes first") {
    Fenced w;
    w.reversing();
    Result<> broken;
    w.process->executor->break_fence({"move-web", {}, "root"},
                                     [&](const Result<>& result) { broken = result; });
    w.settle();
    REQUIRE(broken.has_value());
    CHECK(w.replica_world.restored == std::vector<std::uint64_t>{0});
    CHECK(w.serves());
}

TEST_CASE("way back: a release that keeps needs something that came") {
    Fenced w;
    w.fenced();
    w.want(w.released(70, true));
    w.settle();
    CHECK(w.last_error() == "reverse_not_done");
    CHECK(w.marker()->state == FenceState::fenced);
}

TEST_CASE("way back: what came is not kept on disks that somebody else opened") {
    Fenced w;
    w.reversing();
    SECTION("and still has open") {
        w.host.disks[w.source].other_uses = {{DiskUse::Kind::writer, "dd (pid 7) writes it"}};
    }
    SECTION("and closed again") {
        w.host.disks[w.source].other_uses = {{DiskUse::Kind::writer, "dd (pid 7) writes it"}};
        w.process->executor->tick();
        w.settle();
        w.host.disks[w.source].other_uses.clear();
    }
    w.want(w.released(70, true));
    w.settle();
    CHECK(w.last_error() == "fence_breached");
    CHECK(w.replica_world.promotions == 0);
    CHECK(w.host.guarded(w.job, Side::source));
    w.host.disks[w.source].other_uses.clear();
    w.want(w.released(80, false));
    w.settle();
    CHECK(w.replica_world.restored == std::vector<std::uint64_t>{0});
    CHECK(w.serves());
}

TEST_CASE("way back: a clean-up leaves whole disks, as they were fenced") {
    Fenced w;
    w.reversing();
    w.want(w.effect(90, EffectKind::cleanup, Side::source, CleanupWork{true}));
    w.settle();
    (void)w.last<CleanupDone>();
    CHECK(w.replica_world.restored == std::vector<std::uint64_t>{0});
    CHECK(w.marker()->state == FenceState::fenced);
    CHECK(w.host.disks[w.source].read_only);
    CHECK_FALSE(std::filesystem::exists(w.paths.job(w.job, Side::source) / "reverse"));
}

TEST_CASE("way back: a disk that took another's place after a reboot is not written") {
    Fenced w;
    w.reversing();
    w.die();
    w.host.reboot(true);
    w.host.disks[w.source].identity = "wwid:another";
    w.boot();
    w.want(w.released(70, false));
    w.settle();
    CHECK(w.replica_world.restored.empty());
    CHECK(w.marker()->state == FenceState::reversing);
    CHECK(w.host.disks[w.source].read_only);
}

TEST_CASE("way back: given up after it was kept, but not said so, root can still release it") {
    Fenced w;
    w.reversing();
    w.host.failing = {"set_read_only"};
    w.want(w.released(70, true));
    w.settle();
    (void)w.last<StepFailed>();
    REQUIRE(w.replica_world.promotions == 1);
    w.host.failing.clear();
    w.want(w.released(80, false));
    w.settle();
    CHECK(w.last_error() == "reverse_kept");
    CHECK(w.replica_world.restored.empty());
    REQUIRE(w.marker());
    CHECK(w.marker()->reverse == ReverseState::kept);
    Result<> broken;
    w.process->executor->break_fence({"move-web", {}, "root"},
                                     [&](const Result<>& result) { broken = result; });
    w.settle();
    REQUIRE(broken.has_value());
    CHECK(w.serves());
}

TEST_CASE("way back: once it is over, its withdrawal ends nothing else") {
    Fenced w;
    w.reversing();
    w.want(w.released(70, true));
    w.settle();
    const auto stopped = w.replica_world.sources_stopped;
    EffectWithdrawn gone;
    gone.id = w.reverse(60, Side::source).id;
    w.process->executor->withdrawn(gone);
    w.settle();
    CHECK(w.replica_world.sources_stopped == stopped);
    const auto record = load_replicate(w.paths.job(w.job, Side::source));
    REQUIRE(record.has_value());
    CHECK((*record)->wanted);
}

TEST_CASE("way back: only a source that may take it in says that it can") {
    Fenced w;
    const PreflightWork work{{w.source}, {}};
    const auto says = [&] {
        const PreflightDone done = preflight_source(w.parts(), work);
        const bool can = std::ranges::count(done.capabilities, reverse_capability) > 0;
        CHECK(can == !done.endpoint.host.empty());
        return can;
    };
    CHECK(says());
    SECTION("the disk is not exposed so") {
        REQUIRE(w.consents().remove(w.source).has_value());
    }
    SECTION("it is exposed to be overwritten, which is another thing") {
        REQUIRE(w.consents().remove(w.source).has_value());
        w.host.disks[w.source].mounted = false;
        w.expose(w.source);
    }
    SECTION("nobody listens") {
        w.config.listen.reset();
    }
    SECTION("there is no journal") {
        w.config.journal_directory.clear();
    }
    SECTION("another disk is there now") {
        w.host.disks[w.source].identity = "wwid:other";
    }
    CHECK_FALSE(says());
}

// ---- the target ----

}  // namespace
}  // namespace drover::agent
