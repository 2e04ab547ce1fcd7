// The way back: what was written on a target since its fence goes to the source that it was copied
// from, which can be taken back to what it held, whenever anything ends.
#include "replicator/checkpoint.h"
#include "replicator/journal_file.h"
#include "tests/replicator/crash_disk.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t mib = 1U << 20;

// ---- the journal alone, stopped at every write and flush ----

constexpr std::uint64_t disk_bytes = 24 * journal_block_bytes;
constexpr std::uint64_t redo_bytes = 32 * journal_block_bytes;
constexpr std::uint64_t undo_bytes = 24 * journal_block_bytes;

/// Two batches on one disk whose journal keeps its first point.
class FirstPoint {
  public:
    explicit FirstPoint(std::uint64_t seed)
        : machine(seed),
          file(machine, journal_rings_at + redo_bytes + undo_bytes, "journal"),
          disk(machine, disk_bytes, "disk") {
        SeededRandom random(seed);
        Bytes content(disk_bytes);
        for (auto& byte : content) byte = static_cast<std::uint8_t>(random.below(256));
        disk.set_contents(content);
        fenced = content;
        JournalShape shape;
        shape.journal = random.uuid();
        shape.key = key();
        shape.redo_bytes = redo_bytes;
        shape.undo_bytes = undo_bytes;
        shape.points_max = 1;
        shape.duty = JournalDuty::first_point;
        REQUIRE(ok(RedoJournal::format(file, shape, BatchMark())));
        REQUIRE(reopen());
        machine.steps = 0;
        for (const std::uint64_t block : {1U, 2U, 7U, 20U}) put(first, block, 0x11);
        // Sent again, what was written before, and something new.
        for (const std::uint64_t block : {2U, 7U, 9U}) put(second, block, 0x22);
    }

    [[nodiscard]] Digest key() { return journal_key(JobId(), RedoJournal::Disks{&disk}); }

    [[nodiscard]] bool reopen() {
        journal.reset();
        auto opened = RedoJournal::open(file, {&disk}, key(), JournalDuty::first_point);
        if (!opened) UNSCOPED_INFO(opened.error().text());
        if (opened) journal = std::move(*opened);
        return journal != nullptr;
    }

    /// Both batches; goes on after a crash where the journal is.
    [[nodiscard]] Result<> play() {
        if (journal->committed() < 1) TRY_VOID(send(1, first));
        if (journal->committed() < 2) TRY_VOID(send(2, second));
        return {};
    }

    [[nodiscard]] Bytes after() const {
        Bytes image = fenced;
        for (const auto& blocks : {first, second})
            for (const auto& [block, value] : blocks)
                std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(block * block_bytes),
                            block_bytes, value);
        return image;
    }

    void lose_power() {
        file.lose_power();
        disk.lose_power();
    }

    Machine machine;
    CrashDisk file;
    CrashDisk disk;
    std::unique_ptr<RedoJournal> journal;
    Bytes fenced;

  private:
    using Blocks = std::map<std::uint64_t, std::uint8_t>;

    static void put(Blocks& blocks, std::uint64_t block, std::uint8_t value) {
        blocks[block] = value;
    }

    [[nodiscard]] Result<> send(std::uint64_t batch, const Blocks& blocks) {
        for (const auto& [block, value] : blocks) {
            const Bytes data(block_bytes, value);
            TRY_VOID(journal->add({batch, {block * block_bytes, block_bytes, 0, false}, data}));
        }
        TRY_VOID(journal->commit({batch, true, static_cast<WallMicros>(batch), {}}));
        return journal->apply_all();
    }

    Blocks first;
    Blocks second;
};

enum class End { killed, power_cut };

/// Ends the machine at step `at`; begins again with it; `ends` further deaths on the way.
void stop_at(FirstPoint& play, std::uint64_t at, End end, std::uint64_t ends) {
    play.machine.mishaps[at] = Mishap::death;
    (void)play.play();
    for (;; --ends) {
        play.journal.reset();
        if (end == End::power_cut) play.lose_power();
        play.machine.is_dead = false;
        play.machine.mishaps.clear();
        if (ends > 0)
            play.machine.mishaps[play.machine.steps + 1 + play.machine.random.below(6)] =
                Mishap::death;
        const bool is_open = play.reopen();
        if (is_open && ends > 0) (void)play.journal->restore(0);
        if (ends > 0) continue;
        REQUIRE(is_open);
        return;
    }
}

TEST_CASE("way back: stopped anywhere, the first point comes back byte for byte") {
    FirstPoint measured(3);
    REQUIRE(ok(measured.play()));
    REQUIRE(measured.disk.contents() == measured.after());
    const std::uint64_t steps = measured.machine.steps;
    REQUIRE(steps > 20);
    for (const End end : {End::killed, End::power_cut}) {
        for (std::uint64_t at = 1; at <= steps + 1; ++at) {
            for (const std::uint64_t ends : {0U, 1U, 3U}) {
                FirstPoint play(3);
                stop_at(play, at, end, ends);
                INFO("step " << at << " ends " << ends);
                REQUIRE(ok(play.journal->restore(0)));
                REQUIRE(play.disk.contents() == play.fenced);
            }
        }
    }
}

