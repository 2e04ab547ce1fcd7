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
    w.fenced();
    w.want(w.reverse(60, Side::source));
    w.settle();
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
    w.fenced();
    w.want(w.reverse(60, Side::source));
    w.settle();
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
        w.fenced();
        w.want(w.reverse(60, Side::source));
        w.settle();
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
        w.fenced();
        w.want(w.reverse(60, Side::source));
        w.settle();
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
    w.fenced();
    w.want(w.reverse(60, Side::source));
    w.settle();
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
    w.fenced();
    w.want(w.reverse(60, Side::source));
    w.settle();
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

/// A target whose users wrote three blocks, and which is down.
struct Down : World {
    explicit Down(bool keeps = true) {
        boot();
        expose("/dev/t");
        want(replicate(40, Side::target));
        want(activate(50));
        settle();
        (void)last<ActivateDone>();
        host.users_write(3);
        Effect stop = deactivate(60);
        std::get<DeactivateWork>(stop.work).keep_changes = keeps;
        want(stop);
        settle();
        CHECK(last<DeactivateDone>().changes_known);
    }

    [[nodiscard]] Effect reverse(std::uint64_t seq) const {
        Effect effect = replicate(seq, Side::target, ReplicateMode::connected);
        auto& work = std::get<ReplicateWork>(effect.work);
        work.reverse = true;
        work.ticket.disks = {{"/dev/t", "/dev/s"}};
        return effect;
    }

    [[nodiscard]] Effect reverse_drain(std::uint64_t seq) const {
        return effect(seq, EffectKind::reverse_drain, Side::target, ReverseDrainWork{token});
    }

    [[nodiscard]] Effect reverse_verify(std::uint64_t seq) const {
        return effect(seq, EffectKind::reverse_verify, Side::target, ReverseVerifyWork{token});
    }
};

TEST_CASE("way back: a target that is down sends what its map says, also after it was killed") {
    Down w;
    w.want(w.reverse(70));
    w.settle();
    CHECK(w.replica_world.sources_opened == 1);
    w.die();
    w.boot();
    CHECK(w.replica_world.sources_opened == 2);
    w.want(w.reverse_drain(71));
    w.settle();
    CHECK(w.last<ReverseDrainDone>().batch == 7);
    w.want(w.reverse_verify(72));
    w.settle();
    CHECK(w.last<ReverseVerifyDone>().disks.size() == 1);
    CHECK(w.last<ReverseVerifyDone>().mismatches.empty());
    CHECK(w.replica_world.proved == 1);
    CHECK(w.host.guarded(w.job, Side::target));
    CHECK(w.host.tracking.size() == 1);
}

TEST_CASE("way back: what the source did not read back is not proved") {
    Down w;
    w.want(w.reverse(70));
    w.replica_world.prove_error = Error(Errc::conflict, "proof_unread", "4096 bytes");
    w.want(w.reverse_verify(71));
    w.settle();
    CHECK(w.last_error() == "proof_unread");
}

TEST_CASE("way back: without the exact map nothing is sent, and the reason is said") {
    Down w;
    SECTION("the host was booted") {
        w.die();
        w.host.reboot(false);
        w.boot();
        REQUIRE(w.host.hold_guard({w.job, Side::target}, {"/dev/t"}).has_value());
    }
    SECTION("the trackers are gone") {
        w.host.tracking.clear();
    }
    w.want(w.reverse(70));
    w.want(w.reverse_drain(71));
    w.settle();
    CHECK(w.last_error() == "changes_unknown");
    CHECK(w.replica_world.sources_opened == 0);
}

TEST_CASE("way back: nothing is sent from disks that no guard holds, or under another token") {
    Down w;
    SECTION("the guard is gone") {
        w.want(w.reverse(70));
        w.settle();
        w.host.guards.clear();
    }
    SECTION("another token") {
        w.want(w.reverse(70));
        w.settle();
        w.token.data[0] = 9;
    }
    w.want(w.reverse_drain(71));
    w.settle();
    CHECK(w.last_error() == "target_not_fenced");
}

TEST_CASE("way back: a drain that waits for the source ends when the way back is given up") {
    Down w;
    w.want(w.reverse(70));
    w.settle();
    w.replica_world.during_drain = [&] {
        EffectWithdrawn gone;
        gone.id = w.reverse(70).id;
        w.process->executor->withdrawn(gone);
    };
    w.want(w.reverse_drain(71));
    w.settle();
    CHECK(w.replica_world.sources_stopped == 1);
}

TEST_CASE("way back: a drain that was asked for before it was given up waits for nobody") {
    Down w;
    bool waits = false;
    w.replica_world.during_drain = [&] { waits = true; };
    w.want(w.reverse(70));
    w.want(w.reverse_drain(71));
    EffectWithdrawn gone;
    gone.id = w.reverse(70).id;
    w.process->executor->withdrawn(gone);
    w.settle();
    CHECK_FALSE(waits);
    CHECK(w.last_error() == "step_overtaken");
    INFO("the next one is");
    w.want(w.reverse(80));
    w.want(w.reverse_drain(81));
    w.settle();
    CHECK(waits);
}

TEST_CASE("way back: copied to again, a target forgets what its users wrote") {
    Down w;
    Effect again = w.replicate(90, Side::target);
    std::get<ReplicateWork>(again.work).overwrite_acknowledged = true;
    w.want(again);
    w.settle();
    CHECK(w.host.tracking.empty());
    CHECK_FALSE(std::filesystem::exists(w.paths.job(w.job, Side::target) / "reverse"));
}

}  // namespace
}  // namespace drover::agent
