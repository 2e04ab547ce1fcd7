#include "replicator/target_state.h"

#include "base/assert.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mutation.h"

#include <algorithm>

namespace drover::replicator {
namespace {

Result<> check_sizes(const TargetConfig& config) {
    if (config.disks.size() != config.ticket.disks.size() ||
        config.disks.size() != config.ticket.sizes_bytes.size())
        return Error(Errc::invalid, "ticket_mismatch",
                     "the ticket names another number of disks than are open here");
    for (std::size_t i = 0; i < config.disks.size(); ++i) {
        const DeviceFacts& facts = config.disks[i]->facts();
        if (facts.size_bytes >= config.ticket.sizes_bytes[i]) continue;
        return Error(Errc::invalid, "target_too_small",
                     facts.path + " has " + std::to_string(facts.size_bytes) +
                         " bytes, the source disk " + std::to_string(config.ticket.sizes_bytes[i]),
                     "both disks; nothing was written",
                     "provide a target disk of at least the source's size");
    }
    return {};
}

/// Why what is known of a disk cannot be believed; empty if it can. `found`: what lies at the
/// places of the samples now.
std::string doubt_about(const CheckpointDisk& known, const std::string& identity,
                        const Samples& found) {
    if (identity.empty() || known.identity != identity)
        return "it is another disk: was=" + known.identity + " is=" + identity;
    if (found == known.samples) return {};
    std::size_t same = 0;
    for (const BlockSample& sample : known.samples)
        same += static_cast<std::size_t>(std::ranges::count(found, sample));
    const auto changed = std::ranges::find_if(known.samples, [&](const BlockSample& sample) {
        return std::ranges::count(found, sample) == 0;
    });
    return "it was changed or exchanged while it was not open here: " +
           std::to_string(known.samples.size() - same) + " of " +
           std::to_string(known.samples.size()) + " sampled blocks differ, the first at byte " +
           std::to_string(changed->offset);
}

}  // namespace

TargetState::TargetState(TargetConfig& config)
    : directory_(config.state_directory),
      disks_(std::move(config.disks)) {
    if (config.journal)
        journal_ = std::make_unique<TargetJournal>(*config.journal, config.ticket.job);
}

Result<std::unique_ptr<TargetState>> TargetState::open(TargetConfig& config) {
    TRY_VOID(check_sizes(config));
    TRY_VOID(make_directory_durably(config.state_directory));
    std::unique_ptr<TargetState> state(new TargetState(config));
    TRY(const auto found, read_checkpoint(state->directory_));
    if (!found && config.fence_point && config.fence_point->is_begun)
        return first_point_lost("the checkpoint in " + state->directory_.native() + " is gone");
    if (!found) {
        state->checkpoint_.lineage = config.ticket.lineage;
        state->checkpoint_.job = config.ticket.job;
        for (std::size_t i = 0; i < state->disks_.size(); ++i)
            state->checkpoint_.disks.push_back(
                {0, config.ticket.sizes_bytes[i], state->disks_[i]->facts().identity, {}});
        if (config.fence_point) state->know_fence_point(config.fence_point->generation);
        state->plan_samples();
        return state;
    }
    if (found->job != config.ticket.job || found->lineage != config.ticket.lineage ||
        found->disks.size() != config.ticket.disks.size())
        return Error(Errc::conflict, "checkpoint_mismatch",
                     "the checkpoint in " + state->directory_.native() + " is of another job",
                     "the data on the target's disks; nothing is written to them",
                     "clean up the other job first");
    state->checkpoint_ = *found;
    if (found->is_in_test && !state->has_journal())
        return Error(Errc::conflict, "test_journal_lost",
                     "a test runs on the target, and its journal is no longer configured",
                     "the target's disks as they are; nothing is written to them",
                     "configure the journal again, or revert the test and cancel the job");
    if (found->mode == JournalMode::journal && !state->has_journal()) {
        // What it held may be missing on the disks.
        log::warn("replicator", "the target's journal is no longer configured; all is compared");
        Checkpoint next = without_knowledge(*found);
        next.mode = JournalMode::direct;
        TRY_VOID(state->store(next));
    }
    // A fenced source's disks are held by a guard, and what was taken back differs from any sample.
    if (!config.fence_point) TRY_VOID(state->recognise_disks());
    state->plan_samples();
    return state;
}

/// A checkpoint speaks of certain disks and of what lies on them. Where one cannot be recognised,
/// its content counts as unknown: everything is compared. What lies there now becomes its samples,
/// so that the comparison too is of one and the same disk.
Result<> TargetState::recognise_disks() {
    Checkpoint next = checkpoint_;
    for (std::size_t i = 0; i < disks_.size(); ++i) {
        CheckpointDisk& known = next.disks[i];
        const DeviceFacts& facts = disks_[i]->facts();
        TRY(Samples found, take_samples(*disks_[i], offsets_of(known.samples)));
        const std::string doubt = doubt_about(known, facts.identity, found);
        if (doubt.empty()) continue;
        log::warn("replicator", "a target disk is not as the checkpoint says; all is compared",
                  "disk=" + std::to_string(i) + " path=" + facts.path + ": " + doubt);
        known.identity = facts.identity;
        known.mirrored_upto = 0;
        known.samples = std::move(found);
        next.generation = Generation();
        if (next.state == CheckpointState::syncing) next.state = CheckpointState::invalid;
    }
    return next == checkpoint_ ? Result<>() : store(next);
}

/// The disks need nothing but what changed on the other side since the fence.
void TargetState::know_fence_point(const Generation& generation) {
    checkpoint_.generation = generation;
    for (CheckpointDisk& disk : checkpoint_.disks) disk.mirrored_upto = disk.size_bytes;
}

/// Where samples lie follows from the sizes, which change only while no session runs.
void TargetState::plan_samples() {
    const std::vector<CheckpointDisk>& disks = checkpoint_.disks;
    guards_.reserve(disks.size());
    for (std::size_t i = 0; i < disks.size(); ++i) {
        if (i == guards_.size()) {
            guards_.emplace_back(checkpoint_.job, i, disks[i].size_bytes);
        } else if (guards_[i].size_bytes() != disks[i].size_bytes) {
            guards_[i] = DiskGuard(checkpoint_.job, i, disks[i].size_bytes);
        }
    }
}

Checkpoint TargetState::checkpoint() const {
    const std::lock_guard lock(mutex_);
    return checkpoint_;
}

/// Under the mutex.
Result<> TargetState::store(const Checkpoint& checkpoint) {
    is_certain_ = false;
    TRY_VOID(write_checkpoint(directory_, checkpoint));
    is_certain_ = true;
    checkpoint_ = checkpoint;
    return {};
}

Result<> TargetState::replace(const Checkpoint& checkpoint) {
    const std::lock_guard lock(mutex_);
    TRY_VOID(store(checkpoint));
    plan_samples();
    return {};
}

Result<> TargetState::before_write(const FrameHeader& frame) {
    if (!guards_[frame.disk].covers(frame.offset, frame.raw_length)) return {};
    const std::lock_guard lock(mutex_);
    if (!is_certain_)
        return Error(Errc::io, "checkpoint_uncertain",
                     "the file may vouch for a block that a frame would change",
                     "everything that was acknowledged as durable",
                     "look at the file system of the agent's state directory; the source tries "
                     "again by itself");
    Checkpoint next = checkpoint_;
    const bool was_sampled = guards_[frame.disk].touch(frame.offset, frame.raw_length, frame.batch,
                                                       next.disks[frame.disk].samples);
    return was_sampled ? store(next) : Result<>();
}

/// Frames of the next batch may be written meanwhile: their places are not due, or are refused when
/// the checkpoint is made.
Result<std::vector<Samples>> TargetState::read_due_samples(const Commit& batch) {
    std::vector<std::vector<std::uint64_t>> due;
    {
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < guards_.size(); ++i)
            due.push_back(
                guards_[i].due(batch.batch, batch.mirrored_upto[i], checkpoint_.disks[i].samples));
    }
    std::vector<Samples> fresh;
    for (std::size_t i = 0; i < due.size(); ++i) {
        TRY(Samples samples, take_samples(*disks_[i], due[i]));
        fresh.push_back(std::move(samples));
    }
    return fresh;
}

