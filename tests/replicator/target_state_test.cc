/// A target disk that was changed or exchanged while nobody looked is recognised; one that only saw
/// a crash never is, whatever the moment of the crash.
#include "replicator/target_state.h"

#include "base/file.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::ForwardingDevice;
using testing::Lab;
using testing::ok;
using testing::TemporaryDirectory;

constexpr std::uint64_t mib = 1U << 20;

JobId job_seven() {
    JobId job;
    job.data.fill(7);
    return job;
}

/// Lets somebody look before and after every access that changes a disk, and knows what a power cut
/// would leave.
class WatchedDevice final : public BlockDevice {
  public:
    WatchedDevice(MemoryDevice& disk, std::function<void()> look)
        : disk_(disk),
          look_(std::move(look)) {}

    [[nodiscard]] const DeviceFacts& facts() const override { return disk_.facts(); }

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
        look_();
        return disk_.read(offset, out);
    }

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override {
        look_();
        TRY_VOID(disk_.write(offset, data));
        look_();
        return {};
    }

    [[nodiscard]] Result<> write_zeroes(std::uint64_t offset, std::uint64_t length) override {
        look_();
        TRY_VOID(disk_.write_zeroes(offset, length));
        look_();
        return {};
    }

    [[nodiscard]] Result<> flush() override {
        look_();
        TRY_VOID(disk_.flush());
        look_();
        return {};
    }

    [[nodiscard]] Result<std::uint64_t> present_size_bytes() override {
        return disk_.present_size_bytes();
    }

  private:
    MemoryDevice& disk_;
    std::function<void()> look_;
};

using Opened = Result<std::unique_ptr<TargetState>>;

Opened try_open(const std::filesystem::path& directory, std::unique_ptr<BlockDevice> device) {
    TargetConfig config;
    config.ticket.job = job_seven();
    config.ticket.disks = {{"/dev/a", "/dev/b"}};
    config.ticket.sizes_bytes = {device->facts().size_bytes};
    config.disks.push_back(std::move(device));
    config.state_directory = directory;
    return TargetState::open(config);
}

/// One disk under a TargetState, used as a session uses it.
class Bench {
  public:
    Bench()
        : disk(mib) {
        generation_.data.fill(9);
    }

    [[nodiscard]] static std::unique_ptr<TargetState> open(const std::filesystem::path& directory,
                                                           std::unique_ptr<BlockDevice> device) {
        auto state = try_open(directory, std::move(device));
        REQUIRE(ok(state));
        return std::move(*state);
    }

    void start() {
        state = open(directory.path(), std::make_unique<WatchedDevice>(disk, [this] { look(); }));
    }

    /// A frame of the open batch, or of the one after it.
    [[nodiscard]] Result<> frame(std::uint64_t block, std::uint64_t blocks, std::uint8_t value,
                                 std::uint64_t ahead = 0) {
        FrameHeader header;
        header.batch = batch + ahead;
        header.offset = block * block_bytes;
        header.raw_length = static_cast<std::uint32_t>(blocks * block_bytes);
        TRY_VOID(state->before_write(header));
        if (value == 0) return state->disk(0).write_zeroes(header.offset, header.raw_length);
        return state->disk(0).write(header.offset, Bytes(header.raw_length, value));
    }

    [[nodiscard]] Result<> commit(std::uint64_t mirrored_upto = mib) {
        Commit message;
        message.batch = batch;
        message.mirrored_upto = {mirrored_upto};
        message.generation = generation_;
        TRY_VOID(state->commit(message));
        look();
        ++batch;
        return {};
    }

    /// Everything once.
    void mirror() {
        for (std::uint64_t block = 0; block < mib / block_bytes; block += 16)
            REQUIRE(ok(frame(block, 16, static_cast<std::uint8_t>(block))));
        REQUIRE(ok(commit()));
    }

    [[nodiscard]] Checkpoint stored() const {
        const auto found = read_checkpoint(directory.path());
        REQUIRE(ok(found));
        return **found;
    }

    /// True if a target that starts now believes its checkpoint.
    [[nodiscard]] bool believes() {
        state.reset();
        start();
        return state->checkpoint().state == CheckpointState::syncing &&
               state->checkpoint().generation == generation_;
    }

    TemporaryDirectory directory;
    MemoryDevice disk;
    std::function<void()> look = [] {};
    std::unique_ptr<TargetState> state;
    std::uint64_t batch = 1;

  private:
    Generation generation_;
};

/// The block of the n-th sampled place.
std::uint64_t sampled_block(std::size_t n) {
    return sample_offsets(job_seven(), 0, mib)[n] / block_bytes;
}

TEST_CASE("target state: an untouched disk is recognised, with every place sampled") {
    Bench bench;
    bench.start();
    bench.mirror();
    CHECK(offsets_of(bench.stored().disks[0].samples) == sample_offsets(job_seven(), 0, mib));
    const Checkpoint before = bench.stored();
    CHECK(bench.believes());
    CHECK(bench.state->checkpoint() == before);
}

