// The rules of the simulated disks and trackers that the whole simulation rests on.
#include "tests/simulations/machine_world.h"

#include <algorithm>
#include <array>

#include <catch2/catch.hpp>

namespace drover::sim::testing {
namespace {

using replicator::Access;
using replicator::Audit;
using replicator::block_bytes;

// ---- the device ----

TEST_CASE("a device: what is written is read, every block as its version and zeroes") {
    World world;
    const auto device = open_simulated(world.disk, Access::read_write);
    Bytes data = block_of(0x0102030405060708);
    put_bytes(data, block_of(42));
    REQUIRE(device->write(3 * block_bytes, data));
    CHECK(world.disk.now()[3] == 0x0102030405060708);
    CHECK(world.disk.now()[4] == 42);
    Bytes back(2 * block_bytes, 0xff);
    REQUIRE(device->read(3 * block_bytes, back));
    CHECK(back == data);
    REQUIRE(device->write_zeroes(3 * block_bytes, block_bytes));
    CHECK(world.disk.now()[3] == 0);
    CHECK(world.disk.writes == 3);
}

TEST_CASE("a device: part of a block can be read") {
    World world;
    world.disk.write(1, 0x0807060504030201);
    const auto device = open_simulated(world.disk, Access::read_only);
    Bytes sector(512, 0xff);
    REQUIRE(device->read(block_bytes, sector));
    CHECK(get_u64(sector, 0) == 0x0807060504030201);
    CHECK(std::all_of(sector.begin() + 8, sector.end(), [](auto byte) { return byte == 0; }));
    Bytes across(1024, 0xff);
    REQUIRE(device->read(block_bytes - 512, across));
    CHECK(get_u64(across, 0) == 0);
    CHECK(get_u64(across, 512) == 0x0807060504030201);
    REQUIRE(device->read(blocks * block_bytes - 512, sector));
}

TEST_CASE("a device: a disk that is gone, or attached anew, answers with an I/O error") {
    World world;
    const auto device = open_simulated(world.disk, Access::read_write);
    Bytes data = block_of(1);
    world.disk.present = false;
    CHECK(device->read(0, data).error().code() == Errc::io);
    CHECK(device->write(0, data).error().code() == Errc::io);
    CHECK(device->flush().error().code() == Errc::io);
    CHECK(device->present_size_bytes().error().code() == Errc::io);
    world.disk.present = true;
    REQUIRE(device->present_size_bytes().has_value());
    ++world.disk.diskseq;
    CHECK(device->read(0, data).error().code() == Errc::io);
}

TEST_CASE("a device: each call takes the disk's time, and its effect comes at the end of it") {
    World world;
    world.disk.io_time = 5000;
    const auto device = open_simulated(world.disk, Access::read_write);
    Version seen_meanwhile = 99;
    world.scheduler.at(4999, [&] { seen_meanwhile = world.disk.now()[0]; });
    world.in_process([&] {
        CHECK(device->write(0, block_of(5)));
        CHECK(world.scheduler.now() == 5000);
    });
    CHECK(seen_meanwhile == 0);
    CHECK(world.disk.now()[0] == 5);
}

TEST_CASE("a device: a process killed before its write was done has not written") {
    World world;
    const std::string where = GENERATE("disk.before_write", "disk.written", "while it takes time");
    const auto device = open_simulated(world.disk, Access::read_write);
    const ProcessId process = world.scheduler.new_process();
    world.environment.on_step = [&](std::string_view step) {
        if (step == where) world.scheduler.kill(process);
    };
    world.disk.io_time = 1000;
    if (where == "while it takes time")
        world.scheduler.at(500, [&] { world.scheduler.kill(process); });
    bool went_on = false;
    world.scheduler.spawn(process, [&] {
        (void)device->write(0, block_of(5));
        went_on = true;
    });
    world.scheduler.run_until(never);
    CHECK_FALSE(went_on);
    CHECK(world.disk.now()[0] == (where == "disk.written" ? 5U : 0U));
}

TEST_CASE("a device: a disk that goes while a call takes its time is not written") {
    World world;
    world.disk.io_time = 1000;
    const auto device = open_simulated(world.disk, Access::read_write);
    world.scheduler.at(500, [&] { world.disk.present = false; });
    world.in_process([&] { CHECK(device->write(0, block_of(5)).error().code() == Errc::io); });
    CHECK(world.disk.now()[0] == 0);
}

TEST_CASE("a dead process changes nothing while it is unwound") {
    World world;
    const auto device = open_simulated(world.disk, Access::read_write);
    const auto tracker = world.track(1);
    REQUIRE(world.hold());
    std::vector<Errc> answers;

    struct LastWords {
        std::function<void()> say;

        ~LastWords() { say(); }
    };

    const ProcessId process = world.scheduler.new_process();
    world.scheduler.spawn(process, [&] {
        const LastWords words{[&] {
            tracker->forget();
            Bytes data = block_of(5);
            for (const auto& result :
                 {device->write(0, data), device->write_zeroes(0, block_bytes), device->flush(),
                  device->read(0, data), world.host->end_guard(world.guard),
                  world.host->hide_from_udev(path), world.host->set_read_only(path, true),
                  world.host->run_hook(world.hook("start-shop"))})
                answers.push_back(result ? Errc::none : result.error().code());
        }};
        world.scheduler.sleep(1000);
    });
    world.scheduler.at(500, [&] { world.scheduler.kill(process); });
    world.scheduler.run_until(never);
    CHECK(answers == std::vector<Errc>(8, Errc::cancelled));
    CHECK(world.disk.writes == 0);
    CHECK(world.disk.tracking.size() == 1);
    CHECK_FALSE(world.disk.guard.empty());
    CHECK_FALSE(world.disk.hidden);
    CHECK_FALSE(world.disk.read_only);
    CHECK(world.machine.hooks_run.empty());
}

TEST_CASE("a device: an operation fails as it is told, without an effect") {
    World world;
    const auto device = open_simulated(world.disk, Access::read_write);
    world.environment.on_attempt = [](std::string_view operation, std::string_view at) -> Result<> {
        return Error(Errc::io, std::string(operation), std::string(at));
    };
    Bytes data = block_of(1);
    CHECK(device->write(0, data).error() == Error(Errc::io, "disk.write", path));
    CHECK(device->read(0, data).error().id() == "disk.read");
    CHECK(device->flush().error().id() == "disk.flush");
    CHECK(world.disk.now()[0] == 0);
}

TEST_CASE("a power cut: what was flushed stays, of the rest each block is kept, lost or torn") {
    World world;
    const auto device = open_simulated(world.disk, Access::read_write);
    for (std::uint64_t block = 0; block < blocks; ++block) world.disk.write(block, 1000);
    REQUIRE(device->flush());
    CHECK(world.disk.durable() == world.disk.now());
    for (std::uint64_t block = 50; block < blocks; ++block) world.disk.write(block, 2000);
    world.machine.reboot(true);
    std::array<int, 3> kinds{};
    for (std::uint64_t block = 0; block < blocks; ++block) {
        const Version found = world.disk.now()[block];
        if (block < 50) {
            CHECK(found == 1000);
            continue;
        }
        ++kinds.at(found == 2000 ? 0 : found == 1000 ? 1 : 2);
    }
    for (const int kind : kinds) CHECK(kind > 5);
    CHECK(world.disk.durable() == world.disk.now());
}

TEST_CASE("a reboot in order keeps what was written") {
    World world;
    world.disk.write(1, 1000);
    world.machine.reboot(false);
    CHECK(world.disk.durable()[1] == 1000);
    CHECK(world.disk.now()[1] == 1000);
}

TEST_CASE("bit rot is seen by nobody") {
    World world;
    const auto tracker = world.track(1);
    world.disk.write(7, 1000);
    tracker->dirty().clear_all();
    world.disk.rot(7);
    CHECK(world.disk.now()[7] != 1000);
    CHECK(tracker->dirty().count() == 0);
    CHECK(tracker->seq() == 1);
}

// ---- the tracker ----

TEST_CASE("a tracker: every completed write is dirty and counted, whoever wrote") {
    World world;
    const auto tracker = world.track(1);
    REQUIRE(world.machine.start(world.workload));
    CHECK_FALSE(tracker->resumed());
    CHECK(tracker->generation() == generation(1));
    REQUIRE(world.workload_writes(70));
    REQUIRE(world.machine.write_as_stray(path, 71));
    REQUIRE(open_simulated(world.disk, Access::read_write)->write(0, block_of(1)));
    CHECK(tracker->dirty().count() == 3);
    for (const std::uint64_t block : {0U, 70U, 71U}) CHECK(tracker->dirty().test(block));
    CHECK(tracker->seq() == 3);
    CHECK(tracker->audit()->verdict == Audit::Verdict::exact);
}

TEST_CASE("a tracker: the kernel goes on tracking for the next process") {
    World world;
    auto tracker = world.track(1);
    tracker.reset();
    world.disk.write(9, 1000);
    tracker = world.track(2);
    CHECK(tracker->resumed());
    CHECK(tracker->generation() == generation(1));
    CHECK(tracker->dirty().test(9));
    const auto other = track_simulated(world.disk, job_id(2), generation(3));
    CHECK_FALSE(other->resumed());
    CHECK_FALSE(other->dirty().test(9));
}

TEST_CASE("a tracker: forgotten, rebooted or on another disk it begins anew") {
    World world;
    auto tracker = world.track(1);
    SECTION("forgotten") {
        tracker->forget();
    }
    SECTION("rebooted") {
        world.machine.reboot(false);
    }
    SECTION("another disk at the same path") {
        world.disk.identity = "another";
    }
    SECTION("attached anew") {
        ++world.disk.diskseq;
    }
    tracker = world.track(2);
    CHECK_FALSE(tracker->resumed());
    CHECK(tracker->generation() == generation(2));
    CHECK(world.disk.tracking.size() == 1);
}

TEST_CASE("a tracker: a lost completion is not dirty until the audit repairs it") {
    World world;
    auto tracker = world.track(1);
    world.disk.lose_completions = 1;
    world.disk.write(3, 1000);
    world.disk.write(4, 1001);
    CHECK_FALSE(tracker->dirty().test(3));
    CHECK(tracker->dirty().test(4));
    SECTION("by the process that tracks") {
        const auto audit = tracker->audit();
        CHECK(audit->verdict == Audit::Verdict::repaired);
        CHECK(audit->lost_sectors == 8);
    }
    SECTION("by the next one when it resumes") {
        tracker = world.track(2);
        CHECK(tracker->resumed());
    }
    CHECK(tracker->dirty().test(3));
    CHECK(tracker->dirty().count() == 2);
    CHECK(tracker->audit()->verdict == Audit::Verdict::exact);
}

TEST_CASE("a tracker: a completion lost together with its issue is beyond repair") {
    World world;
    auto tracker = world.track(1);
    world.disk.lose_completions = 1;
    world.disk.lose_issues = true;
    world.disk.write(3, 1000);
    SECTION("and everything becomes dirty") {
        CHECK(tracker->audit()->verdict == Audit::Verdict::lost);
        CHECK(tracker->dirty().count() == blocks);
        CHECK(tracker->audit()->verdict == Audit::Verdict::exact);
    }
    SECTION("and the next process does not resume it") {
        tracker = world.track(2);
        CHECK_FALSE(tracker->resumed());
        CHECK(tracker->generation() == generation(2));
    }
}

}  // namespace
}  // namespace drover::sim::testing
