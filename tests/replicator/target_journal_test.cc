// A target with a redo journal, in one process with its source.
#include "replicator/checkpoint.h"
#include "replicator/journal_file.h"
#include "replicator/peer_codec.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <array>
#include <map>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t mib = 1U << 20;

struct JournalLab : Lab {
    explicit JournalLab(std::vector<std::uint64_t> sizes_bytes, bool tracking = true)
        : Lab(std::move(sizes_bytes), tracking) {
        journal = JournalPlace{journals.path(), 8 * mib, 8 * mib, 4};
    }

    ~JournalLab() {
        kill_source();
        kill_target();
    }

    [[nodiscard]] std::vector<BatchMark> points() const { return target->progress().points; }

    /// The mirror, and the first point.
    void begin() {
        mirror();
        REQUIRE(eventually([&] { return !points().empty(); }));
    }

    void write_some(std::uint64_t seed) {
        SeededRandom random(seed);
        for (auto& disk : source_disks) {
            const std::uint64_t blocks = disk->disk.facts().size_bytes / block_bytes;
            for (int i = 0; i < 20; ++i)
                disk->write_block(random.below(blocks), static_cast<std::uint8_t>(seed));
        }
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

    [[nodiscard]] std::filesystem::path file() const {
        std::vector<std::filesystem::path> files;
        for (const auto& entry : std::filesystem::directory_iterator(journals.path()))
            files.push_back(entry.path());
        REQUIRE(files.size() == 1);
        return files[0];
    }

    TemporaryDirectory journals{"/var/tmp"};
};

TEST_CASE("target journal: after the mirror each quiet pass is a point, and a drain ends applied") {
    JournalLab lab({4 * mib, 2 * mib});
    lab.begin();
    for (std::uint64_t seed = 1; seed < 6; ++seed) {
        const std::uint64_t last = lab.points().back().batch;
        lab.write_some(seed);
        REQUIRE(eventually([&] { return lab.points().back().batch > last; }));
        CHECK(lab.points().back().taken_micros > 0);
    }
    CHECK(lab.points().size() > 1);
    lab.write_some(7);
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.target->progress().journal_lag_bytes == 0);
    const Checkpoint stored = lab.stored();
    CHECK(stored.mode == JournalMode::journal);
    CHECK(stored.batch == lab.points().back().batch);
    CHECK(lab.source->verify().has_value());
}

TEST_CASE("target journal: what was written before the time of a point is in the point") {
    JournalLab lab({mib});
    SystemClock clock;
    // Each audit sees a write complete: after those that are in the point, if it ends a window.
    std::mutex mutex;
    std::vector<WallMicros> written;  // when number i was
    constexpr std::size_t writes_max = 100;
    lab.source_disks[0]->during_audit = [&] {
        const std::lock_guard lock(mutex);
        if (written.size() == writes_max) return;
        lab.source_disks[0]->write_block(7, static_cast<std::uint8_t>(written.size()));
        written.push_back(clock.wall_micros());
        while (clock.wall_micros() <= written.back()) {
        }
    };
    lab.begin();
    REQUIRE(eventually([&] {
        const std::lock_guard lock(mutex);
        return written.size() == writes_max;
    }));
    lab.drain_and_compare();
    lab.kill_source();
    auto points = lab.points();
    REQUIRE(points.size() > 1);
    for (; !points.empty(); points.pop_back()) {
        REQUIRE(ok(lab.target->restore_point(points.back().batch)));
        const std::uint8_t held = lab.target_disks[0]->contents()[7 * block_bytes];
        const auto known = std::ranges::lower_bound(written, points.back().taken_micros);
        CHECK(known - written.begin() <= held + 1);
    }
}

/// Holds every COMMIT back until it may pass.
class HeldCommits final : public wire::Link {
  public:
    HeldCommits(std::unique_ptr<wire::Link> link, std::atomic<bool>& holds)
        : link_(std::move(link)),
          holds_(holds) {}

    [[nodiscard]] Result<> send(ByteView head, ByteView body) override {
        const auto message = decode_source_message(head);
        const bool waits = message && std::holds_alternative<Commit>(*message);
        if (waits && !eventually([&] { return !holds_; }))
            return Error(Errc::timed_out, "held", "for too long");
        return link_->send(head, body);
    }

    [[nodiscard]] Result<Bytes> receive(std::int64_t timeout_ms) override {
        return link_->receive(timeout_ms);
    }