TEST_CASE("target state: one bit changed at any sampled place voids the checkpoint, durably") {
    const std::size_t places = sample_offsets(job_seven(), 0, mib).size();
    for (std::size_t n = 0; n < places; ++n) {
        Bench bench;
        bench.start();
        bench.mirror();
        const Bytes good = bench.disk.contents();
        bench.disk.contents()[sampled_block(n) * block_bytes + 7 * n] ^= 4;
        REQUIRE_FALSE(bench.believes());
        const Checkpoint stored = bench.stored();
        CHECK(stored == bench.state->checkpoint());
        CHECK(stored.state == CheckpointState::invalid);
        CHECK(stored.generation.is_zero());
        CHECK(stored.batch == bench.batch - 1);
        CHECK(stored.disks[0].mirrored_upto == 0);
        // The disk that is compared from now on may not be exchanged either, not even back.
        REQUIRE(ok(bench.commit(0)));
        CHECK(bench.believes());
        bench.disk.contents() = good;
        CHECK_FALSE(bench.believes());
    }
}

TEST_CASE("target state: another disk with the same name is not recognised") {
    Bench bench;
    bench.start();
    bench.mirror();
    MemoryDevice other(mib);
    SECTION("blank") {}
    SECTION("of other content") {
        std::fill(other.contents().begin(), other.contents().end(), std::uint8_t{0xcc});
    }
    bench.disk.contents() = other.contents();
    CHECK_FALSE(bench.believes());
}

TEST_CASE("target state: a range of zeroes is vouched for too") {
    Bench bench;
    bench.start();
    REQUIRE(ok(bench.frame(0, 256, 0)));
    REQUIRE(ok(bench.commit()));
    CHECK(bench.believes());
    bench.disk.contents()[sampled_block(30) * block_bytes] = 1;
    CHECK_FALSE(bench.believes());
}

TEST_CASE("target state: a smaller disk than was sampled is not recognised") {
    Bench bench;
    bench.start();
    bench.mirror();
    bench.state.reset();
    MemoryDevice small(mib / 2);
    const auto state = try_open(bench.directory.path(), std::make_unique<ForwardingDevice>(small));
    REQUIRE(ok(state));
    CHECK((*state)->checkpoint().state == CheckpointState::invalid);
}

TEST_CASE("target state: a sampled block that cannot be read is an error, not a new beginning") {
    Bench bench;
    bench.start();
    bench.mirror();
    bench.state.reset();
    bench.disk.fail_read_in(5);
    const auto state =
        try_open(bench.directory.path(), std::make_unique<ForwardingDevice>(bench.disk));
    CHECK(state.error().id() == "disk_read_failed");
    CHECK(bench.stored().state == CheckpointState::syncing);
}

TEST_CASE("target state: no block is overwritten that the file vouches for") {
    Bench bench;
    bench.start();
    bench.mirror();
    const std::uint64_t block = sampled_block(20);
    SECTION("its sample is gone from the file before") {
        bool seen = false;
        bench.look = [&] {
            const auto offsets = offsets_of(bench.stored().disks[0].samples);
            CHECK(std::count(offsets.begin(), offsets.end(), block * block_bytes) == 0);
            seen = true;
        };
        REQUIRE(ok(bench.frame(block, 1, 0x33)));
        CHECK(seen);
        bench.look = [] {};
    }
    SECTION("or the frame is refused, now and until the file is known") {
        const auto obstacle = bench.directory.path() / "checkpoint.new";
        std::filesystem::create_directory(obstacle);
        CHECK_FALSE(bench.frame(block, 1, 0x33).has_value());
        std::filesystem::remove(obstacle);
        CHECK(bench.frame(block, 1, 0x33).error().id() == "checkpoint_uncertain");
        CHECK(bench.disk.contents()[block * block_bytes] != 0x33);
        REQUIRE(ok(bench.state->make_certain()));
        REQUIRE(ok(bench.frame(block, 1, 0x33)));
    }
    CHECK(bench.believes());
}

TEST_CASE("target state: places lost to a crash are sampled again by the next commit") {
    Bench bench;
    bench.start();
    bench.mirror();
    REQUIRE(ok(bench.frame(sampled_block(20), 1, 0x33)));
    CHECK(bench.stored().disks[0].samples.size() == sample_offsets(job_seven(), 0, mib).size() - 1);
    REQUIRE(bench.believes());
    REQUIRE(ok(bench.commit()));
    CHECK(bench.stored().disks[0].samples.size() == sample_offsets(job_seven(), 0, mib).size());
}

/// What a crash leaves at one moment: file and disk.
struct Wreck {
    Bytes file;
    Bytes disk;
};

