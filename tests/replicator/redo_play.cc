#include "tests/replicator/redo_play.h"

#include "tests/replicator/result_checks.h"

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t first_bytes = 16 * journal_block_bytes;
constexpr std::uint64_t second_bytes = 9 * journal_block_bytes + 3 * 512;  // ends inside a block

}  // namespace

RedoPlay::RedoPlay(std::uint64_t seed)
    : machine(seed),
      file(machine, journal_rings_at + redo_ring_bytes + undo_ring_bytes, "journal"),
      first(machine, first_bytes, "first"),
      second(machine, second_bytes, "second"),
      random_(seed) {
    JournalShape shape;
    shape.journal = random_.uuid();
    const RedoJournal::Disks disks{&first, &second};
    shape.key = journal_key(JobId(), disks);
    shape.redo_bytes = redo_ring_bytes;
    shape.undo_bytes = undo_ring_bytes;
    shape.points_max = points_kept;
    for (CrashDisk* disk : {&first, &second}) {
        Bytes content(disk->contents().size());
        for (auto& byte : content) byte = static_cast<std::uint8_t>(random_.below(256));
        disk->set_contents(content);
        committed_.push_back(std::move(content));
    }
    images[0] = committed_;
    allowed = {0};
    REQUIRE(ok(RedoJournal::format(file, shape, BatchMark())));
    REQUIRE(reopen());
    REQUIRE(ok(commit(true)));
    machine.steps = 0;
}

bool RedoPlay::reopen() {
    journal.reset();
    const RedoJournal::Disks disks{&first, &second};
    auto opened = RedoJournal::open(file, disks, journal_key(JobId(), disks));
    if (!opened) {
        UNSCOPED_INFO(opened.error().text());
        return false;
    }
    journal = std::move(*opened);
    open_.clear();
    owes_all_ = journal->mode() == JournalMode::direct;
    next_ = std::max(next_, journal->committed() + 1);
    committed_ = images.at(journal->committed());
    return true;
}

RedoPlay::Images RedoPlay::disks() const {
    return {first.contents(), second.contents()};
}

void RedoPlay::put(Images& out, const Sent& frame) const {
    const auto at = out[frame.range.disk].begin() + static_cast<std::ptrdiff_t>(frame.range.offset);
    if (frame.range.zero) {
        std::fill_n(at, frame.range.length, std::uint8_t{0});
    } else {
        std::copy(frame.data.begin(), frame.data.end(), at);
    }
}

// ---- what a target does ----

Result<> RedoPlay::send(Sent frame) {
    open_.push_back(std::move(frame));
    const Sent& sent = open_.back();
    std::uint64_t bytes = 0;
    for (const Sent& each : open_) bytes += journal_block_bytes + each.range.length;
    const bool was_direct = journal->mode() == JournalMode::direct;
    may_be_direct = was_direct || bytes > redo_ring_bytes / 2;
    const Result<> added = journal->add({sent.batch, sent.range, sent.data});
    if (!was_direct && journal->mode() == JournalMode::direct) ++crossings;
    return added;
}

Result<> RedoPlay::write(std::uint16_t disk, std::uint64_t block, std::uint64_t blocks, bool zero,
                         std::uint64_t ahead) {
    const std::uint64_t size = disk == 0 ? first_bytes : second_bytes;
    Sent frame;
    frame.batch = next_ + ahead;
    frame.range.disk = disk;
    frame.range.zero = zero;
    frame.range.offset = block * journal_block_bytes;
    frame.range.length = static_cast<std::uint32_t>(
        std::min(blocks * journal_block_bytes, size - frame.range.offset));
    if (!zero) frame.data.resize(frame.range.length);
    for (std::size_t i = 0; i < frame.data.size(); ++i)
        frame.data[i] = static_cast<std::uint8_t>(random_.below(256));
    return send(std::move(frame));
}

Result<> RedoPlay::write_all() {
    Images now = committed_;
    for (const Sent& frame : open_) put(now, frame);
    for (std::uint16_t disk = 0; disk < 2; ++disk) {
        Sent frame{
            next_, {0, static_cast<std::uint32_t>(now[disk].size()), disk, false}, now[disk]};
        TRY_VOID(send(std::move(frame)));
    }
    owes_all_ = false;
    return {};
}

Result<> RedoPlay::write_too_much() {
    for (int i = 0; i < 8; ++i)
        TRY_VOID(write(0, random_.below(8), 4 + random_.below(5), random_.below(6) == 0));
    return {};
}

