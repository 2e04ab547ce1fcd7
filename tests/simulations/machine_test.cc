// The rules of the simulated machines and hosts that the whole simulation rests on.
#include "tests/simulations/machine_world.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::sim::testing {
namespace {

using agent::DiskUse;
using agent::GuardName;
using replicator::Access;
using replicator::block_bytes;

// ---- the machine ----

TEST_CASE("a workload writes only while it runs, on disks that are mounted and there") {
    World world;
    CHECK_FALSE(world.workload_writes(0));
    REQUIRE(world.machine.start(world.workload));
    std::vector<Version> before;
    world.machine.on_user_write = [&](Disk&, std::uint64_t, Version old) { before.push_back(old); };
    CHECK(world.workload_writes(0));
    const Version first = world.disk.now()[0];
    world.disk.read_only = true;  // does not stop a mounted filesystem
    CHECK(world.workload_writes(0));
    CHECK(before == std::vector<Version>{0, first});
    CHECK(world.disk.now()[0] != first);
    world.disk.present = false;
    CHECK_FALSE(world.workload_writes(0));
    world.disk.present = true;
    world.machine.stop(world.workload);
    CHECK_FALSE(world.workload_writes(0));
    CHECK(before.size() == 2);
}

TEST_CASE("a workload does not start on a disk that is held, gone, read-only or hidden") {
    World world;
    Disk& second = world.machine.add_disk("/dev/vdc", blocks);
    world.workload.disks.emplace_back("/dev/vdc");
    SECTION("held") {
        second.guard = "somebody";
    }
    SECTION("gone") {
        second.present = false;
    }
    SECTION("read-only") {
        second.read_only = true;
    }
    SECTION("hidden") {
        second.hidden = true;
    }
    SECTION("unknown") {
        world.workload.disks.emplace_back("/dev/vdd");
    }
    CHECK_FALSE(world.machine.start(world.workload));
    CHECK_FALSE(world.workload.running);
    CHECK_FALSE(world.disk.mounted);
}

TEST_CASE("a stray writer is stopped by a guard and by nothing else") {
    World world;
    CHECK(world.machine.write_as_stray(path, 5));
    CHECK(world.disk.write_mark == 1);
    CHECK_FALSE(world.disk.mounted);
    REQUIRE(world.hold());
    CHECK_FALSE(world.machine.write_as_stray(path, 5));
    CHECK(world.disk.write_mark == 1);
}

TEST_CASE("a reboot ends what only the kernel knew and starts what udev shows") {
    World world;
    Disk& nameless = world.machine.add_disk("/dev/vdc", blocks);
    nameless.identity.clear();
    world.machine.workloads["shelf"] = {"shelf", {"/dev/vdc"}};
    const std::uint64_t seq = nameless.diskseq;
    const std::string boot = world.machine.identity.boot_id;
    const auto tracker = world.track(1);
    REQUIRE(world.hold());
    REQUIRE(world.host->set_read_only(path, true));
    REQUIRE(world.host->hide_from_udev(path));
    REQUIRE(world.host->hide_from_udev("/dev/vdc"));
    world.disk.write(0, 1000);
    world.machine.reboot(false);
    CHECK(world.machine.identity.boot_id != boot);
    CHECK(world.machine.identity.id == "machine-alpha");
    CHECK(world.machine.guards.empty());
    CHECK(world.disk.guard.empty());
    CHECK_FALSE(world.disk.read_only);
    CHECK(world.disk.write_mark == 0);
    CHECK(world.disk.tracking.empty());
    INFO("a rule for a disk without identity is not found again");
    CHECK(world.disk.hidden);
    CHECK_FALSE(world.workload.running);
    CHECK_FALSE(nameless.hidden);
    CHECK(nameless.diskseq != seq);
    CHECK(world.machine.workloads["shelf"].running);
    CHECK(nameless.mounted);
}

TEST_CASE("a masked workload stays down after a reboot, an unmasked one comes back") {
    World world;
    REQUIRE(world.machine.start(world.workload));
    world.machine.reboot(true);
    CHECK(world.workload.running);
    REQUIRE(world.host->run_hook(world.hook("stop-shop")));
    world.machine.reboot(true);
    CHECK_FALSE(world.workload.running);
    CHECK_FALSE(world.disk.mounted);
}

// ---- the host ----

TEST_CASE("a host: a disk that is not there is not found") {
    World world;
    const auto there = world.host->look_up(path);
    REQUIRE(there.has_value());
    CHECK(there->facts.identity == world.disk.identity);
    CHECK(there->facts.size_bytes == blocks * block_bytes);
    CHECK(there->facts.is_block_device);
    CHECK(there->diskseq == world.disk.diskseq);
    world.disk.present = false;
    CHECK(world.host->look_up(path).error().code() == Errc::not_found);
    CHECK(world.host->look_up("/dev/vdz").error().code() == Errc::not_found);
    CHECK(world.host->open_disk(path, Access::read_only).error().code() == Errc::not_found);
    CHECK(world.hold().error().code() == Errc::not_found);
}

TEST_CASE("a host: a filesystem is unmounted once its workload has stopped") {
    World world;
    REQUIRE(world.machine.start(world.workload));
    REQUIRE(world.workload_writes(5));
    const auto uses = world.host->uses(path);
    REQUIRE(uses->size() == 2);
    CHECK(uses->at(0).kind == DiskUse::Kind::mount);
    CHECK(uses->at(1).kind == DiskUse::Kind::writer);
    CHECK(id_of(world.host->unmount(path)) == "disk_busy");
    CHECK(id_of(world.hold()) == "disk_busy");
    REQUIRE(world.host->run_hook(world.hook("stop-shop")));
    CHECK(world.disk.durable() != world.disk.now());
    CHECK(world.host->uses(path)->size() == 1);
    CHECK(world.host->unmount(path));
    CHECK(world.host->uses(path)->empty());
    INFO("unmounting writes out what was cached");
    CHECK(world.disk.durable() == world.disk.now());
}

TEST_CASE("a host: a guard holds its disks alone, beyond the process that asked for it") {
    World world;
    world.machine.add_disk("/dev/vdc", blocks);
    const GuardName other{job_id(2), Side::source};
    world.in_process([&] { CHECK(world.hold()); });
    CHECK(world.host->guard_held(world.guard, {path}).value());
    CHECK(world.hold());
    CHECK_FALSE(world.host->guard_held(world.guard, {path, "/dev/vdc"}).value());
    CHECK(id_of(world.host->hold_guard(world.guard, {path, "/dev/vdc"})) == "disk_busy");
    CHECK(id_of(world.host->hold_guard(other, {"/dev/vdc", path})) == "disk_busy");
    CHECK(world.machine.find("/dev/vdc")->guard.empty());
    CHECK(world.host->uses(path)->empty());
    CHECK_FALSE(world.machine.start(world.workload));
    CHECK(world.host->end_guard(world.guard));
    CHECK(world.host->end_guard(world.guard));
    CHECK_FALSE(world.host->guard_held(world.guard, {path}).value());
    CHECK(world.host->hold_guard(other, {"/dev/vdc", path}));
}

TEST_CASE("a host: a read-only disk is synced and takes no write past a filesystem") {
    World world;
    const auto device = open_simulated(world.disk, Access::read_write);
    world.disk.write(1, 1000);
    REQUIRE(world.host->set_read_only(path, true));
    CHECK(world.disk.durable()[1] == 1000);
    CHECK(device->write(0, block_of(1)).error().code() == Errc::io);
    CHECK(world.host->open_disk(path, Access::read_write).error().code() == Errc::denied);
    CHECK(world.host->open_disk(path, Access::read_only).has_value());
}

TEST_CASE("a host: only a disk of zeroes is blank, and the root disk is its own") {
    World world;
    CHECK(world.host->check_blank(path));
    world.disk.write(blocks - 1, 1000);
    CHECK(id_of(world.host->check_blank(path)) == "target_not_blank");
    CHECK(world.host->own_files_on(path)->empty());
    world.disk.root = true;
    CHECK(*world.host->own_files_on(path) == std::vector<std::string>{"the root filesystem"});
}

TEST_CASE("a host: writes are counted as the kernel counts them") {
    World world;
    const std::uint64_t mark = world.host->write_mark(path).value();
    world.disk.write(1, 1000);
    world.disk.write(1, 1001);
    CHECK(world.host->write_mark(path).value() == mark + 2);
    CHECK(world.host->bytes_written(path).value() == 2 * block_bytes);
}

TEST_CASE("a host: hooks stop, start and check the workload of their job") {
    World world;
    const auto run = [&](const std::string& name) {
        return id_of(world.host->run_hook(world.hook(name)));
    };
    CHECK(run("check-shop") == "hook_failed");
    CHECK(run("start-shop").empty());
    CHECK(world.workload.serves());
    CHECK(run("check-shop").empty());
    CHECK(run("stop-shop").empty());
    CHECK_FALSE(world.workload.serves());
    CHECK(world.workload.masked);
    REQUIRE(world.host->unmount(path));
    REQUIRE(world.hold());
    CHECK(run("start-shop") == "hook_failed");
    CHECK(run("other").empty());
    CHECK(world.machine.hooks_run.front() == "pre_fence check-shop");
    CHECK(world.machine.hooks_run.size() == 6);
}

TEST_CASE("a host: a hook fails, hangs or lies once, and does nothing then") {
    World world;
    REQUIRE(world.machine.start(world.workload));
    const auto [fault, id, seconds] =
        GENERATE(table<HookFault, std::string, Micros>({{HookFault::fails, "hook_failed", 0},
                                                        {HookFault::hangs, "hook_timed_out", 60},
                                                        {HookFault::lies, "", 0}}));
    world.machine.hook_faults["stop-shop"] = fault;
    std::string answer;
    world.in_process([&] { answer = id_of(world.host->run_hook(world.hook("stop-shop"))); });
    CHECK(answer == id);
    CHECK(world.scheduler.now() == seconds * 1'000'000);
    CHECK(world.workload.running);
    CHECK(world.host->run_hook(world.hook("stop-shop")));
    CHECK_FALSE(world.workload.running);
}

TEST_CASE("a host: a hook runs only if it is the file that was approved") {
    World world;
    agent::HookRun run = world.hook("start-shop");
    CHECK(world.host->check_hook("start-shop").value() == run.hook.sha256);
    run.hook.sha256.data[0] ^= 1;
    CHECK(id_of(world.host->run_hook(run)) == "hook_changed");
    CHECK_FALSE(world.workload.running);
}

TEST_CASE("a host: the workload of a test writes overlays, and nothing of it reaches the disks") {
    World world;
    world.disk.write(3, next_version());
    world.disk.flush();
    const std::vector<Version> before = world.disk.now();
    const agent::OverlayPlan plan{"job-1", {path}, "/alpha/tests", "qcow2"};
    CHECK(id_of(world.host->can_overlay(plan)) == "overlay_unsupported");
    world.machine.overlay_kinds = {"qcow2"};
    CHECK(world.host->can_overlay(plan));
    agent::HookRun start = world.hook("try-shop", HookStep::test_start);
    start.test_disks = world.host->make_overlays(plan).value();
    REQUIRE(world.host->run_hook(start));
    CHECK(world.machine.write_as_trial("shop", 0, 3));
    CHECK(world.machine.overlays["job-1"].front().written.size() == 2);
    CHECK(world.disk.now() == before);
    CHECK(world.disk.write_mark == 1);

    INFO("an overlay that is in use stays, and the test can be stopped");
    CHECK(id_of(world.host->remove_overlays(plan)) == "disk_busy");
    CHECK(world.host->run_hook(world.hook("untry-shop", HookStep::test_stop)));
    CHECK_FALSE(world.machine.write_as_trial("shop", 0, 3));
    CHECK(world.host->remove_overlays(plan));
    CHECK(world.host->remove_overlays(plan));
    CHECK(world.machine.overlays.empty());
    CHECK(id_of(world.host->run_hook(start)) == "hook_failed");
}

TEST_CASE("a reboot ends a test's workload and takes its loop devices, but no file") {
    World world;
    const std::string kind = GENERATE("reflink", "qcow2");
    world.machine.overlay_kinds = {kind};
    const agent::OverlayPlan plan{"job-1", {path}, "/alpha/tests", kind};
    agent::HookRun start = world.hook("try-shop", HookStep::test_start);
    start.test_disks = world.host->make_overlays(plan).value();
    REQUIRE(world.host->run_hook(start));
    world.machine.reboot(true);
    CHECK(world.machine.trials.empty());
    CHECK(world.host->run_hook(start).has_value() == (kind == "qcow2"));
    world.machine.stop_trial("shop");
    CHECK(world.host->remove_overlays(plan));
}

TEST_CASE("a host: an act fails as it is told before it has an effect, and steps after it") {
    World world;
    REQUIRE(world.hold());
    CHECK(world.steps.back() == "host.hold_guard");
    world.environment.on_attempt = [](std::string_view act, std::string_view at) -> Result<> {
        return Error(Errc::io, std::string(act), std::string(at));
    };
    CHECK(world.host->end_guard(world.guard).error() ==
          Error(Errc::io, "host.end_guard", world.guard.text()));
    CHECK(world.host->set_read_only(path, true).error() ==
          Error(Errc::io, "host.set_read_only", path));
    CHECK_FALSE(world.disk.read_only);
    CHECK_FALSE(world.disk.guard.empty());
    CHECK(world.steps.back() == "host.hold_guard");
}

TEST_CASE("a host: the same seed draws the same generations, another one others") {
    std::vector<Generation> drawn;
    for (const std::uint64_t seed : {1U, 1U, 2U}) {
        World world;
        Machine machine("beta", Dice(seed));
        machine.add_disk(path, blocks);
        const auto host = open_host(machine);
        const auto device = host->open_disk(path, Access::read_only).value();
        replicator::TrackerOptions options;
        options.job = job_id(1);
        const auto tracker = host->attach_tracker(*device, options, nullptr).value();
        drawn.push_back(tracker->generation());
        CHECK(host->attach_tracker(*device, options, nullptr).value()->resumed());
    }
    CHECK(drawn[0] == drawn[1]);
    CHECK(drawn[0] != drawn[2]);
}

TEST_CASE("a host: without eBPF the product's own scan tracks the disk") {
    World world;
    const auto device = world.host->open_disk(path, Access::read_only).value();
    replicator::TrackerOptions options;
    options.job = job_id(1);
    options.state_directory = world.machine.state_root();
    options.allow_ebpf = false;
    std::string why;
    const auto tracker = world.host->attach_tracker(*device, options, &why).value();
    CHECK(tracker->kind() == "scan");
    CHECK_FALSE(why.empty());
    Bytes chunk(tracker->observe_bytes());
    for (std::uint64_t at = 0; at < blocks * block_bytes; at += chunk.size()) {
        chunk.resize(std::min<std::uint64_t>(chunk.size(), blocks * block_bytes - at));
        tracker->observe(at, chunk);
    }
    tracker->dirty().clear_all();
    world.disk.write(20, next_version());
    REQUIRE(tracker->refresh());
    CHECK(tracker->dirty().test(20));
    CHECK_FALSE(tracker->dirty().test(50));
}

}  // namespace
}  // namespace drover::sim::testing
