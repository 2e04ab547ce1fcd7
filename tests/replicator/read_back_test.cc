/// Reading back what was written: which hash counts after overlapping writes, what a flipped bit
/// leads to, and that nothing is dropped when the disk is slow.
#include "replicator/read_back.h"

#include "base/random.h"
#include "tests/replicator/forwarding_device.h"
#include "tests/replicator/result_checks.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::ok;

constexpr std::uint64_t block = block_bytes;
constexpr std::uint64_t disk_bytes = 64 * block;

struct Written {
    Bytes bytes;  ///< header and payload, as they arrive
    Frame frame;

    Written(std::uint64_t batch, std::uint64_t offset, const Bytes& content) {
        FrameHeader header;
        header.batch = batch;
        header.offset = offset;
        header.raw_length = header.stored_length = static_cast<std::uint32_t>(content.size());
        header.digest = digest_of(content);
        put_bytes(bytes, encode_frame_header(header));
        put_bytes(bytes, content);
        const std::uint64_t sizes[] = {disk_bytes};
        frame = *parse_frame(bytes, sizes);
    }
};

Bytes filled(std::uint64_t blocks, std::uint8_t value) {
    Bytes out(blocks * block, value);
    // Every block is different, so that none can stand for another.
    for (std::uint64_t i = 0; i < blocks; ++i) out[i * block] = static_cast<std::uint8_t>(i);
    return out;
}

void add(ReadBackQueue& queue, std::uint64_t batch, std::uint64_t offset, const Bytes& content) {
    const Written written(batch, offset, content);
    queue.forget(0, offset, content.size());
    queue.add(written.frame.header, hashes_of(written.frame));
}

/// Reads everything that is ready from `disk`, as the thread does.
void read_all(ReadBackQueue& queue, const Bytes& disk) {
    for (auto span = queue.next(); !span.empty(); span = queue.next())
        for (const UnreadRange& range : span)
            REQUIRE(queue.settle(
                range, differing(range, ByteView(disk).subspan(range.offset, range.length))));
}

void put(Bytes& disk, std::uint64_t offset, const Bytes& content) {
    std::copy(content.begin(), content.end(), disk.begin() + static_cast<std::ptrdiff_t>(offset));
}

TEST_CASE("read back: what was written and flushed is read, and counts as verified then") {
    ReadBackQueue queue;
    Bytes disk(disk_bytes);
    put(disk, 0, filled(4, 1));
    add(queue, 1, 0, filled(4, 1));
    CHECK(queue.next().empty());
    queue.flushed(1);
    CHECK(queue.ready_bytes() == 4 * block);
    CHECK(queue.settled_batch() == 0);
    read_all(queue, disk);
    CHECK(queue.ready_bytes() == 0);
    CHECK(queue.settled_batch() == 1);
    CHECK(queue.differing_bytes() == 0);
}

TEST_CASE("read back: a flipped bit is named by its block, until that is written again") {
    ReadBackQueue queue;
    Bytes disk(disk_bytes);
    put(disk, block, filled(8, 1));
    add(queue, 1, block, filled(8, 1));
    queue.flushed(1);
    disk[6 * block + 77] ^= 0x20;
    read_all(queue, disk);
    CHECK(queue.differing_ranges(9) == std::vector<ByteRange>{{0, 6 * block, block}});
    CHECK(queue.settled_batch() == 0);
    put(disk, 6 * block, filled(1, 9));
    add(queue, 2, 6 * block, filled(1, 9));
    CHECK(queue.differing_bytes() == 0);
    queue.flushed(2);
    read_all(queue, disk);
    CHECK(queue.settled_batch() == 2);
    CHECK(queue.differing_bytes() == 0);
}

TEST_CASE("read back: a later write replaces the hash of what it covers, and of nothing else") {
    ReadBackQueue queue;
    Bytes disk(disk_bytes);
    put(disk, 0, filled(8, 1));
    add(queue, 1, 0, filled(8, 1));
    queue.flushed(1);
    put(disk, 3 * block, filled(2, 7));
    add(queue, 2, 3 * block, filled(2, 7));
    SECTION("and both are right") {
        queue.flushed(2);
        read_all(queue, disk);
        CHECK(queue.differing_bytes() == 0);
        CHECK(queue.settled_batch() == 2);
    }
    SECTION("a bit of the older one, before and behind it, is still missed") {
        disk[2 * block] ^= 1;
        disk[5 * block] ^= 1;
        read_all(queue, disk);
        CHECK(queue.differing_ranges(9) ==
              std::vector<ByteRange>{{0, 2 * block, block}, {0, 5 * block, block}});
    }
    SECTION("a bit of the later one as well") {
        queue.flushed(2);
        disk[4 * block + 1] ^= 1;
        read_all(queue, disk);
        CHECK(queue.differing_ranges(9) == std::vector<ByteRange>{{0, 4 * block, block}});
    }
}

