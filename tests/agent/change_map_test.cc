#include "agent/change_map.h"

#include "agent/activation.h"
#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

/// A target in the hands of its users.
struct Active : World {
    explicit Active(bool tracks_blocks = true) {
        host.tracks_blocks = tracks_blocks;
        serve_from_target();
    }

    [[nodiscard]] DeactivateDone stopped(bool keep_changes = false) {
        Effect effect = deactivate(60);
        std::get<DeactivateWork>(effect.work).keep_changes = keep_changes;
        want(effect);
        settle();
        return last<DeactivateDone>();
    }
};

TEST_CASE("change map: it is attached before the disks are let go, after our last write") {
    Active w;
    CHECK(w.host.when("attach_tracker") < w.host.when("end_guard"));
    CHECK(w.host.tracking.size() == 1);
    w.host.users_write(3);
    const auto done = w.stopped();
    CHECK(done.changes_known);
    CHECK(done.changed_bytes == 3 * replicator::block_bytes);
    CHECK(w.host.tracking.empty());
}

TEST_CASE("change map: it survives the agent, and a repeated stop says the same") {
    Active w;
    w.host.users_write(2);
    w.die();
    w.boot();
    w.host.users_write(5);
    const auto done = w.stopped();
    CHECK(done.changes_known);
    CHECK(done.changed_bytes == 5 * replicator::block_bytes);
    w.die();
    w.boot();
    CHECK(w.stopped() == done);
}

TEST_CASE("change map: it is kept for a rollback that needs it, and goes with the job") {
    Active w;
    CHECK(w.stopped(true).changes_known);
    CHECK(w.host.tracking.size() == 1);
    w.die();
    w.boot();
    CHECK(w.host.tracking.size() == 1);
    w.want(w.effect(90, EffectKind::cleanup, Side::target, CleanupWork{false}));
    w.settle();
    CHECK(w.host.tracking.empty());
}

TEST_CASE("change map: what cannot be tracked is activated, and its changes are not known") {
    Active w(false);
    w.host.disks["/dev/t"].bytes_written += 4096;
    const auto done = w.stopped();
    CHECK(done.was_active);
    CHECK_FALSE(done.changes_known);
    CHECK(done.bytes_written == 4096);
    const auto record = load_activation(w.paths, w.job);
    REQUIRE(record.has_value());
    REQUIRE(record->has_value());
    CHECK((*record)->changes_lost.find("no BTF") != std::string::npos);
}

TEST_CASE("change map: a loss that the kernel's counters show is never forgotten again") {
    Active w;
    w.host.tracking.begin()->second.lost = true;
    w.process->executor->tick();
    w.settle();
    w.die();
    w.boot();
    CHECK_FALSE(w.stopped().changes_known);
}

TEST_CASE("change map: after a reboot nobody knows what was written") {
    Active w;
    w.die();
    w.host.reboot(true);
    w.boot();
    CHECK(w.host.tracking.empty());
    CHECK_FALSE(w.stopped().changes_known);
}

TEST_CASE("change map: a disk that cannot be opened for a moment loses nothing") {
    Active w;
    w.host.users_write(1);
    w.die();
    w.host.fail_once = "open_disk";
    w.boot();
    w.process->executor->tick();
    w.settle();
    CHECK(w.stopped().changes_known);
}

TEST_CASE("change map: an activation that a crash cut short begins it anew") {
    World w;
    w.boot();
    w.expose("/dev/t");
    w.want(w.replicate(40, Side::target));
    w.want_and_die_at(w.activate(50), "activate.changes");
    w.host.users_write(4);  // ours, in truth: the copy is voided a second time
    w.boot();
    w.want(w.activate(50));
    w.settle();
    (void)w.last<ActivateDone>();
    w.want(w.deactivate(60));
    w.settle();
    const auto done = w.last<DeactivateDone>();
    CHECK(done.changes_known);
    CHECK(done.changed_bytes == 0);
}

}  // namespace
}  // namespace drover::agent
