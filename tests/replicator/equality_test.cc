/// The proofs of equality, each against a bit that is wrong on the target: flipped on its way to
/// the disk, or at rest. Found, named, refused or alarmed, and repaired; and nothing else is ever
/// found.
#include "replicator/batch_stream.h"
#include "replicator/source_connect.h"
#include "replicator/source_pass.h"
#include "replicator/source_walk.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <condition_variable>
#include <functional>
#include <mutex>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

/// A disk whose reads are looked at first.
class WatchedDevice final : public testing::ForwardingDevice {
  public:
    WatchedDevice(MemoryDevice& disk, std::function<void(std::size_t bytes)> before_read)
        : ForwardingDevice(disk),
          before_read_(std::move(before_read)) {}

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
        before_read_(out.size());
        return disk_.read(offset, out);
    }

  private:
    std::function<void(std::size_t)> before_read_;
};

/// A controller that flips one bit of a block on its way to the disk, so many times.
class FlippingDevice final : public testing::ForwardingDevice {
  public:
    FlippingDevice(MemoryDevice& disk, std::uint64_t offset, std::atomic<int>& flips)
        : ForwardingDevice(disk),
          offset_(offset),
          flips_(flips) {}

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override {
        if (offset_ < offset || offset_ >= offset + data.size() || flips_ <= 0)
            return disk_.write(offset, data);
        --flips_;
        Bytes damaged(data.begin(), data.end());
        damaged[offset_ - offset] ^= 0x02;
        return disk_.write(offset, damaged);
    }

  private:
    const std::uint64_t offset_;
    std::atomic<int>& flips_;
};

struct FlippingLab : Lab {
    explicit FlippingLab(int flips_at_first)
        : Lab({8 * mib}),
          flips(flips_at_first) {
        open_target_disk = [this](std::size_t i) {
            return std::make_unique<FlippingDevice>(*target_disks[i], 3 * mib + 4711, flips);
        };
    }

    std::atomic<int> flips;
};

TEST_CASE("reading back: a bit flipped between socket and disk is found, sent again and counted") {
    FlippingLab lab(1);
    lab.mirror();
    const auto done = lab.source->drain({});
    REQUIRE(ok(done));
    CHECK(lab.differing_bytes() == 0);
    CHECK(done->bytes_differed == block_bytes);
    CHECK(done->bytes_read_back == 8 * mib + block_bytes);
    CHECK(done->bytes_unverified == 0);
    CHECK(lab.recorder.last().bytes_differed == block_bytes);
    CHECK(lab.target->progress().unverified == 0);
    // Only the block, not its extent.
    CHECK(lab.recorder.last().bytes_sent_sync == block_bytes);
}

