#include "agent/activation.h"
#include "base/file.h"
#include "replicator/target_journal.h"
#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::Pki;
using testing::World;

/// Booted, with the target's half of the job replicating onto an exposed disk.
struct Target : World {
    Target() {
        boot();
        expose("/dev/t");
        want(replicate(40, Side::target));
        settle();
        REQUIRE(replica_world.targets_opened == 1);
        process->output.reports.clear();
    }

    [[nodiscard]] bool held() const { return host.guarded(job, Side::target); }

    void activated() {
        want(activate(50));
        settle();
        (void)last<ActivateDone>();
    }
};

TEST_CASE("target: its disks are held and it listens only while replication is wanted") {
    Target w;
    CHECK(w.held());
    CHECK(w.process->peers.listening);
    w.process->executor->withdrawn({w.replicate(40, Side::target).id, 1});
    w.settle();
    CHECK(w.held());
    CHECK_FALSE(w.process->peers.listening);
}

TEST_CASE("target: a disk that was not exposed, is used, too small or not blank is not opened") {
    struct Case {
        const char* id;
        std::function<void(World&)> prepare;
    };

    const Case cases[] = {
        {"target_not_exposed", [](World&) {}},
        {"target_too_small",
         [](World& w) {
             w.host.disks["/dev/t"].size_bytes = 4096;
             w.expose("/dev/t");
         }},
        {"target_not_blank",
         [](World& w) {
             w.expose("/dev/t");
             w.host.disks["/dev/t"].blank = false;
         }},
        {"disk_busy",
         [](World& w) {
             w.expose("/dev/t");
             w.host.disks["/dev/t"].mounted = true;
         }},
        {"target_in_use",
         [](World& w) {
             w.expose("/dev/t");
             w.host.disks["/dev/t"].other_uses = {{DiskUse::Kind::writer, "dd (pid 5)"}};
         }},
        {"target_identity_changed",
         [](World& w) {
             w.expose("/dev/t");
             w.host.disks["/dev/t"].identity = "wwid:another";
         }},
        {"root_disk",
         [](World& w) {
             w.expose("/dev/t");
             w.host.disks["/dev/t"].root = true;
         }},
    };
    for (const Case& one : cases) {
        INFO(one.id);
        World w;
        w.boot();
        one.prepare(w);
        w.want(w.replicate(40, Side::target));
        w.settle();
        CHECK(w.last_error() == one.id);
        CHECK(w.replica_world.targets_opened == 0);
        CHECK_FALSE(w.host.guarded(w.job, Side::target));
    }
}

TEST_CASE("target: a disk without identity is another one when it was attached anew") {
    World w;
    w.host.disks["/dev/t"].identity.clear();
    w.boot();
    w.expose("/dev/t");
    CHECK(check_exposed(*w.process->exposures, w.host, "/dev/t").has_value());
    w.host.id.boot_id = "boot-2";
    const auto after_reboot = check_exposed(*w.process->exposures, w.host, "/dev/t");
    REQUIRE_FALSE(after_reboot.has_value());
    CHECK(after_reboot.error().id() == "target_identity_changed");
}

TEST_CASE("target: what it wrote itself need not be blank when it comes back") {
    Target w;
    w.host.disks["/dev/t"].blank = false;
    w.die();
    w.boot();
    CHECK(w.replica_world.targets_opened == 2);
}

TEST_CASE(
    "target: a disk that another job has begun to write is nobody else's, to fill or to wipe") {
    Target w;
    Effect other = w.replicate(60, Side::target);
    other.id.job.data[0] ^= 1;
    w.host.disks["/dev/t"].blank = true;
    w.want(other);
    w.settle();
    CHECK(w.last_error() == "disk_of_other_job");
    CHECK(w.replica_world.targets_opened == 1);
    Effect wipe = w.effect(90, EffectKind::delete_data, Side::target, DeleteDataWork{{"/dev/t"}});
    wipe.id.job.data[0] ^= 1;
    w.want(wipe);
    w.settle();
    CHECK(w.last_error() == "disk_of_other_job");
    CHECK(w.held());
}

