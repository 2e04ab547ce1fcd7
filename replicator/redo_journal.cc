#include "replicator/redo_journal.h"

#include "base/assert.h"
#include "base/mutation.h"
#include "replicator/device_range.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// Two batches are open at most, and each must find room for its COMMIT.
constexpr std::uint64_t commit_reserve_bytes = 2 * journal_block_bytes;
constexpr std::uint64_t ring_bytes_min = 16 * journal_block_bytes;
/// Of the redo ring: what a test may fill.
constexpr std::uint64_t test_budget_percent = 80;

}  // namespace

Digest journal_key(const JobId& job, std::span<BlockDevice* const> disks) {
    DigestStream out;
    out.update(job.view());
    for (const BlockDevice* disk : disks) {
        Bytes text;
        put_u64(text, disk->facts().size_bytes);
        put_u64(text, disk->facts().identity.size());
        put_bytes(text, as_bytes(disk->facts().identity));
        out.update(text);
    }
    return out.digest();
}

Result<> RedoJournal::format(BlockDevice& file, const JournalShape& shape,
                             const BatchMark& applied) {
    const std::uint64_t size = file.facts().size_bytes;
    const bool is_valid = shape.redo_bytes >= ring_bytes_min &&
                          shape.redo_bytes % journal_block_bytes == 0 &&
                          shape.undo_bytes % journal_block_bytes == 0 &&
                          size >= journal_rings_at + shape.redo_bytes &&
                          size - journal_rings_at - shape.redo_bytes >= shape.undo_bytes &&
                          shape.points_max <= journal_undos_max;
    if (!is_valid)
        return Error(Errc::invalid, "journal_too_small",
                     file.facts().path + " of " + std::to_string(size) +
                         " bytes cannot hold a journal of this shape",
                     "everything", "give the journal more room");
    JournalHeader header;
    header.journal = shape.journal;
    header.key = shape.key;
    header.redo_bytes = shape.redo_bytes;
    header.undo_bytes = shape.undo_bytes;
    header.points_max = shape.points_max;
    header.applied = applied;
    const bool keeps_first = shape.duty == JournalDuty::first_point;
    header.applied.is_point = keeps_first;
    header.mode = keeps_first ? JournalMode::journal : JournalMode::direct;
    JournalStore store(file);
    return store.format(header);
}

// ---- failures ----

Error test_journal_full(std::uint64_t used_bytes, std::uint64_t redo_bytes) {
    return Error(Errc::conflict, "test_journal_full",
                 "the target runs a test, and its journal is at 80 % of its budget: " +
                     std::to_string(used_bytes) + " of " + std::to_string(redo_bytes) +
                     " bytes are taken; replication pauses",
                 "everything that was acknowledged; the source remembers what changes",
                 "revert the test: replication then goes on by itself");
}

Error target_in_test() {
    return Error(Errc::conflict, "target_in_test",
                 "the target's workload runs on a test's overlay: its disks must not change",
                 "the disks, the journal and the test", "revert the test, then try again");
}

Result<> RedoJournal::usable() const {
    if (!failed_) return {};
    return Error(Errc::io, "redo_journal_stopped",
                 "an earlier failure leaves open what is durable: " + failed_->text(),
                 "every batch that was acknowledged", "the journal is opened anew by itself");
}

Result<> RedoJournal::add(const JournalFrame& frame) {
    TRY_VOID(usable());
    if (frame.batch <= committed())
        return Error(Errc::invalid, "bad_frame",
                     "a frame of batch " + std::to_string(frame.batch) + " after its COMMIT",
                     "nothing of it was written", "check that both agents run matching versions");
    if (is_frozen() && !has_test_room(frame.data.size()))
        return test_journal_full(used_bytes(), header_.redo_bytes);
    return guarded(add_now(frame));
}

Result<> RedoJournal::commit(const BatchMark& mark) {
    TRY_VOID(usable());
    const std::uint64_t needed = used_bytes() + group_.bytes() + commit_reserve_bytes;
    if (is_frozen() && needed > header_.redo_bytes)
        return test_journal_full(used_bytes(), header_.redo_bytes);
    return guarded(commit_now(mark));
}

