/// What a crash leaves, read and brought to an end.
#include "replicator/device_range.h"
#include "replicator/redo_journal.h"

#include <algorithm>

namespace drover::replicator {

Result<std::unique_ptr<RedoJournal>> RedoJournal::open(BlockDevice& file, Disks disks,
                                                       const Digest& key, JournalDuty duty,
                                                       JournalUse use) {
    std::unique_ptr<RedoJournal> journal(new RedoJournal(file, std::move(disks), duty));
    TRY(journal->header_, journal->store_.open());
    if (journal->header_.key != key)
        return Error(
            Errc::conflict, "journal_of_another_job",
            "the journal " + file.facts().path + " was made for another job or other disks",
            "the target's disks as they are; nothing is written to them",
            "the disks are compared as a whole, with a new journal");
    // An older slot may be all that is left. To recover by it would change the disks.
    if (use == JournalUse::frozen_only && !journal->header_.is_frozen)
        return journal_corrupt("it does not say that the disks stand still");
    TRY_VOID(journal->recover());
    return journal;
}

Result<> RedoJournal::recover() {
    if (keeps_first_) TRY_VOID(find_undone());
    if (header_.restoring) return run_restore();
    if (mode() == JournalMode::direct) return begin_life();
    TRY_VOID(scan_redo());
    TRY_VOID(rewrite_span());
    if (header_.is_frozen) return begin_frozen_life();
    TRY_VOID(find_pending_undo());
    while (has_committed()) TRY_VOID(apply_oldest());
    return begin_life();
}

bool RedoJournal::entries_fit(std::span<const RecordEntry> entries) const {
    return std::ranges::all_of(entries, [&](const RecordEntry& entry) {
        return entry.disk < disks_.size() &&
               range_is_valid(disks_[entry.disk]->facts(), entry.offset, entry.length);
    });
}

/// Reads until something was not written in this life, and keeps what is committed.
Result<> RedoJournal::scan_redo() {
    std::uint64_t position = header_.redo_tail;
    std::uint64_t life = header_.first_life;
    redo_head_ = position;
    for (;;) {
        TRY(const auto record, store_.read(header_, JournalRing::redo, position));
        // An earlier life behind a later one: left over from batches that were dropped.
        if (!record || record->head.life < life) break;
        if (record->head.life > life) drop_uncommitted();
        life = record->head.life;
        redo_head_ = position;
        TRY(const bool is_good, take_record(*record));
        if (!is_good) break;
        position += record->head.bytes();
    }
    TRY_VOID(refuse_if_lost(position));
    redo_head_ = position;
    drop_uncommitted();
    return {};
}

void RedoJournal::drop_uncommitted() {
    std::erase_if(batches_, [](const Batch& batch) { return !batch.mark; });
}

/// False for a COMMIT that does not fit what came before it: something in between was lost.
Result<bool> RedoJournal::take_record(const StoredRecord& record) {
    const RecordHead& head = record.head;
    if (head.batch <= header_.applied.batch) return true;
    if (!entries_fit(head.entries)) return journal_corrupt("a record for other disks");
    const bool is_known = std::ranges::find(batches_, head.batch, &Batch::number) != batches_.end();
    if (!is_known && head.batch <= committed()) return journal_corrupt("batches out of order");
    if (!is_known && !batches_.empty() && batches_.back().number > head.batch)
        return journal_corrupt("batches out of order");
    const auto place = std::ranges::find(batches_, head.batch, &Batch::number);
    if (is_known && place->mark) return journal_corrupt("a batch was committed twice");
    Batch& batch = batch_for(head.batch);
    if (head.kind == RecordKind::frames) {
        batch.records.push_back({head.position, head.bytes()});
        batch.content.update(record.digest.view());
        for (const RecordEntry& entry : head.entries)
            batch.touched.push_back({entry.disk, entry.offset, entry.length});
        return true;
    }
    if (head.records != batch.records.size() || head.content != batch.content.digest())
        return false;
    batch.records.push_back({head.position, head.bytes()});
    batch.mark = head.mark;
    return true;
}

/// The scan ended at `position`, where a crash may have torn what was never acknowledged. If a
/// later record says that this place was durable when it was written, then a committed batch is
/// gone, and that must not look like a batch that was never there.
Result<> RedoJournal::refuse_if_lost(std::uint64_t position) {
    const std::uint64_t end = header_.redo_tail + header_.redo_bytes;
    TRY(const bool is_lost, store_.was_durable(header_, position, end));
    if (!is_lost) return {};
    return journal_corrupt("a batch that was durable ends at position " + std::to_string(position) +
                           " of the redo ring");
}

/// Where the last COMMIT ends; the tail if nothing is committed.
std::uint64_t RedoJournal::committed_end() const {
    std::uint64_t end = header_.redo_tail;
    for (const Batch& batch : batches_)
        if (batch.mark) end = batch.records.back().position + batch.records.back().bytes;
    return end;
}

/// The flush of what is committed may have failed before the crash, and one that succeeds now
/// proves nothing about it: it is written once more, with the frames of dropped batches in between,
/// in whose place a gap would end the next scan. Only then may the disks be touched.
Result<> RedoJournal::rewrite_span() {
    const std::uint64_t end = committed_end();
    for (std::uint64_t at = header_.redo_tail; at < end; at += record_payload_bytes_max) {
        const std::uint64_t bytes = std::min<std::uint64_t>(record_payload_bytes_max, end - at);
        TRY_VOID(store_.rewrite(header_, JournalRing::redo, {at, bytes}));
    }
    return end == header_.redo_tail ? Result<>() : store_.flush();
}

/// The crash may have come while the oldest batch was being applied. Then its undo records are
/// complete, and the disks no longer hold what would have to be recorded.
Result<> RedoJournal::find_pending_undo() {
    if (batches_.empty()) return {};
    UndoExtent undo;
    undo.before = header_.applied;
    undo.before.note.clear();
    undo.position = undo_head();
    DigestStream content;
    std::vector<RecordPlace> places;
    for (;;) {
        const std::uint64_t position = undo.position + undo.bytes;
        if (undo_used() + undo.bytes >= header_.undo_bytes) return {};
        TRY(const auto record, store_.read(header_, JournalRing::undo, position));
        const bool is_of_batch = record && record->head.life == header_.life &&
                                 record->head.batch == batches_.front().number &&
                                 entries_fit(record->head.entries);
        if (!is_of_batch) return {};
        places.push_back({position, record->head.bytes()});
        undo.bytes += record->head.bytes();
        if (record->head.kind == RecordKind::undo_end) {
            undo.content = content.digest();
            if (record->head.content != undo.content || record->head.records != undo.records)
                return {};
            break;
        }
        content.update(record->digest.view());
        ++undo.records;
    }
    for (const RecordPlace& place : places)
        TRY_VOID(store_.rewrite(header_, JournalRing::undo, place));
    pending_undo_ = std::move(undo);
    return store_.flush();
}

}  // namespace drover::replicator
