/// A redo journal over disks that can be stopped, and a second account of what must be on them: the
/// image after every batch that was committed.
#pragma once

#include "replicator/redo_journal.h"
#include "tests/replicator/crash_disk.h"

#include <map>
#include <memory>
#include <set>

namespace drover::replicator::testing {

constexpr std::uint64_t redo_ring_bytes = 24 * journal_block_bytes;
constexpr std::uint64_t undo_ring_bytes = 28 * journal_block_bytes;
constexpr std::uint32_t points_kept = 3;

class RedoPlay {
  public:
    using Images = std::vector<Bytes>;

    /// Two small disks with random contents, and the first point on them.
    explicit RedoPlay(std::uint64_t seed);

    /// Random writes, commits, applications, drops and restores until `actions` were done or one
    /// fails. The same seed does the same until a failure.
    void run(std::uint64_t seed, int actions);

    /// Opens the journal anew. False if that was interrupted or failed.
    [[nodiscard]] bool reopen();
    /// Empty if the disks hold exactly a batch that they may hold now; else what is wrong.
    [[nodiscard]] std::string verdict() const;
    /// Goes on after a recovery: another batch, then every point from the newest to the oldest.
    /// Empty, or what is wrong.
    [[nodiscard]] std::string go_on();

    /// A frame with random content of the open batch, or of the one after it.
    [[nodiscard]] Result<> write(std::uint16_t disk, std::uint64_t block, std::uint64_t blocks,
                                 bool zero = false, std::uint64_t ahead = 0);
    [[nodiscard]] Result<> commit(bool is_point);
    [[nodiscard]] Result<> drop();
    [[nodiscard]] Result<> restore(std::uint64_t batch);
    /// More than the redo ring holds.
    [[nodiscard]] Result<> write_too_much();
    /// Everything that a source would have to send if it knew nothing.
    [[nodiscard]] Result<> write_all();

    [[nodiscard]] Images disks() const;

    [[nodiscard]] std::uint64_t next_batch() const { return next_; }

    Machine machine;
    CrashDisk file;
    CrashDisk first;
    CrashDisk second;
    std::unique_ptr<RedoJournal> journal;
    std::map<std::uint64_t, Images> images;  ///< after each batch
    std::map<std::uint64_t, BatchMark> marks;
    std::set<std::uint64_t> allowed;  ///< batches that the disks may be at after a crash
    bool may_be_direct = true;
    std::uint64_t crossings = 0;  ///< how often a batch was too large

  private:
    struct Sent {
        std::uint64_t batch = 0;
        RecordEntry range;
        Bytes data;
    };

    [[nodiscard]] Result<> act(std::uint64_t choice);
    [[nodiscard]] Result<> send(Sent frame);
    [[nodiscard]] BatchMark mark(bool is_point);
    void put(Images& out, const Sent& frame) const;

    SeededRandom random_;
    Images committed_;
    std::vector<Sent> open_;
    std::uint64_t next_ = 1;
    bool owes_all_ = false;  ///< frames that nobody committed are on the disks
};

}  // namespace drover::replicator::testing