TEST_CASE("activate: the copy is voided once, the guard ends, the workload starts") {
    Target w;
    w.activated();
    CHECK(w.replica_world.promotions == 1);
    CHECK_FALSE(w.held());
    CHECK(w.host.hooks_run == std::vector<std::string>{"start-app"});
    // What belongs to its users is not opened again under the same ticket.
    w.want(w.replicate(40, Side::target));
    w.settle();
    CHECK(w.replica_world.targets_opened == 1);
}

TEST_CASE(
    "activate: udev is told of the disks when they are free, and before the hook needs them") {
    Target w;
    w.activated();
    CHECK(w.host.when("end_guard") < w.host.when("show_to_udev"));
    CHECK(w.host.when("show_to_udev") < w.host.when("run_hook"));
}

TEST_CASE("activate: a proof that is not the source agent's word about this fence is refused") {
    struct Case {
        const char* what;
        std::function<void(World&, ActivateWork&)> forge;
    };

    const Case cases[] = {
        {"another token", [](World&, ActivateWork& work) { work.token.data[0] = 99; }},
        {"another job", [](World&, ActivateWork& work) { work.proof.job.data[0] = 99; }},
        {"changed after signing", [](World&, ActivateWork& work) { work.proof.run = 2; }},
        {"no signature", [](World&, ActivateWork& work) { work.proof.signature.clear(); }},
        {"signed by another agent",
         [](World& w, ActivateWork& work) { work.proof = w.proof(Pki::shared().agent("evil")); }},
        {"signed under another authority",
         [](World& w, ActivateWork& work) {
             Pki other{*wire::create_authority("other", w.clock.wall_micros())};
             work.proof = w.proof(other.agent("old-01"));
         }},
    };
    for (const Case& one : cases) {
        INFO(one.what);
        Target w;
        Effect effect = w.activate(50);
        one.forge(w, std::get<ActivateWork>(effect.work));
        w.want(effect);
        w.settle();
        CHECK(w.last_error() == "proof_refused");
        CHECK(w.held());
        CHECK(w.replica_world.promotions == 0);
    }
}

TEST_CASE("activate: a token that was deactivated is dead") {
    Target w;
    w.want(w.deactivate(50));
    w.settle();
    CHECK_FALSE(w.last<DeactivateDone>().was_active);
    w.want(w.activate(60));
    w.settle();
    CHECK(w.last_error() == "token_tombstoned");
    CHECK(w.held());
    CHECK(w.host.hooks_run.empty());
}

TEST_CASE("activate: a failing workload leaves a released target that a retry completes") {
    Target w;
    w.host.failing.insert("start-app");
    w.want(w.activate(50));
    w.settle();
    CHECK(w.last_error() == "hook_failed");
    CHECK_FALSE(w.last<StepFailed>().error.kept().empty());
    w.host.failing.clear();
    w.want(w.activate(51));
    w.settle();
    (void)w.last<ActivateDone>();
    CHECK(w.replica_world.promotions == 1);
}

TEST_CASE("activate: a copy that cannot be voided is not released") {
    Target w;
    w.replica_world.promote_error = Error(Errc::io, "checkpoint", "cannot be written");
    w.want(w.activate(50));
    w.settle();
    CHECK(w.last_error() == "checkpoint");
    CHECK(w.held());
    CHECK(w.host.hooks_run.empty());
}

TEST_CASE("activate: after a crash nothing is released before the orchestrator asks again") {
    const std::vector<std::pair<std::string, bool>> steps = {{"activate.record", true},
                                                             {"activate.promote", true},
                                                             {"activate.guard", true},
                                                             {"activate.hook", true},
                                                             {"activate.active", false}};
    for (const auto& [step, kept_down] : steps) {
        INFO(step);
        Target w;
        w.want_and_die_at(w.activate(50), step);
        w.host.hooks_run.clear();
        w.boot();
        CHECK(w.held() == kept_down);
        CHECK(w.host.hooks_run.empty());
        CHECK(w.report_count() == 0);
        w.want(w.activate(50));
        w.settle();
        (void)w.last<ActivateDone>();
        CHECK(w.replica_world.promotions == 1);
        CHECK_FALSE(w.held());
        CHECK(w.host.runs_of("start-app") == (kept_down ? 1 : 0));
    }
}