Result<> TargetState::commit(const Commit& batch) {
    DROVER_ASSERT(batch.mirrored_upto.size() == disks_.size());
    if (journal_) return journal_->commit(batch);
    const bool flushes = !DROVER_MUTANT("target_skips_flush");
    const bool stops = !DROVER_MUTANT("flush_error_ignored");
    for (const auto& disk : disks_) {
        const Result<> flushed = flushes ? disk->flush() : Result<>();
        if (!flushed && stops) return flushed;
    }
    return record(batch);
}

/// The disks hold the batch durably.
Result<> TargetState::record(const Commit& batch) {
    TRY(const std::vector<Samples> fresh, read_due_samples(batch));
    const std::lock_guard lock(mutex_);
    Checkpoint next = checkpoint_;
    next.state = CheckpointState::syncing;
    next.generation = batch.generation;
    next.batch = batch.batch;
    for (std::size_t i = 0; i < fresh.size(); ++i) {
        next.disks[i].mirrored_upto = batch.mirrored_upto[i];
        guards_[i].add(fresh[i], batch.batch, next.disks[i].samples);
    }
    return store(next);
}

// ---- with a journal ----

Result<> TargetState::settle() {
    if (!journal_ || disks_.empty()) return {};
    RedoJournal::Disks disks;
    for (const auto& disk : disks_) disks.push_back(disk.get());
    const Checkpoint before = checkpoint();
    TRY(const Checkpoint next, journal_->begin(std::move(disks), before));
    return next == before ? Result<>() : replace(next);
}