    void abort() override { link_->abort(); }

    [[nodiscard]] const std::string& peer() const override { return link_->peer(); }

  private:
    std::unique_ptr<wire::Link> link_;
    std::atomic<bool>& holds_;
};

TEST_CASE("target journal: no point is offered while a batch is written in place") {
    std::atomic<bool> holds = false;
    std::atomic<bool> writes = false;
    JournalLab lab({16 * mib});
    lab.wrap_links = [&](PeerLinks& links) {
        links.control = std::make_unique<HeldCommits>(std::move(links.control), holds);
    };
    // In an audit, so that all of it gets into one batch: more than the ring has room for.
    lab.source_disks[0]->during_audit = [&] {
        if (writes.exchange(false)) lab.source_disks[0]->write(0, Bytes(3000 * block_bytes, 0x77));
    };
    lab.begin();
    REQUIRE(ok(lab.source->drain({})));
    holds = true;
    writes = true;
    const auto is_begun = [&] { return lab.target_disks[0]->contents()[8 * mib] == 0x77; };
    REQUIRE(eventually(is_begun));
    CHECK(eventually([&] { return lab.points().empty(); }));
    holds = false;
    lab.drain_and_compare();
    CHECK(eventually([&] { return !lab.points().empty(); }));
}

/// Takes its time for every write, so that an acknowledgement comes long before the application.
class SlowDevice final : public ForwardingDevice {
  public:
    explicit SlowDevice(MemoryDevice& disk)
        : ForwardingDevice(disk) {}

    [[nodiscard]] Result<> write(std::uint64_t offset, ByteView data) override {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        return disk_.write(offset, data);
    }
};

TEST_CASE(
    "target journal: a drain is over when the last batch is on the disks and in the checkpoint") {
    JournalLab lab({mib});
    lab.open_target_disk = [&](std::size_t i) {
        return std::make_unique<SlowDevice>(*lab.target_disks[i]);
    };
    lab.begin();
    for (std::uint64_t seed = 1; seed < 4; ++seed) {
        lab.write_some(seed);
        REQUIRE(ok(lab.source->drain({})));
        REQUIRE(lab.differing_bytes() == 0);
        REQUIRE(lab.stored().batch == lab.target->progress().points.back().batch);
    }
}

TEST_CASE("target journal: content comparison keeps the target in direct mode, without points") {
    JournalLab lab({2 * mib}, false);
    lab.mirror();
    lab.source_disks[0]->write_block(3, 77);
    lab.drain_and_compare();
    CHECK(lab.points().empty());
}

TEST_CASE(
    "target journal: killed or without power at any time, it goes on and nothing is compared") {
    JournalLab lab({4 * mib, 2 * mib});
    lab.begin();
    SeededRandom random(5);
    for (std::uint64_t round = 1; round < 8; ++round) {
        lab.write_some(round);
        lab.cut_next(1 + random.below(30), 0);
        if (round % 3 == 0) REQUIRE(eventually([&] { return lab.cut_bulk_after_frames == 0; }));
        lab.kill_target();
        if (round % 2 == 0)
            for (auto& disk : lab.target_disks) disk->lose_power();
        lab.start_target();
        lab.drain_and_compare();
    }
    CHECK(lab.recorder.gone().empty());
}

constexpr std::uint64_t places = 32;

/// First on one disk, then on the other: the second may be behind by one, never ahead.
void write_pairs(JournalLab& lab, std::uint64_t seed, std::atomic<bool>& stop) {
    SeededRandom random(seed);
    std::array<std::uint8_t, places> numbers{};
    while (!stop) {
        const std::uint64_t place = random.below(places);
        const std::uint8_t number = ++numbers[place];
        lab.source_disks[0]->write_block(place * 7, number);
        lab.source_disks[1]->write_block(place * 5, number);
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(1000)));
    }
}

std::uint64_t wrong_pairs(JournalLab& lab) {
    std::uint64_t wrong = 0;
    for (std::uint64_t place = 0; place < places; ++place) {
        const std::uint8_t first = lab.target_disks[0]->contents()[place * 7 * block_bytes];
        const std::uint8_t second = lab.target_disks[1]->contents()[place * 5 * block_bytes];
        if (static_cast<std::uint8_t>(first - second) > 1) ++wrong;
    }
    return wrong;
}

