#include "tests/replicator/redo_play.h"
#include "tests/replicator/result_checks.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

std::vector<std::uint64_t> batches(const std::vector<BatchMark>& points) {
    std::vector<std::uint64_t> out;
    for (const BatchMark& point : points) out.push_back(point.batch);
    return out;
}

/// One batch of a few blocks, committed and applied.
void batch(RedoPlay& play, bool is_point = true) {
    REQUIRE(ok(play.write(0, play.next_batch() % 12, 1)));
    REQUIRE(ok(play.write(1, play.next_batch() % 8, 1, play.next_batch() % 3 == 0)));
    REQUIRE(ok(play.commit(is_point)));
    REQUIRE(ok(play.journal->apply_all()));
}

/// As the bytes lie in the file: the place in the redo ring where a record begins.
std::uint64_t redo_offset(std::uint64_t position) {
    return journal_rings_at + position % redo_ring_bytes;
}

TEST_CASE("redo journal: nothing reaches the disks before it is committed") {
    RedoPlay play(1);
    const auto before = play.disks();
    REQUIRE(ok(play.write(0, 2, 3)));
    REQUIRE(ok(play.write(1, 2, 3, true)));
    CHECK(play.journal->apply_next() == Result<bool>(false));
    CHECK(play.disks() == before);
    REQUIRE(ok(play.commit(true)));
    CHECK(play.disks() == before);
    CHECK(play.journal->committed() == 2);
    CHECK(play.journal->applied().batch == 1);
    CHECK(play.journal->lag_bytes() >= 5 * journal_block_bytes);
    REQUIRE(play.journal->apply_next() == Result<bool>(true));
    CHECK(play.disks() == play.images[2]);
    CHECK(play.journal->applied() == play.marks[2]);
    CHECK(play.journal->lag_bytes() == 0);
}

TEST_CASE("redo journal: a later copy of a block supersedes the earlier one") {
    RedoPlay play(2);
    for (std::uint64_t i = 0; i < 5; ++i) REQUIRE(ok(play.write(0, 4, 1 + i % 2, i == 2)));
    REQUIRE(ok(play.commit(true)));
    REQUIRE(ok(play.journal->apply_all()));
    CHECK(play.disks() == play.images[2]);
}

TEST_CASE("redo journal: frames of the next batch may come before the COMMIT") {
    RedoPlay play(3);
    REQUIRE(ok(play.write(0, 1, 2)));
    REQUIRE(ok(play.write(0, 2, 2, false, 1)));
    REQUIRE(ok(play.commit(true)));
    SECTION("and stay out of the batch") {
        REQUIRE(ok(play.journal->apply_all()));
        CHECK(play.disks() == play.images[2]);
        REQUIRE(ok(play.commit(true)));
        REQUIRE(ok(play.journal->apply_all()));
        CHECK(play.disks() == play.images[3]);
    }
    SECTION("and are dropped by a crash") {
        REQUIRE(play.reopen());
        CHECK(play.journal->applied().batch == 2);
        CHECK(play.disks() == play.images[2]);
    }
}

TEST_CASE("redo journal: dropped frames never return") {
    RedoPlay play(4);
    REQUIRE(ok(play.write(0, 1, 3)));
    REQUIRE(ok(play.drop()));
    REQUIRE(ok(play.commit(true)));
    REQUIRE(play.reopen());
    CHECK(play.disks() == play.images[2]);
    CHECK(play.images[2] == play.images[1]);
}

TEST_CASE("redo journal: the ring goes round many times") {
    RedoPlay play(5);
    std::uint64_t bytes = 0;
    while (bytes < 10 * redo_ring_bytes) {
        const std::uint64_t before = play.journal->used_bytes();
        REQUIRE(ok(play.write(0, play.next_batch() % 12, 3)));
        REQUIRE(ok(play.commit(true)));
        bytes += play.journal->used_bytes() - before;
        REQUIRE(ok(play.journal->apply_all()));
        REQUIRE(play.disks() == play.images[play.next_batch() - 1]);
        if (play.next_batch() % 7 == 0) REQUIRE(play.reopen());
    }
    CHECK(play.crossings == 0);
}