Result<bool> TargetState::journal_frame(const FrameHeader& header, ByteView payload) {
    if (!journal_) return false;
    TRY_VOID(journal_->add(header, payload));
    return true;
}

Result<bool> TargetState::apply_committed(const Commit& batch, const StillBusy& busy) {
    if (!journal_) return true;
    TRY(const bool is_applied, journal_->apply(batch.batch, busy));
    if (is_applied) TRY_VOID(record(batch));
    return is_applied;
}

Result<bool> TargetState::apply_one() {
    const bool is_behind = journal_ && journal_->lag_bytes() > 0 && !journal_->is_frozen();
    if (!is_behind) return false;
    const std::lock_guard lock(mutex_);
    TRY(const auto next, journal_->apply_one(checkpoint_));
    if (next) TRY_VOID(store(*next));
    return next.has_value();
}

// ---- a test ----

bool TargetState::is_in_test() const {
    const std::lock_guard lock(mutex_);
    return checkpoint_.is_in_test || (journal_ && journal_->is_frozen());
}

std::optional<Error> TargetState::full_in_test() const {
    if (!journal_ || !journal_->is_full()) return std::nullopt;
    return test_journal_full(journal_->used_bytes(), journal_->budget_bytes());
}

/// The journal first: alone it keeps the disks as they are.
Result<std::optional<BatchMark>> TargetState::freeze() {
    TRY(const auto frozen, journal_->freeze());
    if (!frozen) return frozen;
    const std::lock_guard lock(mutex_);
    Checkpoint next = checkpoint_;
    next.is_in_test = true;
    if (!checkpoint_.is_in_test) TRY_VOID(store(next));
    return frozen;
}

void TargetState::forget_freeze() {
    journal_->forget_freeze();
}

/// The journal last: a checkpoint without it would look like a journal that was lost.
Result<> TargetState::thaw() {
    const std::lock_guard lock(mutex_);
    Checkpoint next = checkpoint_;
    next.is_in_test = false;
    // A freeze whose store failed may have left a file that says it all the same.
    if (checkpoint_.is_in_test || !is_certain_) TRY_VOID(store(next));
    return journal_ ? journal_->thaw() : Result<>();
}

Checkpoint TargetState::acknowledged() {
    const Checkpoint now = checkpoint();
    return journal_ ? journal_->acknowledged(now) : now;
}

// ---- points ----

Result<> TargetState::restore_point(std::uint64_t batch) {
    if (is_in_test()) return target_in_test();
    // Opened anew it would know of no points after an earlier restore.
    if (journal_ && !journal_->is_open()) TRY_VOID(settle());
    const bool is_known =
        !disks_.empty() && std::ranges::count(points(), batch, &BatchMark::batch) > 0;
    if (!is_known) return no_such_point(batch);
    TRY_VOID(journal_->restore(batch));
    return replace(without_knowledge(checkpoint()));
}

Result<> TargetState::give_up_points() {
    return journal_ ? journal_->give_up_points() : Result<>();
}

Result<> TargetState::remove_journal() {
    return journal_ ? journal_->remove() : Result<>();
}

Result<> TargetState::make_certain() {
    const std::lock_guard lock(mutex_);
    if (is_certain_) return {};
    TRY(const auto found, read_checkpoint(directory_));
    TRY_VOID(sync_directory(directory_));
    if (found) checkpoint_ = *found;
    plan_samples();
    is_certain_ = true;
    return {};
}

Result<> TargetState::remove_checkpoint() {
    const std::lock_guard lock(mutex_);
    return remove_file_durably(checkpoint_path(directory_));
}

std::vector<std::uint64_t> TargetState::disk_sizes() const {
    std::vector<std::uint64_t> sizes;
    for (const auto& disk : disks_) sizes.push_back(disk->facts().size_bytes);
    return sizes;
}

std::vector<std::uint32_t> TargetState::sector_bytes() const {
    std::vector<std::uint32_t> sectors;
    for (const auto& disk : disks_) sectors.push_back(disk->facts().sector_bytes);
    return sectors;
}

}  // namespace drover::replicator
