/// The scan tracker and the mapped state behind it and behind the source.
#include "replicator/scan_tracker.h"
#include "replicator/source_state.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <fstream>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::ok;
using testing::TemporaryDirectory;

constexpr std::uint64_t chunk = scan_chunk_bytes;

struct Scanned {
    Scanned() {
        options.state_directory = directory.path();
        options.boot_id = "boot-1";
        options.allow_ebpf = false;
        reopen();
    }

    /// As after SIGKILL: nothing is closed in order, the files stay.
    void reopen() {
        tracker.reset();
        tracker = *open_tracker(disk, options, nullptr);
    }

    /// What a pass does: takes everything that is dirty, reads it and sends it.
    void send_dirty() {
        for (std::uint64_t at = 0; at < disk.facts().size_bytes; at += chunk) {
            if (!tracker->dirty().test(at / block_bytes)) continue;
            tracker->dirty().clear(at / block_bytes, chunk / block_bytes);
            send(at);
        }
    }

    void send(std::uint64_t offset) {
        Bytes data(chunk);
        REQUIRE(ok(disk.read(offset, data)));
        tracker->observe(offset, data);
    }

    void write(std::uint64_t offset, std::uint8_t value) {
        REQUIRE(ok(disk.write(offset, Bytes(512, value))));
    }

    TemporaryDirectory directory;
    MemoryDevice disk{16 * chunk};
    TrackerOptions options;
    std::unique_ptr<ChangeTracker> tracker;
};

TEST_CASE("scan tracker: a new generation knows nothing, so everything differs") {
    Scanned s;
    CHECK_FALSE(s.tracker->resumed());
    CHECK(s.tracker->dirty().count() == 0);
    REQUIRE(ok(s.tracker->refresh()));
    CHECK(s.tracker->dirty().count() == 16 * 16);
}

TEST_CASE("scan tracker: only chunks that differ from what was sent are dirty") {
    Scanned s;
    REQUIRE(ok(s.tracker->refresh()));
    s.send_dirty();
    REQUIRE(ok(s.tracker->refresh()));
    CHECK(s.tracker->dirty().count() == 0);
    const std::uint64_t seq = s.tracker->seq();
    s.write(5 * chunk + 1024, 7);
    REQUIRE(ok(s.tracker->refresh()));
    CHECK(s.tracker->dirty().count() == 16);
    CHECK(s.tracker->dirty().test(5 * 16));
    CHECK(s.tracker->seq() == seq + 1);
    REQUIRE(ok(s.tracker->refresh()));
    CHECK(s.tracker->seq() == seq + 1);
}

TEST_CASE("scan tracker: a write between scan and read that is undone later is not lost") {
    Scanned s;
    REQUIRE(ok(s.tracker->refresh()));
    s.send_dirty();
    s.write(0, 1);
    REQUIRE(ok(s.tracker->refresh()));  // sees version 1
    s.write(0, 2);
    s.send_dirty();  // sends version 2
    s.write(0, 1);   // back to what the scan had seen
    REQUIRE(ok(s.tracker->refresh()));
    CHECK(s.tracker->dirty().test(0));
}

TEST_CASE("scan tracker: a killed process loses nothing") {
    Scanned s;
    REQUIRE(ok(s.tracker->refresh()));
    s.send_dirty();
    s.write(3 * chunk, 9);
    REQUIRE(ok(s.tracker->refresh()));
    const Generation before = s.tracker->generation();
    s.reopen();
    CHECK(s.tracker->resumed());
    CHECK(s.tracker->generation() == before);
    CHECK(s.tracker->dirty().count() == 16);
    REQUIRE(ok(s.tracker->refresh()));
    CHECK(s.tracker->dirty().count() == 16);
}

TEST_CASE("scan tracker: another boot, job, disk or size is a new generation") {
    Scanned s;
    const Generation before = s.tracker->generation();
    SECTION("boot") {
        s.options.boot_id = "boot-2";
    }
    SECTION("job") {
        s.options.job.data[0] = 1;
    }
    s.reopen();
    CHECK_FALSE(s.tracker->resumed());
    CHECK(s.tracker->generation() != before);
    CHECK(s.tracker->dirty().count() == 0);
}

TEST_CASE("scan tracker: a damaged or cut state file is a new generation") {
    Scanned s;
    const auto file = s.directory.path() / "scan-0.map";
    SECTION("cut") {
        std::filesystem::resize_file(file, 5000);
    }
    SECTION("damaged") {
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekp(41);
        stream.put('x');
    }
    s.reopen();
    CHECK_FALSE(s.tracker->resumed());
}

TEST_CASE("scan tracker: the end of an odd-sized disk is tracked too") {
    TemporaryDirectory directory;
    MemoryDevice disk(2 * chunk + 1000);
    TrackerOptions options;
    options.state_directory = directory.path();
    auto tracker = *ScanTracker::open(disk, options);
    REQUIRE(ok(tracker->refresh()));
    CHECK(tracker->dirty().count() == 33);
}

TEST_CASE("tracker: the reason for not using block tracepoints is told") {
    TemporaryDirectory directory;
    MemoryDevice disk(chunk);
    TrackerOptions options;
    options.state_directory = directory.path();
    std::string why;
    const auto tracker = open_tracker(disk, options, &why);
    REQUIRE(ok(tracker));
    CHECK((*tracker)->kind() == "scan");
    CHECK_FALSE(why.empty());
}

