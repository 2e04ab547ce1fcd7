// A target whose workload is tested on an overlay, in one process with its source: its disks stand
// still, the journal takes what comes, and afterwards replication goes on.
#include "replicator/checkpoint.h"
#include "replicator/journal_file.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr std::int64_t wait_ms = 10'000;

using Images = std::vector<Bytes>;

struct TestLab : Lab {
    explicit TestLab(std::vector<std::uint64_t> sizes_bytes)
        : Lab(std::move(sizes_bytes)) {
        journal = JournalPlace{journals.path(), 8 * mib, 8 * mib, 4};
        pacing.ping_every_ms = 50;
    }

    ~TestLab() {
        kill_source();
        kill_target();
    }

    /// In sync, and the test begun.
    void begin() {
        mirror();
        REQUIRE(eventually([&] { return !target->progress().points.empty(); }));
        const auto begun = target->begin_test(wait_ms);
        REQUIRE(ok(begun));
        point = begun->batch;
        base = contents();
    }

    [[nodiscard]] Images contents() {
        Images out;
        for (const auto& disk : target_disks) {
            Bytes bytes(disk->facts().size_bytes);
            REQUIRE(ok(disk->read(0, bytes)));
            out.push_back(std::move(bytes));
        }
        return out;
    }

    void write_some(std::uint64_t seed) {
        SeededRandom random(seed);
        for (auto& disk : source_disks) {
            const std::uint64_t blocks = disk->disk.facts().size_bytes / block_bytes;
            for (int i = 0; i < 20; ++i)
                disk->write_block(random.below(blocks), static_cast<std::uint8_t>(seed));
        }
    }

    /// More than the test's budget, of data that is not zero.
    void write_too_much() {
        Bytes data(7 * mib);
        SeededRandom random(9);
        for (auto& byte : data) byte = static_cast<std::uint8_t>(1 + random.below(255));
        source_disks[0]->write(0, data);
    }

    [[nodiscard]] std::uint64_t held_bytes() { return target->progress().journal_lag_bytes; }

    /// Something that was written when the journal held `bytes` is durable in it.
    [[nodiscard]] bool journal_took_more_than(std::uint64_t bytes) {
        return eventually([&] { return held_bytes() > bytes; });
    }

    /// The source waits, and says why: each of `words` is in the reason.
    [[nodiscard]] bool waits_and_says(std::initializer_list<const char*> words) {
        return eventually([&] {
            const std::string detail = recorder.last().detail;
            return recorder.state() == DataState::stalled &&
                   std::ranges::all_of(words, [&](const char* word) {
                       return detail.find(word) != std::string::npos;
                   });
        });
    }

    void drain_and_compare() {
        REQUIRE(eventually([&] { return source->drain({}).has_value(); }));
        REQUIRE(differing_bytes() == 0);
    }

    [[nodiscard]] Checkpoint stored() const {
        const auto found = read_checkpoint(directory.path() / "target");
        REQUIRE(ok(found));
        return **found;
    }

    void check_base() {
        CHECK(contents() == base);
        CHECK(target->progress().in_test);
    }

    TemporaryDirectory journals{"/var/tmp"};
    std::uint64_t point = 0;
    Images base;
};