/// A source that writes in pairs, a target that is killed, started and released.
std::uint64_t wrong_after_kill(std::uint64_t seed, bool with_journal) {
    JournalLab lab({mib, mib});
    if (!with_journal) lab.journal.reset();
    lab.start_target();
    lab.start_source();
    for (std::uint64_t place = 0; place < places; ++place) {
        lab.source_disks[0]->write_block(place * 7, 0);
        lab.source_disks[1]->write_block(place * 5, 0);
    }
    REQUIRE(eventually([&] { return !lab.recorder.mirrors().empty(); }));
    lab.drain_and_compare();
    if (with_journal) REQUIRE(eventually([&] { return !lab.points().empty(); }));
    std::atomic<bool> stop = false;
    std::thread writer([&] { write_pairs(lab, seed, stop); });
    const std::uint64_t last = lab.target->progress().batch;
    const bool moved = eventually([&] { return lab.target->progress().batch > last + 3 + seed; });
    lab.kill_target();
    stop = true;
    writer.join();
    REQUIRE(moved);
    lab.kill_source();
    if (seed % 2 == 0)
        for (auto& disk : lab.target_disks) disk->lose_power();
    lab.start_target();
    REQUIRE(ok(lab.target->promote()));
    CHECK(std::filesystem::is_empty(lab.journals.path()));
    CHECK(lab.stored().mode == JournalMode::direct);
    return wrong_pairs(lab);
}

TEST_CASE("target journal: a killed target's disks are given away at a point, never between two") {
    std::uint64_t wrong_in_direct_mode = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        CHECK(wrong_after_kill(seed, true) == 0);
        wrong_in_direct_mode += wrong_after_kill(seed, false);
    }
    // The negative control, which depends on chance: it is only shown.
    WARN("pairs in the wrong order without a journal: " << wrong_in_direct_mode);
}

TEST_CASE("target journal: without its journal nobody knows the disks, and all is compared") {
    JournalLab lab({2 * mib, 2 * mib});
    lab.begin();
    lab.write_some(1);
    lab.drain_and_compare();
    lab.kill_target();
    SECTION("deleted") {
        std::filesystem::remove(lab.file());
    }
    SECTION("damaged") {
        const auto file = open_journal_file(lab.file());
        REQUIRE(ok(file));
        REQUIRE(ok((*file)->write(0, Bytes(8192))));
    }
    SECTION("no longer configured") {
        lab.journal.reset();
    }
    lab.write_some(2);
    lab.start_target();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    lab.drain_and_compare();
    CHECK(lab.recorder.gone().size() == 1);
    if (lab.journal) REQUIRE(eventually([&] { return !lab.points().empty(); }));
}

