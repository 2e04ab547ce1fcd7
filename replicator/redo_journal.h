/// A target's redo journal: its disks are always at the end of a committed batch, or on their way
/// to the next one, and can be taken back to earlier points.
///
///   add(frames) ─► commit: COMMIT, flush ─► acknowledge
///                        └► apply_next: undo records, flush ─► disks, flush ─► slot, flush
///
/// A crash before the COMMIT drops the batch; one while it is applied applies it again. A batch
/// larger than the redo ring goes to the disks directly: the slot says so before the first write in
/// place, and the journal is used again after a batch that ends in a point.
///
/// For a test it is frozen: batches are taken and made durable, and nothing reaches the disks, over
/// restarts too, until it is thawed. Their room is 80 % of the redo ring; then it takes no more.
///
/// A journal that keeps its first point (the way back of a fenced source, ADR 0023) never goes to
/// the disks directly: a batch that its rings cannot hold is refused before anything of it is
/// committed, so that what the disks held when the journal was made can be brought back to its end.
///
/// After a failure of the file or of a disk nobody knows what is durable: every further call fails
/// with "redo_journal_stopped", and the way on is to open the journal anew. What could not be
/// flushed is then written once more, never only flushed again. Not thread-safe. Blocks.
#pragma once

#include "replicator/journal_store.h"

#include <deque>
#include <functional>
#include <memory>

namespace drover::replicator {

/// Called now and then while something takes long, so that others learn that it goes on.
using StillBusy = std::function<void()>;

/// What open() may do: recovery writes the disks, unless the journal is frozen.
enum class JournalUse : std::uint8_t { any, frozen_only };

enum class JournalDuty : std::uint8_t {
    recent_points = 0,  ///< as many as the undo ring holds
    first_point = 1     ///< the one that the disks held when the journal was made, and no other
};

struct JournalShape {
    Uuid journal;  ///< random
    Digest key;    ///< see journal_key()
    std::uint64_t redo_bytes = 0;
    std::uint64_t undo_bytes = 0;
    std::uint32_t points_max = 0;
    JournalDuty duty = JournalDuty::recent_points;
};

/// What must be the same for a journal to be applied to these disks.
[[nodiscard]] Digest journal_key(const JobId& job, std::span<BlockDevice* const> disks);

/// A part of a batch. Frames of a batch are added after those of its predecessor.
struct JournalFrame {
    std::uint64_t batch = 0;
    RecordEntry range;
    ByteView data;  ///< empty for zeroes
};

[[nodiscard]] Error no_such_point(std::uint64_t batch);
/// The budget of a test is spent.
[[nodiscard]] Error test_journal_full(std::uint64_t used_bytes, std::uint64_t redo_bytes);
/// What is refused while the disks must not change.
[[nodiscard]] Error target_in_test();
/// A journal that keeps its first point cannot hold a batch, or what it overwrites.
[[nodiscard]] Error first_point_over_budget();

class RedoJournal {
  public:
    using Disks = std::vector<BlockDevice*>;

    /// Makes the file a journal without contents: in direct mode after `applied`, or in journal
    /// mode if `applied` is the first point, to be kept. Errors: io, invalid (the file is too
    /// small).
    [[nodiscard]] static Result<> format(BlockDevice& file, const JournalShape& shape,
                                         const BatchMark& applied);
    /// Goes on where a crash interrupted: applies what is committed, drops what is not. File and
    /// disks outlive the journal. Errors: conflict "journal_of_another_job", corrupt
    /// "journal_corrupt" (a committed batch or a slot is damaged: compare the disks as a whole), or
    /// of one that is not frozen and has to be: nothing was written then. io.
    [[nodiscard]] static Result<std::unique_ptr<RedoJournal>> open(
        BlockDevice& file, Disks disks, const Digest& key,
        JournalDuty duty = JournalDuty::recent_points, JournalUse use = JournalUse::any);

    /// direct: the disks are written in place and are no point until a batch ends in one.
    [[nodiscard]] JournalMode mode() const { return header_.mode; }

