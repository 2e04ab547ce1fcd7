// The change map on a real disk: what its users write while they are being compared is never called
// a fault, and nothing that they wrote is forgotten while no agent runs.
#include "agent/change_map.h"
#include "agent/host_linux.h"
#include "tests/agent/loop_disk.h"
#include "tests/replicator/replica_lab.h"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <unistd.h>

namespace drover::agent {
namespace {

using replicator::block_bytes;
using replicator::testing::Lab;
using testing::LoopDisk;
using testing::World;

constexpr std::uint64_t mebibyte = 1U << 20;
constexpr std::uint64_t disk_bytes = 48 * mebibyte;

/// A disk, an agent's state, and the kernel's trackers between them.
struct Tracked {
    Tracked()
        : disk(disk_bytes),
          host(
              HostLinuxOptions{HostIdentity{"host-a", "boot-1"}, world.paths, AGENT_PROGRAM, {}, 5},
              random) {
        world.job = random.uuid();
        world.launch();
        begin();
    }

    ~Tracked() { map->forget({disk.path()}); }

    /// A process that has not opened the map yet; the one before was killed.
    void begin() {
        map = std::make_unique<ChangeMap>(AgentParts{world.config,
                                                     world.paths,
                                                     world.identity,
                                                     host,
                                                     *world.process->journal,
                                                     *world.process->fences,
                                                     *world.process->exposures,
                                                     clock,
                                                     {}},
                                          world.job);
    }

    World world;
    LoopDisk disk;
    SystemRandom random;
    SystemClock clock;
    HostLinux host;
    std::unique_ptr<ChangeMap> map;
};

/// Writes blocks of noise past the page cache, as an application would.
class User {
  public:
    explicit User(const std::string& path)
        : fd_(::open(path.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC)) {
        REQUIRE(fd_.valid());
    }

    [[nodiscard]] bool write(std::uint64_t block) {
        const auto bytes = buffer_.first(block_bytes);
        dice_.fill(bytes);
        return ::pwrite(fd_.get(), bytes.data(), bytes.size(),
                        static_cast<off_t>(block * block_bytes)) == std::int64_t{block_bytes};
    }

    std::uint64_t below(std::uint64_t limit) { return dice_.below(limit); }

  private:
    Fd fd_;
    replicator::AlignedBuffer buffer_{block_bytes};
    SeededRandom dice_{3};
};

bool skipped() {
    std::string reason = testing::why_no_loop_devices();
    if (reason.empty()) {
        const LoopDisk disk(mebibyte);
        const auto device = replicator::open_device(disk.path(), replicator::Access::read_only);
        const auto able = replicator::ebpf_can_track((*device)->facts());
        if (!able) reason = able.error().detail();
    }
    if (!reason.empty()) WARN("skipped: " << reason);
    return !reason.empty();
}

TEST_CASE(
    "change map: on a real disk it outlives its agent, and knows what was written meanwhile") {
    if (skipped()) return;
    Tracked t;
    const auto generations = t.map->attach({t.disk.path()});
    REQUIRE(generations.has_value());
    User user(t.disk.path());
    REQUIRE(user.write(3));
    t.begin();
    REQUIRE(user.write(700));
    REQUIRE(t.map->resume(*generations, "boot-1", {t.disk.path()}).has_value());
    REQUIRE(user.write(3));
    REQUIRE(t.map->audit().has_value());
    CHECK(t.map->dirty(0).test(3));
    CHECK(t.map->dirty(0).test(700));
    CHECK(t.map->may_be_written(0, 700, 1));
    CHECK_FALSE(t.map->may_be_written(0, 4, 600));
    CHECK(t.map->bytes() == 2 * block_bytes);
    t.begin();
    t.map->forget({t.disk.path()});
    const auto gone = t.map->resume(*generations, "boot-1", {t.disk.path()});
    REQUIRE_FALSE(gone.has_value());
    CHECK(gone.error().id() == "change_map_lost");
}

TEST_CASE("comparison: a target that is written all the time is compared without a false alarm") {
    if (skipped()) return;
    Tracked t;
    Lab lab({disk_bytes});
    lab.open_target_disk = [&](std::size_t) {
        return replicator::open_device(t.disk.path(), replicator::Access::read_write).value();
    };
    lab.mirror();
    REQUIRE(lab.source->drain({}).has_value());
    const Ticket ticket = lab.signed_ticket(lab.serial);
    lab.source->update(ticket, ReplicateMode::track_only, {}, false);
    REQUIRE(lab.target->promote().has_value());
    REQUIRE(t.map->attach({t.disk.path()}).has_value());
    std::vector<std::unique_ptr<replicator::BlockDevice>> disks;
    disks.push_back(replicator::open_device(t.disk.path(), replicator::Access::read_only).value());
    const auto server =
        std::make_shared<replicator::HeldTarget>(ticket, std::move(disks), *t.map, t.clock);
    lab.held = server;
    lab.source->update(ticket, ReplicateMode::compare, {}, false);
    std::atomic<bool> over = false;
    std::atomic<std::uint64_t> writes = 0;
    User user(t.disk.path());
    std::thread users([&] {
        // The second half of the disk stays as it was copied.
        while (!over && user.write(user.below(disk_bytes / block_bytes / 2))) ++writes;
    });
    for (int round = 0; round < 3; ++round) {
        INFO(round);
        Result<std::optional<CompareDone>> done = lab.source->compare(60'000);
        CHECK(done.has_value());
        if (!done || !*done) break;
        const CompareDone& found = **done;
        CHECK(found.mismatches.empty());
        CHECK(found.disks.at(0).source_root == found.disks.at(0).target_root);
        CHECK(found.disks.at(0).bytes >= disk_bytes / 2);
        CHECK(found.disks.at(0).bytes + found.disks.at(0).written_bytes == disk_bytes);
        WARN("writes " << writes << ", left out " << found.disks.at(0).written_bytes << " bytes");
    }
    over = true;
    users.join();
    lab.kill_source();
    server->end();
    CHECK(t.map->audit().has_value());
}

}  // namespace
}  // namespace drover::agent
