/// The redo journal of one target: where it lies, whether it can be believed, and how it goes
/// together with the checkpoint. Thread-safe.
///
///   frame ─► add ─► ring       COMMIT ─► commit, durable ─► Committed ─► apply ─► checkpoint
///
/// During a test it is frozen (redo_journal.h): what is committed is durable there and stays there.
///
/// The checkpoint follows the disks, so a crash may leave it behind the journal: then what the
/// COMMIT said is found in the journal's note.
#pragma once

#include "base/threads.h"
#include "replicator/checkpoint.h"
#include "replicator/frame.h"
#include "replicator/redo_journal.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

namespace drover::replicator {

struct JournalPlace {
    std::filesystem::path directory;  ///< on no disk of a job
    std::uint64_t redo_bytes = 192U << 20;
    std::uint64_t undo_bytes = 192U << 20;
    std::uint32_t points_max = 8;
    /// With JournalDuty::first_point the file has a name of its own: it belongs to the job's
    /// source.
    JournalDuty duty = JournalDuty::recent_points;
};

/// Of one job, in the directory that all share.
[[nodiscard]] std::filesystem::path journal_path(const std::filesystem::path& directory,
                                                 const JobId& job,
                                                 JournalDuty duty = JournalDuty::recent_points);

class TargetJournal {
  public:
    TargetJournal(JournalPlace place, const JobId& job)
        : place_(std::move(place)),
          job_(job),
          budget_bytes_(place_.redo_bytes) {}

    /// Opens what an earlier process or an earlier failure left, if `checkpoint` says that there is
    /// a journal, or makes a new one; frames of an open batch are forgotten. Returns the checkpoint
    /// as it must be now, to be stored before anything is done: ahead by what the journal held, or
    /// invalid if the journal is gone and nobody knows what is on the disks. Errors: io,
    /// unavailable: try again later; conflict "test_journal_lost": the checkpoint says that a test
    /// runs and the journal does not, so that nothing may be written.
    /// One that keeps its first point is made once, while the
    /// checkpoint is in direct mode; after that its loss is an error, corrupt "first_point_lost".
    [[nodiscard]] Result<Checkpoint> begin(RedoJournal::Disks disks, const Checkpoint& checkpoint);

    [[nodiscard]] Result<> add(const FrameHeader& header, ByteView payload);
    [[nodiscard]] Result<> commit(const Commit& batch);
    /// Up to `batch`, or all. False if that is not on the disks now, because a test runs.
    [[nodiscard]] Result<bool> apply(std::uint64_t batch, const StillBusy& busy);
    /// Brings the oldest committed batch to the disks. Nullopt if there is none, or a test runs;
    /// else the checkpoint that follows.
    [[nodiscard]] Result<std::optional<Checkpoint>> apply_one(const Checkpoint& checkpoint);

    // ---- a test ----

    /// Freezes the journal at the next point, which may be the present state; nullopt if there is
    /// none yet: apply() then freezes at the first that comes, until forget_freeze().
    [[nodiscard]] Result<std::optional<BatchMark>> freeze();
    void forget_freeze();
    [[nodiscard]] Result<> thaw();

    [[nodiscard]] bool is_frozen() const { return is_frozen_; }

    /// A frame was refused for want of room since the test began.
    [[nodiscard]] bool is_full() const { return is_full_; }

    /// As of the last durable batch, applied or not.
    [[nodiscard]] Checkpoint acknowledged(const Checkpoint& checkpoint);
    [[nodiscard]] bool is_waiting(std::uint32_t disk, std::uint64_t offset, std::uint64_t length);
    /// Takes the disks back to a point; opens nothing. Errors: not_found "no_such_point" (nothing
    /// was changed), others of RedoJournal::restore(). The checkpoint is then ahead of the disks,
    /// which begin() notices.
    [[nodiscard]] Result<> restore(std::uint64_t batch);
    [[nodiscard]] Result<> give_up_points();

    /// False also after a failure: begin() opens it anew.
    [[nodiscard]] bool is_open();

    /// As of the last step that was completed: these never wait for one that is under way.
    [[nodiscard]] std::uint64_t lag_bytes() const { return lag_bytes_; }

    [[nodiscard]] std::uint64_t used_bytes() const { return used_bytes_; }

    /// Of the journal that is open; what is configured, before one is.
    [[nodiscard]] std::uint64_t budget_bytes() const { return budget_bytes_; }

    [[nodiscard]] std::vector<BatchMark> points() const;

    /// The disks are no longer ours, or the job is over: there is no way back any more. The next
    /// begin() makes a new one.
    [[nodiscard]] Result<> remove();

  private:
    [[nodiscard]] Result<Checkpoint> begin_first_point(const RedoJournal::Disks& disks,
                                                       const Checkpoint& checkpoint);
    [[nodiscard]] Result<bool> reopen(const RedoJournal::Disks& disks,
                                      JournalUse use = JournalUse::any);
    [[nodiscard]] Result<> make(const RedoJournal::Disks& disks, std::uint64_t batch);
    [[nodiscard]] Result<Checkpoint> begin_in_test(const RedoJournal::Disks& disks,
                                                   const Checkpoint& checkpoint);
    [[nodiscard]] bool follow(Checkpoint& checkpoint);
    [[nodiscard]] Result<> freeze_if_due();
    void note_state();

    [[nodiscard]] std::filesystem::path path() const {
        return journal_path(place_.directory, job_, place_.duty);
    }

    JournalPlace place_;
    JobId job_;
    Mutex mutex_;
    std::unique_ptr<BlockDevice> file_;
    std::unique_ptr<RedoJournal> journal_;
    bool freeze_wanted_ = false;
    std::atomic<bool> is_frozen_ = false;
    std::atomic<bool> is_full_ = false;
    std::atomic<std::uint64_t> lag_bytes_ = 0;
    std::atomic<std::uint64_t> used_bytes_ = 0;
    std::atomic<std::uint64_t> budget_bytes_;
    mutable Mutex points_mutex_;
    std::vector<BatchMark> points_;
};

[[nodiscard]] Error first_point_lost(const std::string& why);

/// Nobody knows what is on the disks: everything is to be compared.
[[nodiscard]] Checkpoint without_knowledge(Checkpoint checkpoint);

}  // namespace drover::replicator
