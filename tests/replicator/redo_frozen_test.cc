// A redo journal that is frozen for a test: whatever happens to it, the disks stay as they were,
// and once it is thawed they get what was acknowledged meanwhile.
#include "replicator/target_journal.h"
#include "tests/replicator/redo_play.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t mib = 1U << 20;
constexpr int actions = 40;

enum class End { killed, power_cut };

struct FrozenPlay : RedoPlay {
    explicit FrozenPlay(std::uint64_t seed)
        : RedoPlay(seed) {
        REQUIRE(ok(journal->apply_all()));
        REQUIRE(ok(journal->freeze()));
        at = journal->applied().batch;
        machine.steps = 0;
    }

    /// Until something fails for another reason than a full journal.
    void day(std::uint64_t seed) {
        SeededRandom random(seed);
        for (int i = 0; i < actions; ++i)
            if (!act(random)) return;
    }

    [[nodiscard]] Result<> act(SeededRandom& random) {
        const std::uint64_t choice = random.below(100);
        if (choice < 55) {
            // Frames of a later batch come after all of their predecessor's.
            if (random.below(6) == 0) ahead = 1;
            const auto written =
                write(0, random.below(14), 1 + random.below(2), random.below(4) == 0, ahead);
            if (written || written.error().id() != "test_journal_full") return written;
            ++refused;
            ahead = 0;
            return drop();
        }
        if (choice < 88) {
            const auto done = commit(random.below(2) == 0);
            if (done) ahead = 0;
            if (done || done.error().id() != "test_journal_full") return done;
            return drop();
        }
        ahead = 0;
        if (choice < 95) return drop();
        TRY(const bool applied, journal->apply_next());
        REQUIRE_FALSE(applied);
        return {};
    }

    void end(End how) {
        journal.reset();
        ahead = 0;
        if (how == End::power_cut)
            for (CrashDisk* disk : {&file, &first, &second}) disk->lose_power();
        machine.is_dead = false;
        machine.mishaps.clear();
    }

    /// Empty, or what is wrong.
    [[nodiscard]] std::string wrong() const {
        if (!journal->is_frozen()) return "it is not frozen any more";
        if (journal->applied().batch != at) return "it was applied";
        if (disks() != images.at(at)) return "the disks changed";
        return allowed.count(journal->committed()) > 0 ? "" : "it is not what was acknowledged";
    }

    [[nodiscard]] std::string wrong_after_thaw() {
        const std::uint64_t last = journal->committed();
        if (!journal->drop_open() || !journal->thaw()) return "it cannot be thawed";
        if (!journal->apply_all()) return "it cannot be applied";
        return journal->applied().batch == last && disks() == images.at(last)
                   ? ""
                   : "the disks are not what was acknowledged";
    }

    std::uint64_t at = 0;
    std::uint64_t ahead = 0;
    std::uint64_t refused = 0;
};

TEST_CASE("frozen journal: what is committed waits, over restarts, and then reaches the disks") {
    FrozenPlay play(1);
    REQUIRE(ok(play.write(0, 1, 2)));
    REQUIRE(ok(play.commit(true)));
    REQUIRE(ok(play.write(1, 1, 1)));
    REQUIRE(ok(play.drop()));
    REQUIRE(ok(play.write(0, 2, 2)));
    REQUIRE(ok(play.commit(false)));
    CHECK(play.wrong() == "");
    CHECK(play.journal->is_waiting(0, 2 * journal_block_bytes, 512));
    CHECK_FALSE(play.journal->is_waiting(1, 1 * journal_block_bytes, 512));
    const std::uint64_t last = play.journal->committed();
    for (int i = 0; i < 3; ++i) {
        REQUIRE(play.reopen());
        CHECK(play.wrong() == "");
        CHECK(play.journal->committed() == last);
        CHECK(play.journal->last().batch == last);
    }
    const auto restored = play.journal->restore(play.at);
    REQUIRE_FALSE(restored);
    CHECK(restored.error().id() == "target_in_test");
    CHECK(play.wrong_after_thaw() == "");
    REQUIRE(play.reopen());
    CHECK(play.verdict() == "");
    CHECK(play.go_on() == "");
}

TEST_CASE("frozen journal: at 80 % of the ring it takes no more, works on, and loses nothing") {
    FrozenPlay play(2);
    Result<> written;
    while (written) {
        written = play.write(0, 1, 1);
        if (written) REQUIRE(ok(play.commit(false)));
    }
    CHECK(written.error().id() == "test_journal_full");
    REQUIRE(ok(play.drop()));
    CHECK(play.journal->used_bytes() <= redo_ring_bytes * 8 / 10);
    CHECK(play.journal->used_bytes() > redo_ring_bytes * 6 / 10);
    CHECK(play.journal->mode() == JournalMode::journal);
    CHECK(play.wrong() == "");
    CHECK(play.wrong_after_thaw() == "");
    CHECK(play.go_on() == "");
}