struct Stated {
    [[nodiscard]] SourceState open() {
        return *SourceState::open(directory.path(), key, random.uuid());
    }

    Stated() {
        key.boot_id = "boot-1";
        key.sizes_bytes = {1U << 20, 3U << 20};
        key.tracker_generations = {random.uuid(), random.uuid()};
        key.trackers_resumed = true;
    }

    TemporaryDirectory directory;
    SystemRandom random;
    SourceStateKey key;
};

TEST_CASE("source state: a killed process finds its phases, maps and counters again") {
    Stated s;
    Generation generation;
    {
        SourceState state = s.open();
        CHECK_FALSE(state.lost_earlier());
        generation = state.generation();
        state.set_phase(1, CopyPhase::mirroring);
        state.set_cursor(1, 8192);
        state.set_acked_batch(7, true);
        state.pending(0, 8).set(3, 1);
        state.pending(1, 9).set(700, 2);
        state.add(Counter::bytes_sent_sync, 42);
    }
    SourceState state = s.open();
    CHECK(state.generation() == generation);
    CHECK(state.phase(0) == CopyPhase::unknown);
    CHECK(state.phase(1) == CopyPhase::mirroring);
    CHECK(state.cursor(1) == 8192);
    CHECK(state.acked_batch() == 7);
    CHECK(state.is_known_to_target());
    CHECK(state.pending(0, 10).test(3));
    CHECK(state.pending(0, 9).count() == 0);
    CHECK(state.pending(1, 11).count() == 2);
    CHECK(state.counter(Counter::bytes_sent_sync) == 42);
}

TEST_CASE(
    "source state: a map that is known to be empty is not looked at, one that may not be is") {
    Stated s;
    SourceState state = s.open();
    const std::uint64_t blocks = blocks_of(s.key.sizes_bytes[0]);
    std::vector<std::uint64_t> words(words_of(blocks));
    BlockMap dirty(words.data(), blocks);
    CHECK_FALSE(state.has_pending(0));
    CHECK_FALSE(state.has_pending(1));
    dirty.set(5, 1);
    state.pending(0, 8).set(3, 1);
    state.pending(0, 8).set(5, 1);
    CHECK(state.has_pending(8));
    CHECK(state.backlog_blocks(0, dirty) == 2);
    CHECK(state.is_under_way(0, 3, 1));
    state.end_batch(8);
    CHECK_FALSE(state.has_pending(8));
    CHECK(state.backlog_blocks(0, dirty) == 1);
    // Acknowledged, and not read back.
    CHECK(state.is_under_way(0, 3, 1));
    CHECK_FALSE(state.is_under_way(0, 4, 1));
    CHECK(state.unread_bytes() == 2 * block_bytes);
    state.note_read_back(8);
    CHECK_FALSE(state.is_under_way(0, 3, 1));
    state.pending(0, 9).set(7, 1);
    // Whoever takes over knows nothing of what is empty.
    SourceState next = s.open();
    CHECK(next.has_pending(8));
    CHECK(next.backlog_blocks(0, dirty) == 2);
}

TEST_CASE("shared map: what is released still holds what was written") {
    Stated s;
    const MapKey key{"test-1", s.key.job, 0, 0, "", s.key.boot_id};
    constexpr std::size_t count = 64U << 10;
    auto map = SharedMap::create(s.directory.path() / "words", key, s.random.uuid(), count);
    REQUIRE(ok(map));
    for (std::size_t i = 0; i < count; ++i) map->words()[i] = i * i;
    map->release(1000, 3000);
    map->release(0, count);
    bool same = true;
    for (std::size_t i = 0; i < count; ++i) same = same && map->words()[i] == i * i;
    CHECK(same);
    map->words()[2000] = 1;
    const auto adopted = SharedMap::adopt(s.directory.path() / "words", key, count);
    REQUIRE(ok(adopted));
    REQUIRE(adopted->has_value());
    CHECK((*adopted)->words()[2000] == 1);
    CHECK((*adopted)->words()[3999] == 3999U * 3999U);
}

TEST_CASE("source state: one whose maker was killed before it had a generation is not taken over") {
    Stated s;
    {
        SourceState state = s.open();
        state.set_phase(0, CopyPhase::mirroring);
        state.renew_generation(Generation());  // as a kill right after the file was made leaves it
    }
    SourceState state = s.open();
    CHECK_FALSE(state.generation().is_zero());
    CHECK(state.phase(0) == CopyPhase::unknown);
}

TEST_CASE("source state: without every tracker's own state nothing is taken over") {
    Stated s;
    const Generation before = s.open().generation();
    SECTION("a tracker is new") {
        s.key.trackers_resumed = false;
    }
    SECTION("a tracker is another") {
        s.key.tracker_generations[1] = s.random.uuid();
    }
    SECTION("the host was rebooted") {
        s.key.boot_id = "boot-2";
    }
    SourceState state = s.open();
    CHECK(state.lost_earlier());
    CHECK(state.generation() != before);
    CHECK_FALSE(state.is_known_to_target());
}

}  // namespace
}  // namespace drover::replicator