BatchMark RedoPlay::mark(bool is_point) {
    return {next_, is_point, static_cast<WallMicros>(1000 + next_),
            Bytes(random_.below(journal_note_bytes_max), 0x5e)};
}

Result<> RedoPlay::commit(bool is_point) {
    if (owes_all_) TRY_VOID(write_all());
    const BatchMark now = mark(is_point);
    for (const Sent& frame : open_)
        if (frame.batch == next_) put(committed_, frame);
    images[next_] = committed_;
    marks[next_] = now;
    allowed.insert(next_);
    may_be_direct = may_be_direct || journal->mode() == JournalMode::direct;
    const Result<> done = journal->commit(now);
    if (!done) return done;
    allowed = {next_};
    std::erase_if(open_, [this](const Sent& frame) { return frame.batch == next_; });
    ++next_;
    if (journal->mode() == JournalMode::journal && open_.empty()) may_be_direct = false;
    return done;
}

Result<> RedoPlay::drop() {
    open_.clear();
    owes_all_ = journal->mode() == JournalMode::direct;
    const Result<> done = journal->drop_open();
    if (done) may_be_direct = journal->mode() == JournalMode::direct;
    return done;
}

Result<> RedoPlay::restore(std::uint64_t batch) {
    open_.clear();
    const std::set<std::uint64_t> before = allowed;
    allowed.insert(batch);
    const Result<> done = journal->restore(batch);
    if (!done && done.error().id() == "no_such_point") {
        // What was still to be applied took its place.
        allowed = before;
        return {};
    }
    if (!done) return done;
    allowed = {batch};
    committed_ = images[batch];
    // The source may give the numbers of what is gone to something else.
    next_ = batch + 1;
    may_be_direct = false;
    return {};
}

// ---- a random day ----

Result<> RedoPlay::act(std::uint64_t choice) {
    if (choice < 50) {
        const bool ahead = journal->mode() == JournalMode::journal && random_.below(8) == 0;
        // Frames of a later batch come after all of their predecessor's.
        const bool is_behind = !open_.empty() && open_.back().batch > next_;
        const std::uint16_t disk = random_.below(3) == 0 ? 1 : 0;
        return write(disk, random_.below(disk == 0 ? 15 : 9), 1 + random_.below(3),
                     random_.below(4) == 0, ahead || is_behind ? 1 : 0);
    }
    if (choice < 70) return commit(random_.below(4) != 0);
    if (choice < 84) {
        const auto applied = journal->apply_next();
        return applied ? Result<>() : Result<>(applied.error());
    }
    if (choice < 89) return drop();
    if (choice < 94) {
        const auto points = journal->points();
        return points.empty() ? Result<>() : restore(points[random_.below(points.size())].batch);
    }
    const bool is_behind = !open_.empty() && open_.back().batch > next_;
    return is_behind ? commit(true) : write_too_much();
}

void RedoPlay::run(std::uint64_t seed, int actions) {
    random_ = SeededRandom(seed);
    for (int i = 0; i < actions; ++i)
        if (!act(random_.below(100))) return;
}

std::string RedoPlay::verdict() const {
    const std::uint64_t batch = journal->applied().batch;
    const std::string name = "batch " + std::to_string(batch);
    if (allowed.count(batch) == 0) return name + " is not the last that was acknowledged";
    if (journal->mode() == JournalMode::direct) return may_be_direct ? "" : name + ": direct mode";
    if (disks() != images.at(batch)) return name + ": other bytes";
    for (const BatchMark& point : journal->points())
        if (!marks.at(point.batch).is_point) return name + ": a false point";
    return journal->applied().is_point == marks.at(batch).is_point ? "" : name + ": another label";
}

std::string RedoPlay::go_on() {
    const std::uint64_t batch = journal->applied().batch;
    committed_ = images.at(batch);
    if (!owes_all_ && !write(0, 3, 2)) return "no frame can be added";
    if (!commit(true) || !journal->apply_all()) return "no batch can be committed";
    if (disks() != committed_) return "the next batch is not what it should be";
    std::vector<BatchMark> points = journal->points();
    if (points.empty() || points.back().batch != next_ - 1) return "the next batch is no point";
    for (auto point = points.rbegin(); point != points.rend(); ++point) {
        if (!restore(point->batch)) return "a point cannot be restored";
        if (disks() != images.at(point->batch))
            return "point " + std::to_string(point->batch) + " is not what it was";
    }
    return {};
}

}  // namespace drover::replicator::testing
