#include "replicator/target_journal.h"

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "replicator/journal_file.h"

namespace drover::replicator {
namespace {

/// generation 16 | disks u32 | mirrored u64 each
Bytes note_of(const Commit& batch) {
    Bytes note;
    put_bytes(note, batch.generation.view());
    put_u32(note, static_cast<std::uint32_t>(batch.mirrored_upto.size()));
    for (const std::uint64_t bytes : batch.mirrored_upto) put_u64(note, bytes);
    return note;
}

/// False if it is not of as many disks.
bool take_note(ByteView note, Checkpoint& checkpoint) {
    const std::size_t disks = checkpoint.disks.size();
    if (note.size() != 20 + 8 * disks || get_u32(note, 16) != disks) return false;
    checkpoint.generation = *Generation::from(note.first(16));
    for (std::size_t i = 0; i < disks; ++i) {
        const std::uint64_t bytes = get_u64(note, 20 + 8 * i);
        if (bytes > checkpoint.disks[i].size_bytes) return false;
        checkpoint.disks[i].mirrored_upto = bytes;
    }
    return true;
}

bool may_pass(const Error& error) {
    return error.code() == Errc::io || error.code() == Errc::unavailable;
}

}  // namespace

Error first_point_lost(const std::string& why) {
    return Error(Errc::corrupt, "first_point_lost",
                 "what the source held when it was fenced cannot be brought back: " + why,
                 "the disks as they are; they stay fenced",
                 "restore the journal and the agent's state directory from where they went, then "
                 "retry");
}

Checkpoint without_knowledge(Checkpoint checkpoint) {
    if (checkpoint.state == CheckpointState::syncing && !checkpoint.generation.is_zero())
        checkpoint.state = CheckpointState::invalid;
    checkpoint.generation = Generation();
    for (CheckpointDisk& disk : checkpoint.disks) disk.mirrored_upto = 0;
    return checkpoint;
}

std::filesystem::path journal_path(const std::filesystem::path& directory, const JobId& job,
                                   JournalDuty duty) {
    const std::string of_source = duty == JournalDuty::first_point ? ".reverse" : "";
    return directory / (uuid_text(job) + of_source + "." + std::string(journal_file_name));
}

Result<Checkpoint> TargetJournal::begin(RedoJournal::Disks disks, const Checkpoint& checkpoint) {
    const std::lock_guard lock(mutex_);
    if (checkpoint.is_in_test) return begin_in_test(disks, checkpoint);
    if (place_.duty == JournalDuty::first_point) return begin_first_point(disks, checkpoint);
    Checkpoint next = checkpoint;
    const bool is_believed =
        checkpoint.mode == JournalMode::journal && checkpoint.state == CheckpointState::syncing;
    if (is_believed) {
        bool is_open = journal_ && journal_->drop_open();
        if (!is_open) {
            journal_.reset();
            TRY(is_open, reopen(disks));
        }
        if (is_open && follow(next)) {
            note_state();
            return next;
        }
        next = without_knowledge(checkpoint);
    }
    TRY_VOID(make(disks, next.batch));
    note_state();
    next.mode = JournalMode::journal;
    return next;
}

/// An overlay may stand on the disks: without a frozen journal nothing is done at all.
Result<Checkpoint> TargetJournal::begin_in_test(const RedoJournal::Disks& disks,
                                                const Checkpoint& checkpoint) {
    bool is_open = journal_ && journal_->drop_open();
    if (!is_open) {
        journal_.reset();
        TRY(is_open, reopen(disks, JournalUse::frozen_only));
    }
    note_state();
    const bool is_known = checkpoint.state == CheckpointState::syncing;
    if (is_open && is_known && journal_->is_frozen()) return checkpoint;
    return Error(Errc::conflict, "test_journal_lost",
                 is_known ? "a test runs on the target, and its journal is lost or damaged"
                          : "a test runs on the target, and its disks were changed under it",
                 "the target's disks as they are; nothing is written to them",
                 "revert the test: the disks are then compared as a whole");
}

/// What it keeps is the only way back: it is never made a second time.
Result<Checkpoint> TargetJournal::begin_first_point(const RedoJournal::Disks& disks,
                                                    const Checkpoint& checkpoint) {
    Checkpoint next = checkpoint;
    next.mode = JournalMode::journal;
    const bool is_made = checkpoint.mode == JournalMode::journal;
    if (is_made) {
        bool is_open = journal_ && journal_->drop_open();
        if (!is_open) {
            journal_.reset();
            TRY(is_open, reopen(disks));
        }
        if (!is_open) return first_point_lost("the journal that keeps it is gone or damaged");
    }
    // Nothing was written yet: it may be made anew, for example with more room.
    const bool is_untouched = !is_made || (journal_->applied().batch == 0 && checkpoint.batch == 0);
    if (is_untouched) {
        TRY_VOID(make(disks, 0));
    } else if (journal_->applied().batch == 0) {
        next = without_knowledge(next);  // taken back; nothing is sent any more
    } else if (!follow(next)) {
        return first_point_lost("the journal knows of fewer batches than were acknowledged");
    }
    note_state();
    return next;
}

/// False if it cannot be believed, whatever is tried.
Result<bool> TargetJournal::reopen(const RedoJournal::Disks& disks, JournalUse use) {
    auto file = open_journal_file(path());
    if (!file && may_pass(file.error())) return file.error();
    if (!file) {
        log::warn("replicator", "the target's journal is gone; all is compared",
                  file.error().text());
        return false;
    }
    auto journal = RedoJournal::open(**file, disks, journal_key(job_, disks), place_.duty, use);
    if (!journal && may_pass(journal.error())) return journal.error();
    if (!journal) {
        log::warn("replicator", "the target's journal cannot be believed; all is compared",
                  journal.error().text());
        return false;
    }
    file_ = std::move(*file);
    journal_ = std::move(*journal);
    return true;
}

/// A file that is there is used again: what was in it is void under a new identity.
Result<> TargetJournal::make(const RedoJournal::Disks& disks, std::uint64_t batch) {
    const std::uint64_t bytes = journal_rings_at + place_.redo_bytes + place_.undo_bytes;
    journal_.reset();
    auto file = open_journal_file(path());
    // A process that was killed as it made the file may have left a name that is not durable.
    if (file) TRY_VOID(sync_directory(place_.directory));
    if (!file || (*file)->facts().size_bytes != bytes) file = make_journal_file(path(), bytes);
    if (!file) return file.error();
    file_ = std::move(*file);
    const JournalShape shape{SystemRandom().uuid(), journal_key(job_, disks), place_.redo_bytes,
                             place_.undo_bytes,     place_.points_max,        place_.duty};
    BatchMark applied;
    applied.batch = batch;
    freeze_wanted_ = false;
    TRY_VOID(RedoJournal::format(*file_, shape, applied));
    TRY(journal_, RedoJournal::open(*file_, disks, shape.key, place_.duty));
    return {};
}

/// All that was committed is on the disks by now. False if the journal knows less than the
/// checkpoint: a batch was lost.
bool TargetJournal::follow(Checkpoint& checkpoint) {
    const BatchMark& applied = journal_->applied();
    if (applied.batch == checkpoint.batch) return true;
    Checkpoint next = checkpoint;
    if (applied.batch > checkpoint.batch && take_note(applied.note, next)) {
        next.batch = applied.batch;
        checkpoint = std::move(next);
        return true;
    }
    log::warn("replicator", "the target's journal lost a batch; all is compared",
              "checkpoint=" + std::to_string(checkpoint.batch) +
                  " journal=" + std::to_string(applied.batch));
    return false;
}

Result<> TargetJournal::add(const FrameHeader& header, ByteView payload) {
    const std::lock_guard lock(mutex_);
    if (!journal_) return journal_corrupt("it is not open");
    JournalFrame frame;
    frame.batch = header.batch;
    frame.range = {header.offset, header.raw_length, static_cast<std::uint16_t>(header.disk),
                   header.kind != FrameKind::data};
    frame.data = payload;
    const JournalMode before = journal_->mode();
    const Result<> added = journal_->add(frame);
    used_bytes_ = journal_->used_bytes();
    if (!added && added.error().id() == "test_journal_full") is_full_ = true;
    // The disks are written in place from here on: there is no way back any more.
    if (journal_->mode() != before) note_state();
    return added;
}

Result<> TargetJournal::commit(const Commit& batch) {
    const std::lock_guard lock(mutex_);
    if (!journal_) return journal_corrupt("it is not open");
    TRY_VOID(journal_->commit(
        {batch.batch, batch.is_point, batch.taken_micros, note_of(batch), batch.kind}));
    note_state();
    return {};
}

Result<bool> TargetJournal::apply(std::uint64_t batch, const StillBusy& busy) {
    const std::lock_guard lock(mutex_);
    if (!journal_) return journal_corrupt("it is not open");
    for (bool applied = true; applied;) {
        TRY(applied, journal_->apply_next(busy));
        TRY_VOID(freeze_if_due());
    }
    note_state();
    return journal_->applied().batch >= batch;
}

Result<std::optional<Checkpoint>> TargetJournal::apply_one(const Checkpoint& checkpoint) {
    const std::lock_guard lock(mutex_);
    if (!journal_) return std::optional<Checkpoint>();
    TRY(const bool applied, journal_->apply_next());
    if (!applied) return std::optional<Checkpoint>();
    TRY_VOID(freeze_if_due());
    note_state();
    Checkpoint next = checkpoint;
    if (!follow(next)) return journal_corrupt("it is behind the checkpoint");
    return std::optional<Checkpoint>(std::move(next));
}

// ---- a test ----

Result<> TargetJournal::freeze_if_due() {
    if (!freeze_wanted_ || !journal_->applied().is_point) return {};
    TRY_VOID(journal_->freeze());
    freeze_wanted_ = false;
    is_full_ = false;
    return {};
}

Result<std::optional<BatchMark>> TargetJournal::freeze() {
    const std::lock_guard lock(mutex_);
    if (!journal_) return std::optional<BatchMark>();
    freeze_wanted_ = !journal_->is_frozen();
    for (bool applied = true; applied && freeze_wanted_;) {
        TRY_VOID(freeze_if_due());
        TRY(applied, journal_->apply_next());
    }
    note_state();
    return journal_->is_frozen() ? std::optional(journal_->applied()) : std::nullopt;
}

void TargetJournal::forget_freeze() {
    const std::lock_guard lock(mutex_);
    freeze_wanted_ = false;
}

Result<> TargetJournal::thaw() {
    const std::lock_guard lock(mutex_);
    freeze_wanted_ = false;
    if (journal_) TRY_VOID(journal_->thaw());
    is_full_ = false;
    note_state();
    return {};
}

Checkpoint TargetJournal::acknowledged(const Checkpoint& checkpoint) {
    const std::lock_guard lock(mutex_);
    Checkpoint next = checkpoint;
    if (!journal_ || !journal_->is_frozen()) return next;
    const BatchMark& last = journal_->last();
    if (last.batch > next.batch && take_note(last.note, next)) next.batch = last.batch;
    return next;
}

bool TargetJournal::is_waiting(std::uint32_t disk, std::uint64_t offset, std::uint64_t length) {
    const std::lock_guard lock(mutex_);
    return journal_ && journal_->is_frozen() &&
           journal_->is_waiting(static_cast<std::uint16_t>(disk), offset, length);
}

Result<> TargetJournal::restore(std::uint64_t batch) {
    const std::lock_guard lock(mutex_);
    if (!journal_) return journal_corrupt("it is not open");
    const Result<> restored = journal_->restore(batch);
    note_state();
    return restored;
}

Result<> TargetJournal::give_up_points() {
    const std::lock_guard lock(mutex_);
    if (!journal_) return {};
    TRY_VOID(journal_->give_up_points());
    note_state();
    return {};
}

bool TargetJournal::is_open() {
    const std::lock_guard lock(mutex_);
    return journal_ != nullptr && journal_->is_usable();
}

void TargetJournal::note_state() {
    lag_bytes_ = journal_ ? journal_->lag_bytes() : 0;
    used_bytes_ = journal_ ? journal_->used_bytes() : 0;
    if (journal_) budget_bytes_ = journal_->redo_bytes();
    is_frozen_ = journal_ && journal_->is_frozen();
    if (!is_frozen_) is_full_ = false;
    const std::lock_guard lock(points_mutex_);
    points_ = journal_ ? journal_->points() : std::vector<BatchMark>();
}

std::vector<BatchMark> TargetJournal::points() const {
    const std::lock_guard lock(points_mutex_);
    return points_;
}

Result<> TargetJournal::remove() {
    const std::lock_guard lock(mutex_);
    journal_.reset();
    file_.reset();
    note_state();
    return remove_file_durably(path());
}

}  // namespace drover::replicator