TEST_CASE("frozen journal: ended at any step, again and again, the disks stand still") {
    const auto how = GENERATE(End::killed, End::power_cut);
    std::uint64_t runs = 0;
    std::uint64_t refused = 0;
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        FrozenPlay whole(seed);
        whole.day(seed);
        for (std::uint64_t step = 1; step <= whole.machine.steps; ++step) {
            INFO("seed " << seed << " step " << step);
            FrozenPlay play(seed);
            play.machine.random = SeededRandom(seed * 1'000'003 + step);
            play.machine.mishaps[step] = Mishap::death;
            play.day(seed);
            for (std::uint64_t round = 0; round < 3; ++round) {
                play.end(how);
                // Interrupted, and then not.
                play.machine.mishaps[play.machine.steps + 1 + round] = Mishap::death;
                if (!play.reopen() || play.machine.is_dead) {
                    play.end(how);
                    REQUIRE(play.reopen());
                }
                REQUIRE(play.wrong() == "");
                play.machine.mishaps.clear();
                play.machine.mishaps[play.machine.steps + 3 + play.machine.random.below(20)] =
                    Mishap::death;
                play.day(seed * 100 + round);
            }
            play.end(how);
            REQUIRE(play.reopen());
            REQUIRE(play.wrong() == "");
            REQUIRE(play.wrong_after_thaw() == "");
            REQUIRE(play.go_on() == "");
            ++runs;
            refused += play.refused;
        }
    }
    CHECK(runs > 100);
    CHECK(refused > 20);
}

TEST_CASE("frozen journal: ended while it is applied after the thaw, it is applied again") {
    const auto how = GENERATE(End::killed, End::power_cut);
    for (std::uint64_t step = 1; step < 60; ++step) {
        INFO("step " << step);
        FrozenPlay play(3);
        play.day(3);
        play.end(how);
        REQUIRE(play.reopen());
        play.day(4);
        const std::uint64_t last = play.journal->committed();
        REQUIRE(ok(play.journal->drop_open()));
        play.machine.mishaps[play.machine.steps + step] = Mishap::death;
        const bool is_done = play.journal->thaw() && play.journal->apply_all();
        play.end(how);
        REQUIRE(play.reopen());
        if (play.journal->is_frozen()) {
            REQUIRE_FALSE(is_done);
            REQUIRE(ok(play.journal->thaw()));
            REQUIRE(ok(play.journal->apply_all()));
        }
        REQUIRE(play.journal->applied().batch == last);
        REQUIRE(play.disks() == play.images.at(last));
        REQUIRE(play.go_on() == "");
    }
}

TEST_CASE("redo journal: one that has to be frozen and is not is left alone, with its disks") {
    RedoPlay play(3);
    REQUIRE(ok(play.write(0, 1, 2)));
    REQUIRE(ok(play.commit(true)));
    const auto before = play.disks();
    const std::vector<BlockDevice*> disks = {&play.first, &play.second};
    play.journal.reset();
    const auto opened = RedoJournal::open(play.file, disks, journal_key(JobId(), disks),
                                          JournalDuty::recent_points, JournalUse::frozen_only);
    REQUIRE_FALSE(opened.has_value());
    CHECK(play.disks() == before);
}

TEST_CASE("redo journal: a COMMIT without frames, behind those of a later batch, is refused") {
    RedoPlay play(3);
    // Those of the second later batch make room for themselves by writing those of the first.
    REQUIRE(ok(play.write(0, 1, 2, false, 1)));
    REQUIRE(ok(play.write(0, 1, 2, false, 2)));
    const auto committed = play.journal->commit({play.next_batch(), true, 1, {}});
    REQUIRE_FALSE(committed.has_value());
    CHECK(committed.error().id() == "bad_message");
}

TEST_CASE("target journal: one that failed is not open, until it is opened anew") {
    const TemporaryDirectory directory{"/var/tmp"};
    Machine machine{1};
    CrashDisk disk(machine, mib, "target");
    TargetJournal journal({directory.path(), mib, mib, 4}, JobId());
    Checkpoint checkpoint;
    checkpoint.state = CheckpointState::syncing;
    checkpoint.disks.resize(1);
    checkpoint.disks[0].size_bytes = mib;
    const auto begun = journal.begin({&disk}, checkpoint);
    REQUIRE(ok(begun));
    REQUIRE(journal.is_open());
    FrameHeader frame;
    frame.kind = FrameKind::data;
    frame.batch = 1;
    frame.raw_length = block_bytes;
    machine.mishaps[machine.steps + 1] = Mishap::io_error;
    CHECK_FALSE(journal.add(frame, Bytes(block_bytes, 7)).has_value());
    CHECK_FALSE(journal.is_open());
    CHECK_FALSE(journal.thaw().has_value());
    REQUIRE(ok(journal.begin({&disk}, *begun)));
    CHECK(journal.is_open());
    CHECK(ok(journal.thaw()));
    CHECK(ok(journal.add(frame, Bytes(block_bytes, 7))));
}

}  // namespace
}  // namespace drover::replicator::testing