    /// The batch that the disks hold. In direct mode they may hold parts of later ones.
    [[nodiscard]] const BatchMark& applied() const { return header_.applied; }

    /// The last durable batch; applied() or later.
    [[nodiscard]] std::uint64_t committed() const;
    /// Committed and not yet applied.
    [[nodiscard]] std::uint64_t lag_bytes() const;

    /// Room of the redo ring that is taken, open batches included.
    [[nodiscard]] std::uint64_t used_bytes() const { return redo_head_ - header_.redo_tail; }

    [[nodiscard]] std::uint64_t redo_bytes() const { return header_.redo_bytes; }

    /// Of the last durable batch.
    [[nodiscard]] const BatchMark& last() const;

    [[nodiscard]] bool is_frozen() const { return header_.is_frozen; }

    /// Nothing failed yet.
    [[nodiscard]] bool is_usable() const { return !failed_; }

    /// Nothing is applied from here on, durably. The disks are at a point.
    [[nodiscard]] Result<> freeze();
    /// What was committed meanwhile is applied by the next apply_next().
    [[nodiscard]] Result<> thaw();
    /// Something of the range waits in the journal: the disk does not hold what it will.
    [[nodiscard]] bool is_waiting(std::uint16_t disk, std::uint64_t offset,
                                  std::uint64_t length) const;

    /// Errors: conflict "test_journal_full" (nothing was taken; the journal works on), io.
    [[nodiscard]] Result<> add(const JournalFrame& frame);
    /// Durable when it returns. All frames of the batch were added; it is the one after
    /// committed() in order, whatever its number.
    [[nodiscard]] Result<> commit(const BatchMark& mark);
    /// Brings the oldest committed batch to the disks. False if there is none, and while frozen.
    [[nodiscard]] Result<bool> apply_next(const StillBusy& busy = {});
    [[nodiscard]] Result<> apply_all();
    /// Forgets the frames of batches that were not committed; applies those that were.
    [[nodiscard]] Result<> drop_open();

    /// Oldest first. The last one is the present state, if that is a point.
    [[nodiscard]] std::vector<BatchMark> points() const;
    /// Takes the disks back to a point; later ones are gone. Open batches are dropped. Errors:
    /// not_found "no_such_point" (nothing was changed), conflict "target_in_test" and corrupt
    /// (likewise), io.
    [[nodiscard]] Result<> restore(std::uint64_t batch);
    /// There is no way back any more, durably: what the disks held is not what was sent. Nothing
    /// for a first point, whose undo records say what the disks held before.
    [[nodiscard]] Result<> give_up_points();

  private:
    struct Touched {
        std::uint16_t disk = 0;
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };

    /// A batch of which something lies in the redo ring.
    struct Batch {
        std::uint64_t number = 0;
        std::uint64_t first_position = 0;
        std::vector<RecordPlace> records;
        DigestStream content;  ///< over their digests
        std::vector<Touched> touched;
        std::optional<BatchMark> mark;  ///< once it is committed
    };

    /// The undo records of one batch.
    struct UndoPart {
        std::uint64_t position = 0;
        std::uint64_t records = 0;
    };

    RedoJournal(BlockDevice& file, Disks disks, JournalDuty duty)
        : store_(file),
          disks_(std::move(disks)),
          keeps_first_(duty == JournalDuty::first_point) {}

    /// Notes a failure: from then on nothing works.
    template <class T>
    [[nodiscard]] Result<T> guarded(Result<T> result) {
        if (!result && !failed_) failed_ = result.error();
        return result;
    }

    [[nodiscard]] Result<> usable() const;