Result<bool> RedoJournal::apply_next(const StillBusy& busy) {
    TRY_VOID(usable());
    return guarded(apply_oldest(busy));
}

Result<> RedoJournal::apply_all() {
    for (;;) {
        TRY(const bool applied, apply_next());
        if (!applied) return {};
    }
}

Result<> RedoJournal::drop_open() {
    TRY_VOID(usable());
    return guarded(drop_now());
}

// ---- what is there ----

bool RedoJournal::has_committed() const {
    return !batches_.empty() && batches_.front().mark.has_value();
}

std::uint64_t RedoJournal::committed() const {
    std::uint64_t last = header_.applied.batch;
    for (const Batch& batch : batches_)
        if (batch.mark) last = batch.number;
    return last;
}

std::uint64_t RedoJournal::lag_bytes() const {
    std::uint64_t bytes = 0;
    for (const Batch& batch : batches_) {
        if (!batch.mark) break;
        for (const RecordPlace& place : batch.records) bytes += place.bytes;
    }
    return bytes;
}

const BatchMark& RedoJournal::last() const {
    const BatchMark* last = &header_.applied;
    for (const Batch& batch : batches_)
        if (batch.mark) last = &*batch.mark;
    return *last;
}

// ---- a test ----

bool RedoJournal::has_test_room(std::uint64_t bytes) const {
    const std::uint64_t blocks = (bytes + journal_block_bytes - 1) / journal_block_bytes;
    // At worst the frame begins a record of its own, and a COMMIT follows.
    const std::uint64_t needed = group_.bytes() + (blocks + 2) * journal_block_bytes;
    return used_bytes() + needed <= header_.redo_bytes / 100 * test_budget_percent;
}

Result<> RedoJournal::freeze() {
    TRY_VOID(usable());
    DROVER_ASSERT(header_.applied.is_point && mode() == JournalMode::journal);
    if (is_frozen()) return {};
    header_.is_frozen = true;
    return guarded(store_.store(header_));
}

Result<> RedoJournal::thaw() {
    TRY_VOID(usable());
    if (!is_frozen()) return {};
    header_.is_frozen = false;
    return guarded(store_.store(header_));
}

bool RedoJournal::is_waiting(std::uint16_t disk, std::uint64_t offset, std::uint64_t length) const {
    const auto overlaps = [&](const auto& range) {
        return range.disk == disk && range.offset < offset + length &&
               offset < range.offset + range.length;
    };
    return std::ranges::any_of(group_.entries(), overlaps) ||
           std::ranges::any_of(batches_, [&](const Batch& batch) {
               return std::ranges::any_of(batch.touched, overlaps);
           });
}

// ---- writing ----

RecordHead RedoJournal::head_for(RecordKind kind, std::uint64_t batch,
                                 std::uint64_t position) const {
    RecordHead head;
    head.kind = kind;
    head.journal = header_.journal;
    head.life = header_.life;
    head.position = position;
    head.batch = batch;
    return head;
}

RedoJournal::Batch& RedoJournal::batch_for(std::uint64_t number) {
    if (batches_.empty() || batches_.back().number < number) {
        Batch& batch = batches_.emplace_back();
        batch.number = number;
        batch.first_position = redo_head_;
    }
    const auto found = std::ranges::find(batches_, number, &Batch::number);
    DROVER_ASSERT(found != batches_.end() && !found->mark);
    return *found;
}

Result<> RedoJournal::add_now(const JournalFrame& frame) {
    DROVER_ASSERT(frame.range.disk < disks_.size());
    assert_range(disks_[frame.range.disk]->facts(), frame.range.offset, frame.range.length);
    const bool fits = group_batch_ == frame.batch && group_.has_room_for(frame.range);
    if (!group_.is_empty() && !fits) TRY_VOID(write_group());
    if (mode() == JournalMode::direct) {
        last_in_place_ = std::max(last_in_place_, frame.batch);
        return write_in_place(std::span(&frame.range, 1), frame.data);
    }
    group_batch_ = frame.batch;
    group_.add(frame.range, frame.data);
    return {};
}

