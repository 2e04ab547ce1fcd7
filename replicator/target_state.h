/// A target's disks and its durable knowledge about them, shared by the sessions that come and go.
/// Thread-safe, but close_disks() only when no session uses them.
#pragma once

#include "base/threads.h"
#include "replicator/checkpoint.h"
#include "replicator/frame.h"
#include "replicator/read_back.h"
#include "replicator/target_replica.h"

#include <atomic>
#include <memory>
#include <vector>

namespace drover::replicator {

class TargetState {
  public:
    /// Reads the checkpoint, or starts an empty one in memory. If a disk's identity or one of its
    /// sampled blocks is not what the checkpoint says, the checkpoint becomes invalid, durably, and
    /// with it everything is compared. Errors: corrupt, io, unsupported, conflict (it belongs to
    /// another job), invalid (a disk is too small).
    [[nodiscard]] static Result<std::unique_ptr<TargetState>> open(TargetConfig& config);

    [[nodiscard]] Checkpoint checkpoint() const;
    /// Makes it durable, then current. Only while no session runs. After an error nobody knows
    /// which one the file holds, and a number might name two batches: make_certain() before
    /// anything is built on checkpoint().
    [[nodiscard]] Result<> replace(const Checkpoint& checkpoint);

    /// Call before a frame is written: the checkpoint then no longer vouches for the blocks that
    /// it changes. Errors: io, and nothing may be written.
    [[nodiscard]] Result<> before_write(const FrameHeader& frame);
    /// Opens or makes the journal, if there is one, and brings the disks and the checkpoint to what
    /// was committed. Before every session and before the disks are given away; while no session
    /// runs. Errors: as of replace() and of TargetJournal::begin().
    [[nodiscard]] Result<> settle();

    [[nodiscard]] bool has_journal() const { return journal_ != nullptr; }

    [[nodiscard]] bool has_open_journal() { return journal_ && journal_->is_open(); }

    /// False if there is no journal: the caller writes the frame in place.
    [[nodiscard]] Result<bool> journal_frame(const FrameHeader& header, ByteView payload);
    /// All frames of the batch were written: flushes every disk and makes a checkpoint of the batch
    /// durable and current. Errors: as of replace(), and io of a disk. After a failed flush nobody
    /// knows what is on it: everything since the last success has to be sent again.
    [[nodiscard]] Result<> commit(const Commit& batch);
    /// With a journal, commit() leaves this to be done: the disks and the checkpoint follow. False
    /// during a test: they do not.
    [[nodiscard]] Result<bool> apply_committed(const Commit& batch, const StillBusy& busy);
    /// After a test, without another commit: one batch more is on the disks. False if none was
    /// left.
    [[nodiscard]] Result<bool> apply_one();

    // ---- a test ----

    /// Freezes the disks at a point, durably; nullopt if there is none yet, see
    /// TargetJournal::freeze(). Errors: as of replace().
    [[nodiscard]] Result<std::optional<BatchMark>> freeze();
    void forget_freeze();
    [[nodiscard]] Result<> thaw();

    /// An overlay stands on the disks, or may.
    [[nodiscard]] bool is_in_test() const;

    /// Why nothing is taken at present: a test has filled the journal.
    [[nodiscard]] std::optional<Error> full_in_test() const;

    /// What a source may be told: during a test the checkpoint stays behind.
    [[nodiscard]] Checkpoint acknowledged();

    /// A part of the range will change when the test is over.
    [[nodiscard]] bool is_waiting(const RangeQuestion& range) {
        return journal_ && journal_->is_waiting(range.disk, range.offset, range.length);
    }

    /// Takes the disks back to a point of the journal; from then on nobody vouches for what they
    /// hold, and the next source compares everything. Only while no session runs. Errors: not_found
    /// "no_such_point" (nothing was changed), and as of replace() and of TargetJournal::begin().
    [[nodiscard]] Result<> restore_point(std::uint64_t batch);
    /// The disks were found to hold other bytes than were sent: no point is offered any more.
    [[nodiscard]] Result<> give_up_points();

    /// After a replace() that failed: what the file holds is made durable and current. Else
    /// nothing.
    [[nodiscard]] Result<> make_certain();
    [[nodiscard]] Result<> remove_checkpoint();

    [[nodiscard]] BlockDevice& disk(std::size_t index) { return *disks_[index]; }

    [[nodiscard]] std::size_t disk_count() const { return disks_.size(); }

    [[nodiscard]] std::vector<std::uint64_t> disk_sizes() const;
    [[nodiscard]] std::vector<std::uint32_t> sector_bytes() const;

    /// The journal first: it writes them.
    [[nodiscard]] Result<> remove_journal();

    void close_disks() { disks_.clear(); }

    /// A source that knows of journals asks whether what was acknowledged is applied.
    std::atomic<bool> acknowledges_early = false;

    [[nodiscard]] std::uint64_t journal_lag_bytes() { return journal_ ? journal_->lag_bytes() : 0; }

    [[nodiscard]] std::uint64_t journal_used_bytes() {
        return journal_ ? journal_->used_bytes() : 0;
    }

    [[nodiscard]] std::uint64_t journal_budget_bytes() {
        return journal_ ? journal_->budget_bytes() : 0;
    }

    [[nodiscard]] std::vector<BatchMark> points() {
        return journal_ ? journal_->points() : std::vector<BatchMark>();
    }

    std::atomic<std::uint64_t> bytes_written = 0;
    ReadBackMemory read_back;

  private:
    explicit TargetState(TargetConfig& config);

    [[nodiscard]] Result<> recognise_disks();
    void know_fence_point(const Generation& generation);
    [[nodiscard]] Result<> store(const Checkpoint& checkpoint);
    [[nodiscard]] Result<> record(const Commit& batch);
    [[nodiscard]] Result<std::vector<Samples>> read_due_samples(const Commit& batch);
    void plan_samples();

    std::filesystem::path directory_;
    std::vector<std::unique_ptr<BlockDevice>> disks_;
    mutable Mutex mutex_;
    Checkpoint checkpoint_;
    /// Replaced only while no session runs; its methods are called under the mutex, but for
    /// covers().
    std::vector<DiskGuard> guards_;
    bool is_certain_ = true;
    std::unique_ptr<TargetJournal> journal_;  ///< null in direct mode
};

}  // namespace drover::replicator