TEST_CASE("activate: one that a crash cut short and that was rolled back meanwhile never starts") {
    for (const std::string step : {"activate.record", "activate.promote", "activate.guard"}) {
        INFO(step);
        Target w;
        w.want_and_die_at(w.activate(50), step);
        w.boot();
        w.want(w.deactivate(60));
        w.settle();
        (void)w.last<DeactivateDone>();
        CHECK(w.held());
        w.want(w.activate(50));
        w.settle();
        CHECK(w.last_error() == "token_tombstoned");
        CHECK(w.host.runs_of("start-app") == 0);
        CHECK(w.held());
    }
}

TEST_CASE(
    "deactivate: the workload stops, the disks are held again, the written bytes are counted") {
    Target w;
    w.host.disks["/dev/t"].bytes_written = 1000;
    w.activated();
    w.host.disks["/dev/t"].bytes_written = 5096;
    w.want(w.deactivate(60));
    w.settle();
    const auto done = w.last<DeactivateDone>();
    CHECK(done.was_active);
    CHECK(done.bytes_written == 4096);
    CHECK(w.held());
    CHECK_FALSE(w.host.disks["/dev/t"].mounted);
    CHECK(w.host.runs_of("stop-app") == 1);
}

TEST_CASE("deactivate: after a crash at any step it is completed when asked again") {
    for (const std::string step : {"deactivate.tombstone", "deactivate.hook", "deactivate.unmount",
                                   "deactivate.guard", "deactivate.record"}) {
        INFO(step);
        Target w;
        w.activated();
        w.want_and_die_at(w.deactivate(60), step);
        w.boot();
        // The token is dead: nothing may serve from this target until somebody decided.
        CHECK(w.held());
        CHECK_FALSE(w.host.disks["/dev/t"].mounted);
        w.want(w.deactivate(60));
        w.settle();
        CHECK(w.last<DeactivateDone>().was_active);
        CHECK(w.held());
    }
}

TEST_CASE("deactivate: a workload that cannot be stopped is not called stopped") {
    Target w;
    w.activated();
    w.host.failing.insert("stop-app");
    w.want(w.deactivate(60));
    w.settle();
    CHECK(w.last_error() == "hook_failed");
    w.host.failing.clear();
    w.host.disks["/dev/t"].other_uses = {{DiskUse::Kind::writer, "mysqld (pid 9)"}};
    w.want(w.deactivate(61));
    w.settle();
    CHECK(w.last_error() == "target_in_use");
}

TEST_CASE("target: one that was declared stopped stays down when its host comes back") {
    Target w;
    w.activated();
    REQUIRE(w.process->journal->tombstone(w.token));
    w.die();
    w.host.reboot(true);
    w.boot();
    CHECK(w.held());
    CHECK_FALSE(w.host.disks["/dev/t"].mounted);
    CHECK(w.host.runs_of("start-app") == 1);
}

TEST_CASE("target: one in service is left alone when the agent comes back") {
    Target w;
    w.activated();
    w.die();
    w.boot();
    CHECK_FALSE(w.held());
    CHECK(w.host.disks["/dev/t"].mounted);
    CHECK(w.replica_world.targets_opened == 1);
}

TEST_CASE("target: after a rollback only a new ticket replicates onto it again") {
    Target w;
    w.activated();
    w.want(w.deactivate(60));
    w.settle();
    w.want(w.replicate(40, Side::target));
    w.settle();
    CHECK(w.replica_world.targets_opened == 1);
    w.want(w.replicate(80, Side::target));
    w.settle();
    CHECK(w.replica_world.targets_opened == 2);
    CHECK(w.process->peers.listening);
}

TEST_CASE("target: a deactivation that knows nothing of the job does not say that it is stopped") {
    World w;
    w.boot();
    w.want(w.deactivate(60));
    w.settle();
    CHECK(w.last_error() == "job_unknown_here");
    CHECK(w.process->journal->is_tombstoned(w.token));
}