TEST_CASE("reading back: a flipped bit is found and repaired without a drain, in sync") {
    FlippingLab lab(0);
    lab.mirror();
    REQUIRE(eventually([&] { return lab.recorder.last().bytes_read_back == 8 * mib; }));
    lab.flips = 1;
    lab.source_disks[0]->write_block((3 * mib + 4711) / block_bytes, 0x31);
    REQUIRE(eventually([&] { return lab.recorder.last().bytes_differed == block_bytes; }));
    REQUIRE(eventually([&] { return lab.recorder.last().bytes_unverified == 0; }));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("reading back: a disk that never keeps what is written is not called drained") {
    FlippingLab lab(1'000'000);
    lab.mirror();
    const auto done = lab.source->drain({});
    REQUIRE_FALSE(ok(done));
    CHECK(done.error().id() == "read_back_differs");
    CHECK(done.error().detail().find("disk 0 bytes 3149824+4096") != std::string::npos);
    lab.flips = 0;
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("reading back: a bit flipped between journal and disk is found and sent again") {
    const testing::TemporaryDirectory journals("/var/tmp");
    FlippingLab lab(0);
    lab.journal = JournalPlace{journals.path(), 8 * mib, 8 * mib, 4};
    lab.mirror();
    REQUIRE(eventually([&] { return !lab.target->progress().points.empty(); }));
    const std::uint64_t before = lab.target->progress().points.back().batch;
    lab.flips = 1;
    lab.source_disks[0]->write_block((3 * mib + 4711) / block_bytes, 0x31);
    REQUIRE(eventually([&] { return lab.flips == 0; }));
    const auto done = lab.source->drain({});
    REQUIRE(ok(done));
    // A way back through disks that held other bytes is none.
    for (const BatchMark& point : lab.target->progress().points) CHECK(point.batch > before + 1);
    CHECK(lab.recorder.last().bytes_differed == block_bytes);
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.target->progress().unverified == 0);
}

TEST_CASE("drain: is not reported while anything waits to be read back") {
    Lab lab({8 * mib});
    std::mutex mutex;
    std::condition_variable changed;
    bool may_read = false;
    lab.open_target_disk = [&](std::size_t i) {
        return std::make_unique<WatchedDevice>(*lab.target_disks[i], [&](std::size_t bytes) {
            std::unique_lock lock(mutex);
            // A checkpoint's samples are single blocks.
            changed.wait(lock, [&] { return may_read || bytes == block_bytes; });
        });
    };
    lab.mirror();
    std::atomic<bool> is_drained = false;
    std::thread drain([&] { is_drained = ok(lab.source->drain({})); });
    const bool waits = eventually([&] { return lab.target->progress().unverified == 8 * mib; });
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
    while (std::chrono::steady_clock::now() < until && !is_drained) std::this_thread::yield();
    const bool too_early = is_drained;
    {
        const std::lock_guard lock(mutex);
        may_read = true;
        changed.notify_all();
    }
    drain.join();
    CHECK(waits);
    CHECK_FALSE(too_early);
    CHECK(is_drained);
    CHECK(lab.target->progress().unverified == 0);
}

TEST_CASE("drain: says what was read back, and nothing of it is unverified") {
    Lab lab({5 * mib, 2 * mib + 777});
    lab.mirror();
    lab.source_disks[1]->write_block(3, 0x77);
    const auto done = lab.source->drain({});
    REQUIRE(ok(done));
    // The block that was written again may have been before it was read.
    CHECK(done->bytes_read_back >= 7 * mib + 777);
    CHECK(done->bytes_read_back <= 7 * mib + 777 + block_bytes);
    CHECK(done->bytes_differed == 0);
    CHECK(done->bytes_unverified == 0);
}

// ---- what outlives a session ----

/// One side's steps by hand, so that a batch is acknowledged and nobody asks what was read back.
struct Unasked {
    explicit Unasked(Lab& lab)
        : lab_(lab) {
        SourceConfig config;
        config.ticket = lab.signed_ticket(1);
        SourceStateKey key;
        key.job = config.ticket.job;
        key.boot_id = config.boot_id = "boot-1";
        key.sizes_bytes = config.ticket.sizes_bytes;
        key.tracker_generations = {lab.source_disks[0]->generation};
        const auto watch = [this](std::size_t) {
            if (before_read) before_read();
        };
        config.disks.push_back({std::make_unique<WatchedDevice>(lab.source_disks[0]->disk, watch),
                                std::make_unique<testing::MarkingTracker>(*lab.source_disks[0])});
        auto state = SourceState::open(lab.directory.path() / "source", key, random_.uuid());
        REQUIRE(ok(state));
        job = std::make_unique<SourceJob>(std::move(config), std::move(*state), lab.recorder,
                                          clock_, random_);
    }

    void connect() {
        links = *lab_.dial();
        control.emplace(*links.control, 5'000);
        Wishes::Attachment attached(job->wishes, *links.control, *links.bulk);
        auto mirrored = connect_to_target(*job, *control, links, attached);
        REQUIRE(ok(mirrored));
        lanes = std::make_unique<SourceLanes>(testing::bulk_lanes(links));
        stream.emplace(*lanes, *control, job->state, std::move(*mirrored));
    }

    void pass() { REQUIRE(ok(run_pass(*job, *stream))); }

    [[nodiscard]] std::uint64_t dirty() { return job->tracker(0).dirty().count(); }

    /// The walker looks, now.
    void walk() {
        job->walk.due_ms = 0;
        REQUIRE(ok(walk_if_due(*job, *control)));
    }

    [[nodiscard]] std::uint64_t alarms() { return job->state.counter(Counter::walk_alarms); }

    std::function<void()> before_read;  ///< of the source's disk
    Lab& lab_;
    SystemClock clock_;
    SystemRandom random_;
    std::unique_ptr<SourceJob> job;
    PeerLinks links;
    std::optional<PeerChannel> control;
    std::unique_ptr<SourceLanes> lanes;
    std::optional<BatchStream> stream;
};

TEST_CASE("reading back: what a target that died had not read back is sent again") {
    Lab lab({2 * mib});
    lab.start_target();
    Unasked source(lab);
    source.connect();
    source.pass();
    CHECK(source.dirty() == 0);
    CHECK(source.job->state.unread_bytes() == 2 * mib);
    lab.kill_target();
    lab.start_target();
    source.connect();
    CHECK(source.dirty() == 2 * mib / block_bytes);
    CHECK(source.job->state.unread_bytes() == 0);
}

TEST_CASE("reading back: a target that lives knows after a lost connection what it has read") {
    Lab lab({2 * mib});
    lab.start_target();
    Unasked source(lab);
    source.connect();
    source.pass();
    source.links.control->abort();
    source.connect();
    CHECK(source.dirty() == 0);
    CHECK_FALSE(source.job->state.has_unread());
}

TEST_CASE("reading back: what differed when the connection was lost is sent again") {
    FlippingLab lab(1);
    lab.start_target();
    Unasked source(lab);
    source.connect();
    source.pass();
    source.links.control->abort();
    source.connect();
    CHECK(source.dirty() > 0);
    CHECK(source.job->tracker(0).dirty().test((3 * mib + 4711) / block_bytes));
}

TEST_CASE("unread maps: a half is emptied by its last batch, while the other takes what follows") {
    Lab lab({mib});
    Unasked source(lab);
    SourceState& state = source.job->state;
    const auto acknowledge = [&](std::uint64_t batch, std::uint64_t block) {
        state.pending(0, batch).set(block, 1);
        state.end_batch(batch);
        CHECK(state.pending(0, batch).count() == 0);
    };
    acknowledge(1, 10);
    acknowledge(2, 11);
    state.note_read_back(1);  // from here on the other half is filled
    CHECK(state.unread_bytes() == 2 * block_bytes);
    acknowledge(3, 10);
    state.note_read_back(2);
    CHECK(state.unread_bytes() == block_bytes);  // block 10, of batch 3
    CHECK(state.has_unread());
    state.note_read_back(3);
    CHECK(state.unread_bytes() == 0);
    CHECK_FALSE(state.has_unread());
}

// ---- at rest ----

/// Bit rot: nobody is told.
void flip(Lab& lab, std::uint64_t offset) {
    Bytes block(block_bytes);
    const std::uint64_t start = offset / block_bytes * block_bytes;
    REQUIRE(ok(lab.target_disks[0]->read(start, block)));
    block[offset - start] ^= 0x08;
    REQUIRE(ok(lab.target_disks[0]->write(start, block)));
}

TEST_CASE("comparison of everything: a bit that flipped at rest is found and repaired") {
    Lab lab({4 * mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    lab.kill_source();
    lab.source_disks[0]->attached = false;
    lab.boot_id = "boot-2";
    flip(lab, 2 * mib + 99);
    lab.start_source();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.last().bytes_sent_sync == 64U << 10);
}

Pacing walking_all_the_time() {
    Pacing pacing;
    pacing.idle_pause_ms = 1;
    pacing.progress_every_ms = 5;
    pacing.walk_bytes_per_s = 10'000 * mib;
    pacing.walk_round_ms_min = 0;
    return pacing;
}

TEST_CASE("walker: a bit that flipped at rest raises one alarm, and is repaired while in sync") {
    Lab lab({9 * mib, mib});
    lab.pacing = walking_all_the_time();
    lab.mirror();
    REQUIRE(eventually([&] { return lab.recorder.last().walk_rounds >= 1; }));
    CHECK(lab.recorder.last().walk_alarms == 0);
    flip(lab, 6 * mib + 4097);
    REQUIRE(eventually([&] { return lab.recorder.last().walk_alarms == 1; }));
    CHECK(lab.recorder.last().detail.find("disk 0 bytes 6291456+65536") != std::string::npos);
    const std::uint64_t rounds = lab.recorder.last().walk_rounds;
    REQUIRE(eventually([&] { return lab.recorder.last().walk_rounds >= rounds + 2; }));
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.last().walk_alarms == 1);
}

TEST_CASE("walker: only the third look at a range that nothing wrote is an alarm") {
    Lab lab({2 * mib});
    lab.start_target();
    Unasked source(lab);
    source.connect();
    source.pass();
    flip(lab, mib + 1);
    source.walk();  // nothing was read back yet: not its business
    CHECK(source.job->state.counter(Counter::walk_rounds) == 1);
    source.job->state.forget_unread();
    for (int look = 0; look < 2; ++look) {
        source.walk();
        CHECK(source.alarms() == 0);
        CHECK(source.dirty() == 0);
    }
    SECTION("and it is sent again") {
        source.walk();
        CHECK(source.alarms() == 1);
        CHECK(source.dirty() == walk_chunk_bytes / block_bytes);
        source.pass();
        CHECK(lab.differing_bytes() == 0);
    }
    SECTION("a write that was on its way explains it") {
        lab.source_disks[0]->write_block(mib / block_bytes, 0x44);
        source.pass();
        source.job->state.forget_unread();
        source.walk();
        source.walk();
        CHECK(source.alarms() == 0);
        CHECK(source.job->walk.looks == 0);
    }
}

TEST_CASE("walker: a range that is written at every look is no alarm, however often") {
    Lab lab({2 * mib});
    lab.start_target();
    Unasked source(lab);
    source.connect();
    source.pass();
    std::uint8_t value = 1;
    for (int look = 0; look < 3 * walk_looks_max; ++look) {
        source.job->state.forget_unread();
        source.before_read = [&] { lab.source_disks[0]->write_block(9, ++value); };
        source.walk();
        CHECK(source.dirty() == 1);
        source.before_read = nullptr;
        source.pass();
    }
    CHECK(source.alarms() == 0);
}

TEST_CASE("walker: writes while it looks raise no alarm") {
    const bool tracking = GENERATE(true, false);
    Lab lab({9 * mib}, tracking);
    lab.pacing = walking_all_the_time();
    lab.mirror();
    std::atomic<bool> stop = false;
    std::thread writer([&] {
        SeededRandom random(5);
        while (!stop) {
            lab.source_disks[0]->write_block(random.below(9 * mib / block_bytes),
                                             static_cast<std::uint8_t>(random.below(256)));
            std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
    });
    const bool walked = eventually([&] { return lab.recorder.last().walk_rounds >= 3; });
    stop = true;
    writer.join();
    CHECK(walked);
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.recorder.last().walk_alarms == 0);
    CHECK(lab.recorder.last().bytes_differed == 0);
    CHECK(lab.differing_bytes() == 0);
}

}  // namespace
}  // namespace drover::replicator
