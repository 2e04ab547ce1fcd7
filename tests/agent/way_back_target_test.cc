// The target's half of a rollback that keeps what its users wrote: what is sent, and when nothing
// is.
#include "agent/reverse_sender.h"
#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

/// A target whose users wrote three blocks, and which is down.
struct Down : World {
    explicit Down(bool keeps = true) {
        serve_from_target();
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