TEST_CASE("redo journal: committed batches that fill the ring are applied to make room") {
    RedoPlay play(6);
    for (int i = 0; i < 12; ++i) {
        REQUIRE(ok(play.write(0, 2, 3)));
        REQUIRE(ok(play.commit(true)));
    }
    CHECK(play.journal->applied().batch > 5);
    CHECK(play.journal->applied().batch < play.journal->committed());
    CHECK(play.journal->used_bytes() <= redo_ring_bytes);
    CHECK(play.crossings == 0);
}

// ---- a batch that is too large ----

TEST_CASE("redo journal: a batch larger than the ring says so before it writes in place") {
    RedoPlay play(7);
    batch(play);
    const auto before = play.disks();
    std::uint64_t last_step = 0;
    while (play.journal->mode() == JournalMode::journal) {
        REQUIRE(play.disks() == before);
        last_step = play.machine.steps;
        REQUIRE(ok(play.write(0, 0, 4)));
    }
    REQUIRE(play.disks() != before);
    CHECK(play.journal->points().empty());
    CHECK_FALSE(play.journal->applied().is_point);
    SECTION("a crash in it is seen as what it is") {
        REQUIRE(play.reopen());
        CHECK(play.journal->mode() == JournalMode::direct);
        CHECK(play.journal->applied().batch == 2);
        CHECK_FALSE(play.journal->applied().is_point);
    }
    SECTION("the journal is back after a batch that ends in a point") {
        REQUIRE(ok(play.commit(true)));
        CHECK(play.journal->mode() == JournalMode::journal);
        CHECK(play.disks() == play.images[3]);
        CHECK(batches(play.journal->points()) == std::vector<std::uint64_t>{3});
        REQUIRE(play.reopen());
        CHECK(play.journal->mode() == JournalMode::journal);
        CHECK(play.go_on().empty());
    }
    SECTION("but not after any other") {
        REQUIRE(ok(play.commit(false)));
        CHECK(play.journal->mode() == JournalMode::direct);
        CHECK(play.journal->committed() == 3);
    }
    SECTION("nor when frames of the next batch are on the disks already") {
        REQUIRE(ok(play.write(0, 0, 1, false, 1)));
        REQUIRE(ok(play.commit(true)));
        CHECK(play.journal->mode() == JournalMode::direct);
        CHECK_FALSE(play.journal->applied().is_point);
    }
    SECTION("a power cut at the first write in place finds it announced") {
        RedoPlay again(7);
        batch(again);
        again.machine.mishaps[last_step + 2] = Mishap::death;
        while (again.write(0, 0, 4)) {
        }
        CHECK(again.disks() == before);
        again.file.lose_power();
        again.machine = Machine(1);
        REQUIRE(again.reopen());
        CHECK(again.verdict().empty());
    }
}

// ---- points ----

TEST_CASE("redo journal: the last points are kept, whatever lies between them") {
    RedoPlay play(8);
    for (int i = 0; i < 9; ++i) batch(play, i % 2 == 0);
    // The present state and as many before it as were asked for.
    CHECK(batches(play.journal->points()) == std::vector<std::uint64_t>{4, 6, 8, 10});
    for (const BatchMark& point : play.journal->points())
        CHECK(point.taken_micros == play.marks[point.batch].taken_micros);
    REQUIRE(play.reopen());
    CHECK(batches(play.journal->points()) == std::vector<std::uint64_t>{4, 6, 8, 10});
}

TEST_CASE("redo journal: every kept point can be gone back to, byte for byte") {
    for (std::size_t back = 0; back < 3; ++back) {
        RedoPlay play(9);
        for (int i = 0; i < 8; ++i) batch(play, i % 3 != 1);
        const auto points = play.journal->points();
        REQUIRE(points.size() > back);
        const BatchMark& goal = points[points.size() - 1 - back];
        REQUIRE(ok(play.restore(goal.batch)));
        CHECK(play.disks() == play.images[goal.batch]);
        CHECK(play.journal->applied().batch == goal.batch);
        CHECK(batches(play.journal->points()).back() == goal.batch);
        CHECK(play.go_on().empty());
    }
}