TEST_CASE("test: the disks stand still, what comes is acknowledged, and then it is applied") {
    TestLab lab({4 * mib, 2 * mib});
    lab.begin();
    for (std::uint64_t seed = 1; seed < 4; ++seed) {
        const std::uint64_t used = lab.target->progress().journal_used_bytes;
        const std::uint64_t held = lab.held_bytes();
        lab.write_some(seed);
        REQUIRE(lab.journal_took_more_than(held));
        CHECK(lab.target->progress().journal_used_bytes > used);
        lab.check_base();
    }
    CHECK(lab.target->progress().batch == lab.point);
    CHECK(lab.target->progress().journal_budget_bytes == 8 * mib);
    REQUIRE(ok(lab.target->end_test()));
    // With no other write, and read back.
    REQUIRE(eventually([&] { return lab.target->progress().journal_lag_bytes == 0; }));
    CHECK(lab.differing_bytes() == 0);
    CHECK(eventually([&] { return lab.recorder.last().bytes_unverified == 0; }));
    CHECK_FALSE(lab.target->progress().in_test);
    lab.write_some(7);
    lab.drain_and_compare();
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("test: agents killed or without power at any time neither apply nor lose anything") {
    TestLab lab({4 * mib, 2 * mib});
    lab.begin();
    SeededRandom random(5);
    for (std::uint64_t round = 1; round < 8; ++round) {
        lab.write_some(round);
        lab.cut_next(1 + random.below(30), 0);
        if (round % 3 == 0) REQUIRE(eventually([&] { return lab.cut_bulk_after_frames == 0; }));
        if (round % 3 == 1) lab.kill_source();
        lab.kill_target();
        if (round % 2 == 0)
            for (auto& disk : lab.target_disks) disk->lose_power();
        lab.start_target();
        lab.check_base();
        if (round % 3 == 1) {
            lab.tracker_resumed = true;
            lab.start_source();
        }
        const auto again = lab.target->begin_test(wait_ms);
        REQUIRE(ok(again));
        CHECK(again->batch == lab.point);
    }
    lab.check_base();
    lab.kill_target();
    lab.start_target();
    REQUIRE(ok(lab.target->end_test()));
    lab.drain_and_compare();
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("test: a full journal pauses replication, says so, and it goes on after the revert") {
    TestLab lab({16 * mib});
    lab.begin();
    lab.write_too_much();
    REQUIRE(lab.waits_and_says({"test", "journal"}));
    // It stays connected instead of coming back again and again.
    const std::size_t dials = lab.dials();
    CHECK_FALSE(within(1'500, [&] { return lab.dials() > dials + 2; }));
    CHECK(lab.target->progress().journal_used_bytes <= 8 * mib * 8 / 10);
    CHECK(lab.recorder.state() == DataState::stalled);
    lab.check_base();
    SECTION("reverted") {}
    SECTION("killed, and then reverted") {
        lab.kill_target();
        lab.start_target();
        REQUIRE(eventually([&] { return lab.dials() > dials; }));
        lab.check_base();
    }
    SECTION("the source begins anew: it hears why it waits, and the test may end") {
        lab.kill_source();
        const std::size_t told = lab.recorder.states().size();
        lab.tracker_resumed = true;
        lab.start_source();
        REQUIRE(eventually([&] { return lab.recorder.states().size() > told; }));
        REQUIRE(lab.waits_and_says({"journal"}));
    }
    REQUIRE(ok(lab.target->end_test()));
    lab.drain_and_compare();
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("test: what would change the disks is refused") {
    TestLab lab({2 * mib});
    lab.begin();
    const auto promoted = lab.target->promote();
    REQUIRE_FALSE(promoted);
    CHECK(promoted.error().id() == "target_in_test");
    const auto restored = lab.target->restore_point(lab.point);
    REQUIRE_FALSE(restored);
    CHECK(restored.error().id() == "target_in_test");
    lab.check_base();
    REQUIRE(ok(lab.target->end_test()));
    lab.kill_source();
    CHECK(ok(lab.target->promote()));
}

TEST_CASE("test: a source that has to compare waits, rather than compare with what will change") {
    TestLab lab({2 * mib});
    lab.begin();
    lab.source_disks[0]->write_block(3, 0x11);
    REQUIRE(lab.journal_took_more_than(0));
    lab.kill_source();
    // As the disks hold it now: equal, until the journal is applied.
    REQUIRE(ok(lab.source_disks[0]->disk.write(
        3 * block_bytes, ByteView(lab.base[0]).subspan(3 * block_bytes, block_bytes))));
    lab.source_disks[0]->generation = SystemRandom().uuid();
    lab.start_source();
    REQUIRE(lab.waits_and_says({"target_in_test"}));
    lab.check_base();
    REQUIRE(ok(lab.target->end_test()));
    lab.drain_and_compare();
}

TEST_CASE(
    "test: without its journal nothing is written before the revert, and then all is compared") {
    TestLab lab({2 * mib});
    lab.begin();
    lab.write_some(1);
    REQUIRE(lab.journal_took_more_than(0));
    lab.kill_target();
    for (const auto& entry : std::filesystem::directory_iterator(lab.journals.path()))
        std::filesystem::remove(entry.path());
    lab.start_target();
    REQUIRE(eventually([&] { return lab.recorder.state() == DataState::stalled; }));
    lab.check_base();
    REQUIRE(ok(lab.target->end_test()));
    REQUIRE(eventually([&] { return lab.recorder.gone().size() == 1; }));
    lab.drain_and_compare();
}

TEST_CASE("test: it needs a journal, and a point") {
    TestLab lab({2 * mib});
    lab.start_target();
    auto begun = lab.target->begin_test(100);
    REQUIRE(begun.has_error());
    CHECK(begun.error().id() == "no_point_yet");
    lab.kill_target();
    lab.journal.reset();
    lab.start_target();
    begun = lab.target->begin_test(100);
    REQUIRE(begun.has_error());
    CHECK(begun.error().id() == "test_needs_journal");
}

TEST_CASE("test: a checkpoint says so, and an earlier version refuses it") {
    TestLab lab({2 * mib});
    lab.begin();
    CHECK(lab.stored().is_in_test);
    CHECK(get_u16(encode_checkpoint(lab.stored()), 8) == 4);
    REQUIRE(ok(lab.target->end_test()));
    CHECK_FALSE(lab.stored().is_in_test);
    CHECK(get_u16(encode_checkpoint(lab.stored()), 8) == 3);
}

}  // namespace
}  // namespace drover::replicator::testing