TEST_CASE("target: clean-up of a committed job ends the exposure, of a cancelled one it stays") {
    Target committed;
    committed.activated();
    committed.want(committed.effect(90, EffectKind::cleanup, Side::target, CleanupWork{false}));
    committed.settle();
    (void)committed.last<CleanupDone>();
    CHECK_FALSE(committed.process->exposures->find("/dev/t").has_value());
    CHECK(committed.host.disks["/dev/t"].mounted);

    Target cancelled;
    cancelled.want(cancelled.effect(90, EffectKind::cleanup, Side::target, CleanupWork{false}));
    cancelled.settle();
    (void)cancelled.last<CleanupDone>();
    CHECK(cancelled.process->exposures->find("/dev/t").has_value());
    CHECK_FALSE(cancelled.held());
    CHECK_FALSE(cancelled.process->peers.listening);
}

TEST_CASE("target: live data is never deleted, a cancelled job's copy is") {
    Target live;
    live.activated();
    live.want(live.effect(90, EffectKind::delete_data, Side::target, DeleteDataWork{{"/dev/t"}}));
    live.settle();
    CHECK(live.last_error() == "target_active");

    Target idle;
    idle.want(idle.effect(90, EffectKind::delete_data, Side::target, DeleteDataWork{{"/dev/t"}}));
    idle.settle();
    (void)idle.last<DataDeleted>();
    CHECK_FALSE(idle.held());
}

TEST_CASE("target: a job that is over leaves no journal behind, whoever had opened it") {
    const bool deletes = GENERATE(true, false);
    Target over;
    const auto directory = over.dir.path() / "journals";
    std::filesystem::create_directory(directory);
    over.config.journal_directory = directory;
    const auto file = replicator::journal_path(directory, over.job);
    REQUIRE(write_file_durably(file, as_bytes("of an earlier process")));
    over.want(
        deletes ? over.effect(90, EffectKind::delete_data, Side::target, DeleteDataWork{{"/dev/t"}})
                : over.effect(90, EffectKind::cleanup, Side::target, CleanupWork{false}));
    over.settle();
    CHECK(std::filesystem::is_empty(directory));
}

Result<> go_back(World& w, const std::string& name, std::uint64_t point) {
    Result<> outcome;
    w.process->executor->restore_point({name, point, "root"},
                                       [&](const Result<>& result) { outcome = result; });
    w.settle();
    return outcome;
}

TEST_CASE("target: only a paused job's disks go back to a point, and the job hears of it") {
    Target w;
    const auto effect = w.replicate(40, Side::target);
    const auto busy = go_back(w, effect.job_name, 7);
    REQUIRE_FALSE(busy);
    CHECK(busy.error().id() == "job_not_paused");
    CHECK(w.replica_world.restored.empty());
    w.want(w.replicate(40, Side::target, ReplicateMode::track_only));
    w.settle();
    const auto unknown = go_back(w, "another", 7);
    REQUIRE_FALSE(unknown);
    CHECK(unknown.error().id() == "no_such_target");
    CHECK(w.replica_world.restored.empty());

    REQUIRE(go_back(w, effect.job_name, 7));
    CHECK(w.replica_world.restored == std::vector<std::uint64_t>{7});
    const auto told = w.last<GenerationGone>();
    CHECK(told.cause.find("root") == 0);
    CHECK(told.cause.find("point 7") != std::string::npos);
}

TEST_CASE("target: its points are told, and that there are none any more") {
    Target w;
    w.process->executor->tick();
    w.settle();
    CHECK(w.process->output.progresses.empty());
    w.replica_world.points = {{7, true, 1700, {}, PointKind::filesystem}};
    w.process->executor->tick();
    w.settle();
    REQUIRE(w.process->output.progresses.size() == 1);
    CHECK(w.process->output.progresses.back().points ==
          std::vector<PointMark>{{7, 1700, PointKind::filesystem}});
    w.replica_world.points.clear();
    w.process->executor->tick();
    w.settle();
    w.process->executor->tick();
    w.settle();
    REQUIRE(w.process->output.progresses.size() == 2);
    CHECK(w.process->output.progresses.back().points.empty());
}

}  // namespace
}  // namespace drover::agent