TEST_CASE("redo journal: what is no point cannot be gone back to, and nothing is changed") {
    RedoPlay play(10);
    for (int i = 0; i < 8; ++i) batch(play, i % 3 != 1);
    const auto before = play.disks();
    for (const std::uint64_t goal : {0U, 1U, 3U, 1000U})
        CHECK(play.journal->restore(goal).error().id() == "no_such_point");
    CHECK(play.disks() == before);
    CHECK(play.go_on().empty());
}

TEST_CASE("redo journal: points that were given up stay so, and later ones are made") {
    RedoPlay play(11);
    for (int i = 0; i < 4; ++i) batch(play);
    REQUIRE(ok(play.journal->give_up_points()));
    CHECK(play.journal->points().empty());
    REQUIRE(play.reopen());
    CHECK(play.journal->points().empty());
    const auto before = play.disks();
    CHECK(play.journal->restore(4).error().id() == "no_such_point");
    CHECK(play.disks() == before);
    batch(play);
    CHECK(batches(play.journal->points()) == std::vector<std::uint64_t>{6});
}

TEST_CASE("redo journal: a damaged undo record is found before anything is restored") {
    RedoPlay play(11);
    for (int i = 0; i < 6; ++i) batch(play);
    const auto before = play.disks();
    const auto goal = play.journal->points().front().batch;
    for (std::uint64_t at = 0; at < undo_ring_bytes; at += journal_block_bytes)
        play.file.flip_bit(journal_rings_at + redo_ring_bytes + at + 1000);
    CHECK(play.journal->restore(goal).error().id() == "journal_corrupt");
    CHECK(play.disks() == before);
    CHECK(play.journal->applied().batch == play.next_batch() - 1);
}

TEST_CASE("redo journal: points that the undo ring has no room for are given up") {
    RedoPlay play(12);
    for (int i = 0; i < 3; ++i) batch(play);
    REQUIRE(play.journal->points().size() == 4);
    for (int i = 0; i < 2; ++i) {
        REQUIRE(ok(play.write(0, 0, 12)));
        REQUIRE(ok(play.write(1, 0, 4)));
        REQUIRE(ok(play.commit(true)));
        REQUIRE(ok(play.journal->apply_all()));
    }
    CHECK(play.crossings == 0);
    CHECK(batches(play.journal->points()) == std::vector<std::uint64_t>{5, 6});
    CHECK(play.go_on().empty());
}

// ---- opening ----

TEST_CASE("redo journal: it is not applied to other disks or another job's") {
    RedoPlay play(13);
    const RedoJournal::Disks disks{&play.first, &play.second};
    const RedoJournal::Disks swapped{&play.second, &play.first};
    JobId other;
    other.data[3] = 1;
    CHECK(RedoJournal::open(play.file, disks, journal_key(other, disks)).error().id() ==
          "journal_of_another_job");
    CHECK(RedoJournal::open(play.file, swapped, journal_key(JobId(), swapped)).error().id() ==
          "journal_of_another_job");
}

TEST_CASE("redo journal: one damaged slot does no harm, two are an error") {
    RedoPlay play(14);
    batch(play);
    play.file.flip_bit(100);
    const bool first = play.reopen();
    play.file.flip_bit(100);
    play.file.flip_bit(journal_block_bytes + 100);
    CHECK((first || play.reopen()));
    play.file.flip_bit(100);
    play.file.flip_bit(journal_block_bytes + 100);
    const RedoJournal::Disks disks{&play.first, &play.second};
    Bytes blank(play.file.contents().size());
    play.file.set_contents(blank);
    CHECK(RedoJournal::open(play.file, disks, journal_key(JobId(), disks)).error().id() ==
          "journal_corrupt");
}