TEST_CASE("way back: stopped anywhere and gone on with, the disks end as they were sent") {
    FirstPoint measured(4);
    REQUIRE(ok(measured.play()));
    const std::uint64_t steps = measured.machine.steps;
    for (const End end : {End::killed, End::power_cut}) {
        for (std::uint64_t at = 1; at <= steps; ++at) {
            FirstPoint play(4);
            stop_at(play, at, end, 0);
            INFO("step " << at);
            REQUIRE(ok(play.play()));
            REQUIRE(play.disk.contents() == play.after());
            REQUIRE(ok(play.journal->restore(0)));
            REQUIRE(play.disk.contents() == play.fenced);
        }
    }
}

TEST_CASE("way back: a batch that the journal cannot hold, or not undo, changes nothing in place") {
    // The redo ring holds the frame once and not twice; the undo ring has no room for what lies
    // there.
    for (const std::uint64_t frames : {1U, 2U}) {
        FirstPoint play(5);
        const Bytes data(21 * block_bytes, 0x55);
        const RecordEntry range{0, static_cast<std::uint32_t>(data.size()), 0, false};
        Result<> done;
        for (std::uint64_t i = 0; i < frames && done; ++i)
            done = play.journal->add({1, range, data});
        if (done) done = play.journal->commit({1, true, 1, {}});
        REQUIRE_FALSE(done.has_value());
        CHECK(done.error().id() == "reverse_over_budget");
        CHECK(play.disk.contents() == play.fenced);
        REQUIRE(play.reopen());
        CHECK(play.journal->committed() == 0);
        REQUIRE(ok(play.play()));
    }
}

TEST_CASE("way back: a first point is not given up for a disk that reads wrong") {
    FirstPoint play(6);
    REQUIRE(ok(play.play()));
    REQUIRE(ok(play.journal->give_up_points()));
    REQUIRE(ok(play.journal->restore(0)));
    CHECK(play.disk.contents() == play.fenced);
}

// ---- both ends ----

/// In the lab's words the source is the fenced target, whose users wrote, and the target is the
/// fenced source.
struct WayBackLab : Lab {
    explicit WayBackLab(std::uint64_t size = 8 * mib)
        : Lab({size}) {
        journal = JournalPlace{journals.path(), 8 * mib, 8 * mib, 1, JournalDuty::first_point};
        fence_point = FencePoint{SystemRandom().uuid(), false};
        mode = ReplicateMode::connected;
        fenced = source_disks[0]->disk.contents();
        target_disks[0]->contents() = fenced;
        source_disks[0]->attached = true;  // its map has been exact since before the first mount
    }

    ~WayBackLab() {
        kill_source();
        kill_target();
    }

    /// The target's users.
    void churn(std::uint64_t blocks, std::uint8_t value) {
        for (std::uint64_t i = 0; i < blocks; ++i)
            source_disks[0]->write_block((i * 37) % (8 * mib / block_bytes), value);
    }

    void begin() {
        start_target();
        start_source();
    }

    [[nodiscard]] const Bytes& on_source() const { return target_disks[0]->contents(); }

    [[nodiscard]] const Bytes& on_target() const { return source_disks[0]->disk.contents(); }

    TemporaryDirectory journals{"/var/tmp"};
    Bytes fenced;
};

TEST_CASE("way back: what was written comes back, and nothing else is sent") {
    WayBackLab lab;
    lab.churn(300, 0x77);
    lab.begin();
    const auto done = lab.source->drain({});
    REQUIRE(ok(done));
    CHECK(done->bytes == 300 * block_bytes);
    CHECK(done->batch == 1);
    CHECK(done->bytes_unverified == 0);
    CHECK(lab.on_source() == lab.on_target());
    const auto proof = lab.source->prove();
    REQUIRE(ok(proof));
    CHECK(proof->disks.size() == 1);
    lab.churn(1, 0x7a);
    REQUIRE_FALSE(lab.source->prove().has_value());
    REQUIRE(ok(lab.source->drain({})));
    REQUIRE(ok(lab.source->prove()));
    CHECK(lab.recorder.last().bytes_on_wire < 300 * block_bytes * 11 / 10 + 65536);
    // Kept for good: there is no journal any more, and no way back.
    REQUIRE(ok(lab.target->promote()));
    CHECK(std::filesystem::is_empty(lab.journals.path()));
    CHECK(lab.on_source() == lab.on_target());
    CHECK(lab.target->restore_point(0).error().id() == "no_such_point");
}