TEST_CASE("read back: what was written while it was read is read again") {
    ReadBackQueue queue;
    add(queue, 1, 0, filled(4, 1));
    queue.flushed(1);
    const auto span = queue.next();
    REQUIRE(span.size() == 1);
    const std::uint64_t offset = GENERATE(0U, 1U, 3U) * block;
    queue.forget(0, offset, block);  // a write begins
    const ByteRange wrong[] = {{0, offset, block}};
    CHECK_FALSE(queue.settle(span[0], wrong));
    CHECK(queue.differing_bytes() == 0);
    CHECK(queue.ready_bytes() == 3 * block);
}

TEST_CASE("read back: neighbours are read at once, up to a limit, and far ones are not") {
    ReadBackQueue queue;
    for (const std::uint64_t at : {40U, 0U, 1U, 2U, 5U}) add(queue, 1, at * block, filled(1, 1));
    queue.flushed(1);
    CHECK(queue.next().size() == 4);
    CHECK(queue.next().size() == 1);
    CHECK(queue.next().size() == 4);  // round and round, as long as nothing is settled
}

TEST_CASE("read back: far ones are read at depth, each once, of one disk") {
    ReadBackQueue queue;
    constexpr std::uint64_t step = ReadBackQueue::gap_bytes_max + 2 * block;
    const auto put_many = [&](std::uint32_t disk, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            Written written(1, 0, filled(1, 1));
            written.frame.header.disk = disk;
            written.frame.header.offset = i * step;
            queue.add(written.frame.header, hashes_of(written.frame));
        }
    };
    CHECK(queue.next_many().empty());
    SECTION("round and round, as long as nothing is settled") {
        put_many(0, 5);
        put_many(1, 3);
        queue.flushed(1);
        for (int round = 0; round < 3; ++round) {
            const auto first = queue.next_many();
            REQUIRE(first.size() == 5);
            for (std::uint64_t i = 0; i < 5; ++i) CHECK(first[i].front().offset == i * step);
            const auto second = queue.next_many();
            REQUIRE(second.size() == 3);
            CHECK(second.front().front().disk == 1);
        }
    }
    SECTION("up to a limit") {
        constexpr std::uint64_t most = ReadBackQueue::many_bytes_max / block;
        put_many(0, most + 10);
        queue.flushed(1);
        CHECK(queue.next_many().size() == most);
        CHECK(queue.next_many().size() == 10);
    }
}

TEST_CASE("read back: zeroes are read as zeroes") {
    ReadBackQueue queue;
    Bytes disk(disk_bytes, 0xff);
    Written written(1, 0, filled(2, 0));
    written.frame.header.kind = FrameKind::zero;
    written.frame.payload = {};
    queue.add(written.frame.header, hashes_of(written.frame));
    queue.flushed(1);
    SECTION("and they are") {
        std::fill_n(disk.begin(), 2 * block, std::uint8_t{0});
        read_all(queue, disk);
        CHECK(queue.differing_bytes() == 0);
    }
    SECTION("a device that kept what it had is found") {
        std::fill_n(disk.begin(), block, std::uint8_t{0});
        read_all(queue, disk);
        CHECK(queue.differing_ranges(9) == std::vector<ByteRange>{{0, block, block}});
    }
}

TEST_CASE("read back: what was not flushed is dropped with its session, nothing else") {
    ReadBackQueue queue;
    add(queue, 1, 0, filled(1, 1));
    queue.flushed(1);
    add(queue, 2, block, filled(1, 1));
    queue.drop_open();
    CHECK(queue.open_bytes() == 0);
    CHECK(queue.ready_bytes() == block);
}

TEST_CASE(
    "read back: any order of overlapping writes, flushes and reads compares only what is true") {
    SeededRandom random(GENERATE(range<std::uint64_t>(1, 40)));
    ReadBackQueue queue;
    Bytes disk(disk_bytes);
    std::uint64_t batch = 1;
    for (int step = 0; step < 300; ++step) {
        const std::uint64_t at = random.below(60);
        const std::uint64_t count = 1 + random.below(4);
        const Bytes content = filled(count, static_cast<std::uint8_t>(1 + random.below(200)));
        switch (random.below(4)) {
            case 0:
                queue.flushed(batch++);
                break;
            case 1:
                read_all(queue, disk);
                break;
            default:
                put(disk, at * block, content);
                add(queue, batch, at * block, content);
        }
        REQUIRE(queue.differing_bytes() == 0);
    }
    queue.flushed(batch);
    const std::uint64_t flipped = random.below(disk_bytes);
    bool waits = false;
    ReadBackQueue copy = queue;
    for (auto span = copy.next(); !span.empty(); span = copy.next())
        for (const UnreadRange& range : span) {
            waits = waits || (flipped >= range.offset && flipped < range.offset + range.length);
            REQUIRE(copy.settle(range, {}));
        }
    disk[flipped] ^= 0x01;
    read_all(queue, disk);
    CHECK((queue.differing_bytes() == block) == waits);
}

// ---- with its thread, over a disk ----