TEST_CASE("redo journal: a durable batch that was damaged later is never taken for one not made") {
    RedoPlay play(15);
    REQUIRE(ok(play.write(0, 1, 2)));
    REQUIRE(ok(play.commit(true)));
    const std::uint64_t second = play.journal->used_bytes();
    REQUIRE(ok(play.write(0, 4, 2)));
    REQUIRE(ok(play.commit(true)));
    const bool damages_head = GENERATE(true, false);
    SECTION("the first of two") {
        play.file.flip_bit(redo_offset(damages_head ? 8 : journal_block_bytes + 77));
        const RedoJournal::Disks disks{&play.first, &play.second};
        const auto before = play.disks();
        CHECK(RedoJournal::open(play.file, disks, journal_key(JobId(), disks)).error().id() ==
              "journal_corrupt");
        CHECK(play.disks() == before);
    }
    SECTION("the last one looks like a crash: the owner's own checkpoint says that it was made") {
        play.file.flip_bit(redo_offset(second + (damages_head ? 8 : journal_block_bytes + 77)));
        REQUIRE(play.reopen());
        CHECK(play.journal->applied().batch == 2);
    }
}

TEST_CASE("redo journal: a COMMIT counts only for the very records that it was made for") {
    RedoPlay play(16);
    REQUIRE(ok(play.write(0, 1, 2)));
    REQUIRE(ok(play.commit(true)));
    Bytes contents = play.file.contents();
    const auto block = std::span(contents).subspan(redo_offset(0), journal_block_bytes);
    auto head = parse_record_head(block);
    REQUIRE(head);
    SECTION("changed") {
        head->entries[0].offset += journal_block_bytes;
    }
    SECTION("unchanged") {}
    const bool is_changed = head->entries[0].offset != journal_block_bytes;
    std::ranges::copy(encode_record_head(*head), block.begin());
    play.file.set_contents(contents);
    REQUIRE(play.reopen());
    CHECK(play.journal->applied().batch == (is_changed ? 1 : 2));
    CHECK(play.disks() == play.images[is_changed ? 1 : 2]);
}

TEST_CASE("redo journal: a file too small for its shape is refused") {
    Machine machine(1);
    CrashDisk file(machine, journal_rings_at + redo_ring_bytes, "file");
    JournalShape shape;
    shape.redo_bytes = redo_ring_bytes;
    CHECK(ok(RedoJournal::format(file, shape, BatchMark())));
    shape.undo_bytes = journal_block_bytes;
    CHECK(RedoJournal::format(file, shape, BatchMark()).error().id() == "journal_too_small");
    shape.undo_bytes = 0;
    shape.redo_bytes = journal_block_bytes;
    CHECK(RedoJournal::format(file, shape, BatchMark()).error().id() == "journal_too_small");
}

TEST_CASE(
    "redo journal: without an undo ring there are no points to go back to, and all else works") {
    Machine machine(1);
    CrashDisk file(machine, journal_rings_at + redo_ring_bytes, "file");
    CrashDisk disk(machine, 8 * journal_block_bytes, "disk");
    JournalShape shape;
    shape.redo_bytes = redo_ring_bytes;
    const RedoJournal::Disks disks{&disk};
    shape.key = journal_key(JobId(), disks);
    REQUIRE(ok(RedoJournal::format(file, shape, BatchMark())));
    auto journal = RedoJournal::open(file, disks, shape.key);
    REQUIRE(ok(journal));
    const Bytes data(journal_block_bytes, 7);
    for (std::uint64_t number = 1; number < 6; ++number) {
        REQUIRE(ok((*journal)->add({number, {number * 4096, 4096, 0, false}, data})));
        REQUIRE(ok((*journal)->commit({number, true, 0, {}})));
        REQUIRE(ok((*journal)->apply_all()));
        CHECK(disk.contents()[number * 4096] == 7);
        CHECK(batches((*journal)->points()) == std::vector<std::uint64_t>{number});
    }
}

}  // namespace
}  // namespace drover::replicator::testing
