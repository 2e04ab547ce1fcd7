#include "agent/preflight.h"
#include "base/file.h"
#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

/// The fenced source of a job in its hold.
struct Source : World {
    Source() {
        boot();
        want(replicate(40, Side::source));
        want(fence(50));
        settle();
        REQUIRE(is_fenced());
        process->output.reports.clear();
    }

    [[nodiscard]] Effect verify(std::uint64_t seq, bool compares) const {
        return effect(seq, EffectKind::verify, Side::source, VerifyWork{token, compares});
    }

    [[nodiscard]] Effect compare(std::uint64_t seq) const {
        return effect(seq, EffectKind::compare, Side::source, CompareWork{token});
    }

    /// The replica's word once it was stopped.
    void cancelled() {
        if (replica_world.sources_stopped > 0)
            replica_world.compare_error = Error(Errc::cancelled, "replica_stopped", "asked to");
    }
};

TEST_CASE("verify: by induction nothing is compared, else the whole disks are") {
    Source w;
    w.want(w.verify(60, false));
    w.settle();
    (void)w.last<VerifyDone>();
    CHECK(w.replica_world.proved == 1);
    CHECK(w.replica_world.verified == 0);
    w.want(w.verify(61, true));
    w.settle();
    CHECK(w.replica_world.proved == 1);
    CHECK(w.replica_world.verified == 1);
}

TEST_CASE("comparison: it needs the fence, before and after") {
    Source w;
    Effect stranger = w.compare(60);
    std::get<CompareWork>(stranger.work).token = FenceToken{{9}};
    w.want(stranger);
    w.settle();
    (void)w.last<StepFailed>();
    w.replica_world.during_compare = [&w] { w.host.disks["/dev/s"].write_mark += 8; };
    w.want(w.compare(61));
    w.settle();
    (void)w.last<StepFailed>();
}

TEST_CASE("comparison: the fence is watched while it goes on for hours") {
    Source w;
    w.replica_world.compare_rounds = 3;
    int rounds = 0;
    w.replica_world.during_compare = [&] {
        if (++rounds == 1) w.host.disks["/dev/s"].write_mark += 8;
        if (rounds == 3)
            w.replica_world.compare_error = Error(Errc::io, "disk_read_failed", "not of interest");
    };
    w.want(w.compare(60));
    w.settle();
    const auto& reports = w.process->output.reports;
    CHECK(std::any_of(reports.begin(), reports.end(), [](const Report& report) {
        return std::holds_alternative<FenceBreach>(report.body);
    }));
}

TEST_CASE("comparison: a release, and a copy that is wanted otherwise, end it") {
    for (const bool by_release : {true, false}) {
        INFO(by_release);
        Source w;
        w.replica_world.compare_rounds = 1000;
        bool asked = false;
        w.replica_world.during_compare = [&] {
            if (!std::exchange(asked, true))
                w.want(by_release ? w.release(70)
                                  : w.replicate(70, Side::source, ReplicateMode::track_only));
            w.cancelled();
        };
        w.want(w.compare(60));
        w.settle();
        CHECK(w.replica_world.compare_rounds > 900);
        CHECK(w.replica_world.sources_stopped > 0);
        if (by_release) CHECK(w.in_service());
    }
}

TEST_CASE("comparison: the wish for it, said again, does not end it") {
    Source w;
    w.replica_world.compare_rounds = 3;
    w.replica_world.during_compare = [&w] {
        w.want(w.replicate(70, Side::source, ReplicateMode::compare));
    };
    w.want(w.compare(60));
    w.settle();
    (void)w.last<CompareDone>();
    CHECK(w.replica_world.sources_stopped == 0);
}

/// The target's disks are their users', and a comparison is wanted.
struct Target : World {
    Target() {
        serve_from_target();
        want(wish(55));
        settle();
    }

    [[nodiscard]] Effect wish(std::uint64_t seq, std::uint64_t serial = 40) const {
        Effect out = replicate(serial, Side::target, ReplicateMode::compare);
        out.id.seq = seq;
        return out;
    }

    [[nodiscard]] bool answers() {
        if (!process->peers.listening) return false;
        const auto effect = wish(55);
        return process->peers.find(std::get<ReplicateWork>(effect.work).ticket) != nullptr;
    }
};

TEST_CASE("comparison: a target in service answers, and opens nothing for writing") {
    Target w;
    CHECK(w.answers());
    CHECK(w.replica_world.targets_opened == 1);
    CHECK(w.host.disks["/dev/t"].mounted);
    CHECK_FALSE(w.host.guarded(w.job, Side::target));
    w.die();
    w.boot();
    CHECK(w.answers());
    CHECK(w.replica_world.targets_opened == 1);
}

TEST_CASE("comparison: it is over with the wish, and with the users' time on the target") {
    Target withdrawn;
    withdrawn.process->executor->withdrawn({withdrawn.wish(55).id, 1});
    withdrawn.settle();
    CHECK_FALSE(withdrawn.answers());
    Target stopped;
    stopped.want(stopped.deactivate(60));
    stopped.settle();
    (void)stopped.last<DeactivateDone>();
    CHECK_FALSE(stopped.answers());
    stopped.process->executor->tick();
    stopped.settle();
    CHECK_FALSE(stopped.answers());
    CHECK(stopped.replica_world.targets_opened == 1);
}

TEST_CASE("comparison: under another ticket, or before the release, nothing is answered") {
    Target other;
    other.want(other.wish(56, 41));
    other.settle();
    CHECK_FALSE(other.answers());
    World early;
    early.boot();
    early.expose("/dev/t");
    early.want(early.replicate(40, Side::target, ReplicateMode::compare));
    early.settle();
    CHECK(early.replica_world.targets_opened == 0);
    CHECK_FALSE(early.process->peers.listening);
    CHECK(early.report_count() == 0);
}

TEST_CASE("preflight: a comparison during the hold is offered where changes can be known") {
    World w;
    w.boot();
    w.expose("/dev/t");
    const auto offers = [&](const PreflightDone& done) {
        return std::count(done.capabilities.begin(), done.capabilities.end(), "compare.hold") == 1;
    };
    const PreflightWork work{{"/dev/t"}, {}};
    CHECK(offers(preflight_source(w.parts(), PreflightWork{{"/dev/s"}, {}})));
    CHECK(offers(preflight_target(w.parts(), work, false)));
    w.host.tracks_blocks = false;
    CHECK_FALSE(offers(preflight_target(w.parts(), work, false)));
    w.host.tracks_blocks = true;
    w.config.allow_ebpf = false;
    CHECK_FALSE(offers(preflight_target(w.parts(), work, false)));
}

}  // namespace
}  // namespace drover::agent