/// Reads wait until they are let through.
class GatedDevice final : public testing::ForwardingDevice {
  public:
    explicit GatedDevice(MemoryDevice& disk)
        : ForwardingDevice(disk) {}

    [[nodiscard]] Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
        std::unique_lock lock(mutex_);
        opened_.wait(lock, [this] { return is_open_; });
        if (unreadable_ >= offset && unreadable_ < offset + out.size())
            return Error(Errc::io, "disk_read_failed", "injected");
        return disk_.read(offset, out);
    }

    void break_at(std::uint64_t offset) { unreadable_ = offset; }

    void open() {
        const std::lock_guard lock(mutex_);
        is_open_ = true;
        opened_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable opened_;
    bool is_open_ = false;
    std::uint64_t unreadable_ = UINT64_MAX;
};

struct Bench {
    MemoryDevice disk{disk_bytes};
    GatedDevice gated{disk};
    ReadBackMemory memory;
    ReadBack read_back{{&gated}, {disk_bytes}, memory, {8 * block, 16 * block}};

    ~Bench() {
        gated.open();
        read_back.end(10'000);
    }

    [[nodiscard]] Result<> write(std::uint64_t batch, std::uint64_t offset, const Bytes& content) {
        const Written written(batch, offset, content);
        const auto hashes = hashes_of(written.frame);
        TRY_VOID(read_back.begin_write(written.frame.header));
        TRY_VOID(disk.write(offset, content));
        read_back.wrote(written.frame.header, hashes);
        return {};
    }
};

constexpr auto nothing = []() -> Result<> { return {}; };

TEST_CASE("read back: a batch is verified once its disk was read, not before") {
    Bench bench;
    REQUIRE(ok(bench.write(1, 0, filled(4, 1))));
    bench.read_back.flushed(1);
    CHECK(bench.read_back.facts().verified_batch == 0);
    CHECK(bench.read_back.facts().unverified_bytes == 4 * block);
    CHECK(bench.memory.unverified_bytes == 4 * block);
    bench.gated.open();
    const auto done = bench.read_back.finish(nothing);
    REQUIRE(ok(done));
    CHECK(done->verified_batch == 1);
    CHECK(done->unverified_bytes == 0);
    CHECK(done->read_bytes == 4 * block);
    CHECK(bench.memory.verified_batch == 1);
}

TEST_CASE("read back: writing waits while too much waits to be read, and nothing is dropped") {
    Bench bench;
    REQUIRE(ok(bench.write(1, 0, filled(9, 1))));
    bench.read_back.flushed(1);
    std::atomic<bool> is_written = false;
    std::thread writer([&] { is_written = ok(bench.write(2, 20 * block, filled(1, 1))); });
    // It cannot go on: that takes a read, and no read is let through.
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (std::chrono::steady_clock::now() < until && !is_written) std::this_thread::yield();
    CHECK_FALSE(is_written);
    CHECK(bench.read_back.facts().unverified_bytes == 9 * block);
    bench.gated.open();
    writer.join();
    CHECK(is_written);
    bench.read_back.flushed(2);
    const auto done = bench.read_back.finish(nothing);
    REQUIRE(ok(done));
    CHECK(done->read_bytes == 10 * block);
}

TEST_CASE(
    "read back: more than one batch may hold without a flush is refused, and so is half a block") {
    Bench bench;
    REQUIRE(ok(bench.write(1, 0, filled(16, 1))));
    CHECK(bench.write(1, 20 * block, filled(1, 1)).error().id() == "bad_frame");
    Bench other;
    CHECK(other.write(1, 512, filled(1, 1)).error().id() == "bad_frame");
    CHECK(other.write(1, 0, Bytes(block + 512, 3)).error().id() == "bad_frame");
}

TEST_CASE("read back: what cannot be read counts as differing, and no more than that") {
    Bench bench;
    REQUIRE(ok(bench.write(1, 0, filled(2, 1))));
    REQUIRE(ok(bench.write(1, 4 * block, filled(1, 1))));
    bench.gated.break_at(4 * block);
    bench.read_back.flushed(1);
    bench.gated.open();
    const auto done = bench.read_back.finish(nothing);
    REQUIRE(ok(done));
    CHECK(done->differing == std::vector<ByteRange>{{0, 4 * block, block}});
    CHECK(done->verified_batch == 0);
    CHECK(done->unverified_bytes == block);
}

TEST_CASE("read back: a disk that keeps too little of what is written is given up") {
    Bench bench;
    bench.gated.open();
    REQUIRE(ok(bench.write(1, 0, filled(9, 1))));
    for (std::uint64_t i = 0; i < 9; ++i) bench.disk.contents()[i * block + 5] ^= 0x10;
    bench.read_back.flushed(1);
    const auto done = bench.read_back.finish(nothing);
    REQUIRE(ok(done));
    CHECK(done->differed_bytes == 9 * block);
    CHECK(done->verified_batch == 0);
    CHECK(bench.write(2, 20 * block, filled(1, 1)).error().id() == "read_back_differs");
}

}  // namespace
}  // namespace drover::replicator