/// Takes effect in the ring or, if that cannot hold it, on the disks.
Result<> RedoJournal::write_group() {
    TRY_VOID(make_room(group_.bytes()));
    if (mode() == JournalMode::direct) return {};
    Batch& batch = batch_for(group_batch_);
    RecordHead head = head_for(RecordKind::frames, group_batch_, redo_head_);
    head.durable = durable_;
    const ByteView bytes = group_.finish(head);
    TRY_VOID(store_.write(header_, JournalRing::redo, redo_head_, bytes));
    batch.records.push_back({redo_head_, bytes.size()});
    batch.content.update(record_digest(bytes.first(journal_block_bytes)).view());
    for (const RecordEntry& entry : head.entries)
        batch.touched.push_back({entry.disk, entry.offset, entry.length});
    redo_head_ += bytes.size();
    group_.clear();
    return {};
}

Result<> RedoJournal::make_room(std::uint64_t bytes) {
    while (used_bytes() + bytes + commit_reserve_bytes > header_.redo_bytes) {
        // What is added is counted first, so that this does not come.
        if (is_frozen()) return test_journal_full(used_bytes(), header_.redo_bytes);
        const bool keeps = keeps_first_ && !DROVER_MUTANT("first_point_given_up");
        if (!has_committed()) return keeps ? first_point_over_budget() : go_direct();
        TRY_VOID(apply_oldest());
    }
    return {};
}

/// Without records of its own, behind some of a later one: no source commits so.
bool RedoJournal::is_overtaken(std::uint64_t batch) const {
    return !batches_.empty() && batches_.back().number > batch &&
           std::ranges::find(batches_, batch, &Batch::number) == batches_.end() &&
           (group_.is_empty() || group_batch_ != batch);
}

Result<> RedoJournal::commit_now(const BatchMark& mark) {
    DROVER_ASSERT(mark.batch > committed());
    if (is_overtaken(mark.batch))
        return Error(Errc::invalid, "bad_message",
                     "batch " + std::to_string(mark.batch) + " ends behind frames of a later one",
                     "everything that was acknowledged",
                     "check that both agents run matching versions");
    DROVER_ASSERT(mark.note.size() <= journal_note_bytes_max);
    if (!group_.is_empty() && group_batch_ == mark.batch) TRY_VOID(write_group());
    if (mode() == JournalMode::journal) TRY_VOID(make_room(journal_block_bytes));
    if (mode() == JournalMode::direct) return commit_direct(mark);
    Batch& batch = batch_for(mark.batch);
    if (keeps_first_) TRY_VOID(check_undo_room());
    RecordHead head = head_for(RecordKind::commit, mark.batch, redo_head_);
    head.durable = durable_;
    head.content = batch.content.digest();
    head.records = batch.records.size();
    head.mark = mark;
    TRY_VOID(store_.write(header_, JournalRing::redo, redo_head_, encode_record_head(head)));
    if (!DROVER_MUTANT("journal_not_flushed")) TRY_VOID(store_.flush());
    batch.records.push_back({redo_head_, journal_block_bytes});
    redo_head_ += journal_block_bytes;
    durable_ = redo_head_;
    batch.mark = mark;
    return {};
}

/// The slot says that the disks are being written in place before they are.
Result<> RedoJournal::go_direct() {
    header_.mode = JournalMode::direct;
    header_.applied.is_point = false;
    header_.undos.clear();
    if (!DROVER_MUTANT("direct_mode_unsaid")) TRY_VOID(store_.store(header_));
    for (const Batch& batch : batches_) {
        for (const RecordPlace& place : batch.records) TRY_VOID(write_record_in_place(place));
        last_in_place_ = batch.number;
    }
    if (!group_.is_empty()) {
        TRY_VOID(write_in_place(group_.entries(), group_.payload()));
        last_in_place_ = group_batch_;
    }
    batches_.clear();
    group_.clear();
    header_.redo_tail = redo_head_;
    return {};
}