TEST_CASE("way back: nothing was written, nothing is sent") {
    WayBackLab lab;
    lab.begin();
    const auto done = lab.source->drain({});
    REQUIRE(ok(done));
    CHECK(done->bytes == 0);
    REQUIRE(ok(lab.target->promote()));
    CHECK(lab.on_source() == lab.fenced);
}

TEST_CASE("way back: abandoned after the drain, the source is as it was fenced") {
    WayBackLab lab;
    lab.churn(300, 0x78);
    lab.begin();
    REQUIRE(ok(lab.source->drain({})));
    REQUIRE(lab.on_source() != lab.fenced);
    lab.kill_target();
    lab.fence_point->is_begun = true;
    lab.start_target();
    REQUIRE(ok(lab.target->restore_point(0)));
    CHECK(lab.on_source() == lab.fenced);
    REQUIRE(ok(lab.target->restore_point(0)));  // asked once more after a crash
    CHECK(lab.on_source() == lab.fenced);
    // And nothing is brought again to a source that is on its way back into service.
    const auto again = lab.source->drain({});
    REQUIRE_FALSE(again.has_value());
    CHECK(again.error().id() == "changes_unknown");
    CHECK(lab.on_source() == lab.fenced);
    lab.kill_target();
    lab.start_target();
    REQUIRE(ok(lab.target->restore_point(0)));
    CHECK(lab.on_source() == lab.fenced);
}

TEST_CASE("way back: both ends killed at any frame, it is completed by itself") {
    for (const std::uint64_t frame : {1U, 5U, 100U, 299U}) {
        INFO("frame " << frame);
        WayBackLab lab;
        lab.churn(300, 0x79);
        lab.cut_bulk_after_frames = frame;
        lab.begin();
        std::thread drain([&] { (void)lab.source->drain({}); });
        CHECK(eventually([&] { return lab.dials() > 1; }));
        lab.source->stop();
        drain.join();
        lab.kill_source();
        lab.kill_target();
        lab.fence_point->is_begun = true;
        lab.begin();
        const auto done = lab.source->drain({});
        REQUIRE(ok(done));
        CHECK(lab.on_source() == lab.on_target());
        lab.kill_target();
        lab.start_target();
        REQUIRE(ok(lab.target->restore_point(0)));
        CHECK(lab.on_source() == lab.fenced);
    }
}

TEST_CASE("way back: what does not fit into the journal is refused before it is written") {
    WayBackLab lab(16 * mib);
    lab.journal->redo_bytes = mib;
    lab.churn(1000, 0x7a);
    lab.begin();
    const auto refused = lab.source->drain({});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().id() == "reverse_over_budget");
    CHECK(refused.error().next().find("journal.size_mib") != std::string::npos);
    CHECK(lab.on_source() == lab.fenced);
    // With more room the same step is simply asked for again.
    lab.kill_target();
    lab.fence_point->is_begun = true;
    lab.journal->redo_bytes = 16 * mib;
    lab.journal->undo_bytes = 16 * mib;
    lab.start_target();
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.on_source() == lab.on_target());
}

TEST_CASE("way back: changes that are not known exactly are never replaced by a comparison") {
    WayBackLab lab;
    lab.churn(10, 0x7b);
    SECTION("the map is gone") {
        lab.source_disks[0]->attached = false;
        const auto begun = lab.try_start_source();
        REQUIRE_FALSE(begun.has_value());
        CHECK(begun.error().id() == "changes_unknown");
    }
    SECTION("the map lost events, and that is remembered") {
        lab.begin();
        lab.source_disks[0]->verdict = Audit::Verdict::lost;
        const auto lost = lab.source->drain({});
        REQUIRE_FALSE(lost.has_value());
        CHECK(lost.error().id() == "changes_unknown");
        lab.kill_source();
        CHECK(lab.try_start_source().error().id() == "changes_unknown");
    }
    SECTION("what was on its way is not known any more") {
        lab.begin();
        REQUIRE(ok(lab.source->drain({})));
        lab.kill_source();
        lab.boot_id = "boot-2";
        CHECK(lab.try_start_source().error().id() == "changes_unknown");
        return;
    }
    CHECK(lab.on_source() == lab.fenced);
}

TEST_CASE("way back: a journal or checkpoint that is gone is never made anew") {
    WayBackLab lab;
    lab.churn(10, 0x7c);
    lab.begin();
    REQUIRE(ok(lab.source->drain({})));
    lab.kill_source();
    lab.kill_target();
    lab.fence_point->is_begun = true;
    SECTION("the journal") {
        std::filesystem::remove_all(lab.journals.path());
    }
    SECTION("the checkpoint") {
        std::filesystem::remove(checkpoint_path(lab.directory.path() / "target"));
    }
    const auto begun = lab.try_start_target();
    REQUIRE_FALSE(begun.has_value());
    CHECK(begun.error().id() == "first_point_lost");
}

}  // namespace
}  // namespace drover::replicator::testing