TEST_CASE("target journal: a batch larger than the ring is copied all the same") {
    JournalLab lab({16 * mib});
    lab.begin();
    Bytes data(12 * mib);
    SeededRandom random(3);
    for (auto& byte : data) byte = static_cast<std::uint8_t>(random.below(256));
    lab.source_disks[0]->write(mib, data);
    lab.drain_and_compare();
    REQUIRE(eventually([&] { return !lab.points().empty(); }));
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("target journal: failing disks end the session, not the copy") {
    JournalLab lab({2 * mib});
    lab.begin();
    for (std::uint32_t round = 1; round < 9; ++round) {
        lab.write_some(round);
        if (round % 2 == 0) lab.target_disks[0]->fail_write_in(1 + round / 2);
        if (round % 2 == 1) lab.target_disks[0]->fail_flush_in(1 + round / 4);
        lab.drain_and_compare();
    }
    CHECK(lab.recorder.gone().empty());
}

TEST_CASE("target journal: what was acknowledged is on the disks before they are given away") {
    JournalLab lab({mib});
    lab.begin();
    lab.drain_and_compare();
    lab.target_disks[0]->fail_write_in(1);
    const std::uint64_t last = lab.target->progress().batch;
    lab.source_disks[0]->write_block(9, 0x99);
    // Acknowledged and not applied, unless the source is back already.
    REQUIRE(eventually([&] {
        const TargetProgress progress = lab.target->progress();
        return progress.journal_lag_bytes > 0 || progress.batch > last;
    }));
    lab.kill_source();
    REQUIRE(ok(lab.target->promote()));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("target journal: disks that were written in place need none to be given away") {
    JournalLab lab({mib});
    lab.journal.reset();
    lab.mirror();
    lab.drain_and_compare();
    lab.kill_source();
    lab.kill_target();
    lab.journal = JournalPlace{lab.journals.path() / "missing", 8 * mib, 8 * mib, 4};
    lab.start_target();
    CHECK(ok(lab.target->promote()));
    CHECK(lab.differing_bytes() == 0);
}

std::vector<Bytes> contents(std::vector<std::unique_ptr<MemoryDevice>>& disks) {
    std::vector<Bytes> out;
    for (const auto& disk : disks) {
        Bytes bytes(disk->facts().size_bytes);
        REQUIRE(ok(disk->read(0, bytes)));
        out.push_back(std::move(bytes));
    }
    return out;
}

TEST_CASE(
    "target journal: disks go back to a point, older points stay, and a source compares all") {
    JournalLab lab({4 * mib, 2 * mib});
    lab.begin();
    std::vector<std::uint64_t> batches;
    std::vector<std::vector<Bytes>> images;
    for (std::uint64_t seed = 1; seed < 4; ++seed) {
        lab.write_some(seed);
        lab.drain_and_compare();
        batches.push_back(lab.points().back().batch);
        images.push_back(contents(lab.target_disks));
    }
    lab.kill_source();
    REQUIRE(ok(lab.target->restore_point(batches[1])));
    CHECK(contents(lab.target_disks) == images[1]);
    CHECK(lab.points().back().batch == batches[1]);
    CHECK(lab.stored().state == CheckpointState::invalid);
    REQUIRE(ok(lab.target->restore_point(batches[0])));
    CHECK(contents(lab.target_disks) == images[0]);

    const auto later = lab.target->restore_point(batches[2]);
    REQUIRE_FALSE(later);
    CHECK(later.error().id() == "no_such_point");
    CHECK(contents(lab.target_disks) == images[0]);

    lab.start_source();
    lab.drain_and_compare();
}

TEST_CASE("target journal: of many points a few stay, old ones too, and each is what it was") {
    JournalLab lab({mib});
    lab.begin();
    std::map<std::uint64_t, std::vector<Bytes>> images;
    for (std::uint64_t seed = 1; seed < 40; ++seed) {
        lab.write_some(seed);
        lab.drain_and_compare();
        images[lab.points().back().batch] = contents(lab.target_disks);
    }
    lab.kill_source();
    lab.kill_target();
    lab.start_target();
    // Opens the journal of the process before.
    REQUIRE_FALSE(lab.target->restore_point(1'000'000));
    const auto points = lab.points();
    REQUIRE(points.size() == 5);
    CHECK(points.front().batch + 10 < points.back().batch);
    std::size_t compared = 0;
    for (std::size_t i = points.size() - 1; i-- > 0;) {
        REQUIRE(ok(lab.target->restore_point(points[i].batch)));
        // Others were found while a round of writes was under way.
        if (!images.contains(points[i].batch)) continue;
        CHECK(contents(lab.target_disks) == images[points[i].batch]);
        ++compared;
    }
    CHECK(compared > 0);
}

TEST_CASE("target journal: a crash after the disks went back leaves a target that is compared") {
    JournalLab lab({2 * mib});
    lab.begin();
    lab.write_some(1);
    lab.drain_and_compare();
    const std::uint64_t first = lab.points().back().batch;
    const auto image = contents(lab.target_disks);
    lab.write_some(2);
    lab.drain_and_compare();
    lab.kill_source();
    const Checkpoint before = lab.stored();
    REQUIRE(ok(lab.target->restore_point(first)));
    lab.kill_target();
    REQUIRE(ok(write_checkpoint(lab.directory.path() / "target", before)));
    lab.start_target();
    CHECK(contents(lab.target_disks) == image);
    lab.start_source();
    lab.drain_and_compare();
}

TEST_CASE("target journal: a target without a journal has no point to go back to") {
    Lab lab({mib});
    lab.mirror();
    const auto restored = lab.target->restore_point(1);
    REQUIRE_FALSE(restored);
    CHECK(restored.error().id() == "no_such_point");
    REQUIRE(ok(lab.source->drain({})));
}

TEST_CASE("target journal: a job that is over leaves no journal behind") {
    JournalLab lab({mib});
    lab.begin();
    CHECK(std::filesystem::exists(lab.file()));
    lab.target->forget();
    CHECK(std::filesystem::is_empty(lab.journals.path()));
}

}  // namespace
}  // namespace drover::replicator::testing