/// Frames of a later batch that are on the disks already make them no point.
Result<> RedoJournal::commit_direct(const BatchMark& mark) {
    TRY_VOID(flush_disks());
    header_.applied = mark;
    header_.applied.is_point = mark.is_point && last_in_place_ <= mark.batch;
    if (header_.applied.is_point) header_.mode = JournalMode::journal;
    header_.redo_tail = redo_head_;
    return store_.store(header_);
}

Result<> RedoJournal::begin_life() {
    header_.first_life = ++header_.life;
    header_.redo_tail = 0;
    redo_head_ = 0;
    durable_ = 0;
    last_in_place_ = 0;
    pending_undo_.reset();
    return store_.store(header_);
}

/// Behind the last COMMIT, which stays where it is.
Result<> RedoJournal::begin_frozen_life() {
    drop_uncommitted();
    group_.clear();
    ++header_.life;
    redo_head_ = committed_end();
    durable_ = redo_head_;
    return store_.store(header_);
}

Result<> RedoJournal::drop_now() {
    if (is_frozen()) return begin_frozen_life();
    while (has_committed()) TRY_VOID(apply_oldest());
    batches_.clear();
    group_.clear();
    return begin_life();
}

// ---- applying ----

Result<bool> RedoJournal::apply_oldest(const StillBusy& busy) {
    const bool stands_still = is_frozen() && !DROVER_MUTANT("frozen_applies");
    if (stands_still || !has_committed()) return false;
    const Batch& batch = batches_.front();
    TRY(auto undo, make_undo(batch, busy));
    for (const RecordPlace& place : batch.records) {
        if (busy) busy();
        TRY_VOID(write_record_in_place(place));
    }
    if (!DROVER_MUTANT("applied_not_flushed")) TRY_VOID(flush_disks());
    note_undo(std::move(undo));
    if (keeps_first_) {
        undone_.insert(undone_.end(), batch.touched.begin(), batch.touched.end());
        undone_ = merged(std::move(undone_));
    }
    header_.applied = *batch.mark;
    header_.redo_tail = batches_.size() > 1 ? batches_[1].first_position : redo_head_;
    TRY_VOID(store_.store(header_));
    pending_undo_.reset();
    batches_.pop_front();
    return true;
}

Result<> RedoJournal::write_record_in_place(const RecordPlace& place) {
    TRY(const auto record, store_.read(header_, JournalRing::redo, place.position));
    if (!record || record->head.bytes() != place.bytes)
        return journal_corrupt("what was written at position " + std::to_string(place.position) +
                               " of the redo ring cannot be read back");
    return write_in_place(record->head.entries, record->payload);
}

/// What ascends without overlapping goes to its disk at depth. A record may hold the same bytes
/// twice: the later ones are written later.
Result<> RedoJournal::write_in_place(std::span<const RecordEntry> entries, ByteView payload) {
    std::vector<WritePart> parts;
    std::size_t disk = 0;  // of the parts
    const auto write_parts = [&] {
        Result<> written = disks_[disk]->write_many(parts);
        parts.clear();
        return written;
    };
    for (const RecordEntry& entry : entries) {
        const bool follows =
            !entry.zero && entry.disk == disk &&
            (parts.empty() || entry.offset >= parts.back().offset + parts.back().data.size());
        if (!follows) TRY_VOID(write_parts());
        disk = entry.disk;
        if (entry.zero) {
            TRY_VOID(disks_[disk]->write_zeroes(entry.offset, entry.length));
            continue;
        }
        parts.push_back({entry.offset, payload.first(entry.length)});
        payload = payload.subspan(entry.length);
    }
    return write_parts();
}

Result<> RedoJournal::flush_disks() {
    for (BlockDevice* disk : disks_) TRY_VOID(disk->flush());
    return {};
}

}  // namespace drover::replicator