    // ---- writing ----
    [[nodiscard]] Result<> add_now(const JournalFrame& frame);
    [[nodiscard]] bool is_overtaken(std::uint64_t batch) const;
    [[nodiscard]] Result<> commit_now(const BatchMark& mark);
    [[nodiscard]] Result<> commit_direct(const BatchMark& mark);
    [[nodiscard]] Result<> write_group();
    [[nodiscard]] Result<> make_room(std::uint64_t bytes);
    [[nodiscard]] Result<> go_direct();
    [[nodiscard]] Result<> begin_life();
    [[nodiscard]] Result<> begin_frozen_life();
    [[nodiscard]] bool has_test_room(std::uint64_t bytes) const;
    [[nodiscard]] Result<> drop_now();
    Batch& batch_for(std::uint64_t number);
    [[nodiscard]] bool has_committed() const;
    [[nodiscard]] RecordHead head_for(RecordKind kind, std::uint64_t batch,
                                      std::uint64_t position) const;

    // ---- applying ----
    [[nodiscard]] Result<bool> apply_oldest(const StillBusy& busy = {});
    [[nodiscard]] Result<> write_record_in_place(const RecordPlace& place);
    [[nodiscard]] Result<> write_in_place(std::span<const RecordEntry> entries, ByteView payload);
    [[nodiscard]] Result<> flush_disks();

    // ---- undo (redo_undo.cc) ----
    [[nodiscard]] Result<std::optional<UndoExtent>> make_undo(const Batch& batch,
                                                              const StillBusy& busy);
    [[nodiscard]] Result<> make_undo_room(std::uint64_t bytes);
    [[nodiscard]] Result<UndoExtent> write_undo(const StillBusy& busy, const Batch& batch,
                                                std::span<const Touched> ranges);
    [[nodiscard]] Result<> write_undo_record(RecordBuilder& builder, UndoExtent& undo,
                                             DigestStream& content, std::uint64_t batch);
    void note_undo(std::optional<UndoExtent> undo);
    void pass_through(std::size_t at);
    void give_up_one();
    [[nodiscard]] std::uint64_t undo_head() const;
    [[nodiscard]] std::uint64_t undo_used() const;
    [[nodiscard]] Result<> restore_now(std::uint64_t batch);
    [[nodiscard]] Result<> run_restore();
    [[nodiscard]] Result<std::vector<UndoPart>> parts_of(const UndoExtent& undo);
    [[nodiscard]] Result<> play_undo(const UndoExtent& undo);
    [[nodiscard]] Result<> check_undo_room() const;
    [[nodiscard]] std::vector<Touched> to_undo(const Batch& batch) const;
    [[nodiscard]] Result<> find_undone();
    [[nodiscard]] Result<> check_restored();
    [[nodiscard]] static std::vector<Touched> merged(std::vector<Touched> ranges);
    [[nodiscard]] static std::uint64_t undo_bytes_max(std::span<const Touched> ranges);

    // ---- recovery (redo_recovery.cc) ----
    [[nodiscard]] Result<> recover();
    [[nodiscard]] Result<> scan_redo();
    [[nodiscard]] Result<bool> take_record(const StoredRecord& record);
    [[nodiscard]] Result<> refuse_if_lost(std::uint64_t position);
    void drop_uncommitted();
    [[nodiscard]] Result<> rewrite_span();
    [[nodiscard]] std::uint64_t committed_end() const;
    [[nodiscard]] Result<> find_pending_undo();
    [[nodiscard]] bool entries_fit(std::span<const RecordEntry> entries) const;

    JournalStore store_;
    Disks disks_;
    bool keeps_first_;  ///< the first point is never given up
    /// Of a first point: what undo records hold already, sorted. Later batches need no more.
    std::vector<Touched> undone_;
    JournalHeader header_;         ///< as it is durable, but for redo_tail after a switch of modes
    std::uint64_t redo_head_ = 0;  ///< where the next record goes
    std::uint64_t durable_ = 0;    ///< everything below was flushed
    std::deque<Batch> batches_;    ///< committed ones first
    RecordBuilder group_;          ///< frames of the newest batch that are not in the ring yet
    std::uint64_t group_batch_ = 0;
    std::uint64_t last_in_place_ = 0;         ///< direct mode: the highest batch of a frame
    std::optional<UndoExtent> pending_undo_;  ///< of the oldest batch, made before a crash
    std::optional<Error> failed_;
};

}  // namespace drover::replicator