bool believes(const Wreck& wreck) {
    TemporaryDirectory directory;
    REQUIRE(ok(write_file_durably(checkpoint_path(directory.path()), wreck.file)));
    MemoryDevice disk(mib);
    disk.contents() = wreck.disk;
    const auto state = Bench::open(directory.path(), std::make_unique<ForwardingDevice>(disk));
    return state->checkpoint().state == CheckpointState::syncing;
}

/// Blocks that were not flushed reach the disk in any choice, or half.
Bytes after_power_cut(const Bytes& flushed, const Bytes& written, Random& random) {
    Bytes out = flushed;
    for (std::size_t at = 0; at < out.size(); at += 512)
        if (random.below(2) == 0)
            std::copy_n(written.begin() + static_cast<std::ptrdiff_t>(at), 512,
                        out.begin() + static_cast<std::ptrdiff_t>(at));
    return out;
}

TEST_CASE("target state: a crash at any moment of any batch never looks like another disk") {
    Bench bench;
    SeededRandom random(64);
    std::vector<Wreck> wrecks;
    Bytes flushed(mib);
    bench.start();
    bench.mirror();
    flushed = bench.disk.contents();
    Bytes before = flushed;
    bench.look = [&] {
        const auto file = read_file(checkpoint_path(bench.directory.path()));
        REQUIRE(ok(file));
        const Bytes& now = bench.disk.contents();
        wrecks.push_back({*file, now});
        wrecks.push_back({*file, flushed});
        wrecks.push_back({*file, after_power_cut(flushed, now, random)});
    };
    for (int round = 0; round < 12; ++round) {
        for (int i = 0; i < 3; ++i) {
            const std::uint64_t block = sampled_block(random.below(40));
            const auto value = static_cast<std::uint8_t>(random.below(200));
            REQUIRE(ok(bench.frame(block, 1 + random.below(3), value)));
        }
        // The bulk thread is ahead by a batch when the control thread commits.
        REQUIRE(ok(bench.frame(sampled_block(random.below(40)), 1, 0xfe, 1)));
        switch (random.below(4)) {
            case 0:
                bench.disk.fail_flush_in(1);
                CHECK_FALSE(bench.commit().has_value());
                break;
            case 1:
                std::filesystem::create_directory(bench.directory.path() / "checkpoint.new");
                CHECK_FALSE(bench.commit().has_value());
                std::filesystem::remove(bench.directory.path() / "checkpoint.new");
                REQUIRE(ok(bench.state->make_certain()));
                flushed = bench.disk.contents();
                break;
            default:
                REQUIRE(ok(bench.commit()));
                flushed = bench.disk.contents();
        }
        bench.look();
    }
    CHECK(wrecks.size() > 300);
    for (const Wreck& wreck : wrecks) REQUIRE(believes(wreck));
}

// ---- both ends ----

TEST_CASE("resume: a target disk changed behind our back is compared as a whole and repaired") {
    Lab lab({8 * mib, 4 * mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    lab.kill_target();
    const auto stored = read_checkpoint(lab.directory.path() / "target");
    REQUIRE(ok(stored));
    REQUIRE((*stored)->disks[1].samples.size() > 50);
    const std::uint64_t where = (*stored)->disks[1].samples[17].offset;
    // What nobody sampled is found all the same, by the comparison.
    lab.target_disks[0]->contents()[5 * mib + 1] ^= 1;
    SECTION("one bit at a sampled place") {
        lab.target_disks[1]->contents()[where + 99] ^= 0x10;
    }
    SECTION("another disk of the same name") {
        lab.target_disks[1] = std::make_unique<MemoryDevice>(4 * mib);
    }
    lab.start_target();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    const auto gone = lab.recorder.gone();
    REQUIRE(gone.size() == 1);
    CHECK(gone[0].cause.find("changed, exchanged") != std::string::npos);
    CHECK(lab.recorder.mirrors()[1].generation != lab.recorder.mirrors()[0].generation);
    const auto states = lab.recorder.states();
    CHECK(std::find(states.begin(), states.end(), DataState::rescanning) != states.end());
}

TEST_CASE("resume: a target killed or cut off in a batch is believed") {
    Lab lab({4 * mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    for (std::uint64_t frames = 1; frames < 20; ++frames) {
        for (std::uint64_t block = frames; block < 4 * mib / block_bytes; block += 3)
            lab.source_disks[0]->write_block(block, static_cast<std::uint8_t>(frames));
        lab.cut_next(frames, 0);
        REQUIRE(eventually([&] { return lab.cut_bulk_after_frames == 0; }));
        lab.kill_target();
        if (frames % 2 == 0) lab.target_disks[0]->lose_power();
        lab.start_target();
        REQUIRE(eventually([&] { return lab.source->drain({}).has_value(); }));
        REQUIRE(lab.differing_bytes() == 0);
    }
    CHECK(lab.recorder.gone().empty());
}

}  // namespace
}  // namespace drover::replicator
