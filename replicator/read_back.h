/// The target's proof by reading back: what a session wrote and flushed is read from the disks
/// again, on a thread of its own behind the acknowledgements, and must be what the source read.
/// Nothing is dropped: if too much waits, writing waits.
///
///   bulk thread     begin_write ─► disk.write ─► wrote ─┐
///   control thread  flush ─► flushed(batch) ────────────┼─► queue ─► own thread: read, compare
///                   facts, finish ◄─────────────────────┴── verified batch, ranges that differ
///
/// What differs stays so until the source has sent it again. One object a session: what a session
/// leaves unread, its source sends again (docs/adr/0014-equality-by-reading-back.md).
#pragma once

#include "base/threads.h"
#include "replicator/aligned_buffer.h"
#include "replicator/device.h"
#include "replicator/disk_hash.h"
#include "replicator/peer_message.h"
#include "replicator/read_back_queue.h"

#include <atomic>
#include <optional>

namespace drover::replicator {

/// What is known from one session to the next, as long as the process lives.
struct ReadBackMemory {
    /// Everything up to this batch was read back and was right; 0: nothing is known.
    std::atomic<std::uint64_t> verified_batch = 0;
    std::atomic<std::uint64_t> unverified_bytes = 0;
};

struct ReadBackLimits {
    /// Flushed and not read. Also the most that may differ before the disk is given up.
    std::uint64_t waiting_bytes_max = 256U << 20;
    /// Written and not flushed: no source that keeps to its own limit of a batch gets there.
    std::uint64_t open_bytes_max = 1U << 30;
};

class ReadBack {
  public:
    /// `sizes_bytes`: of the source's disks. Disks and memory outlive it.
    ReadBack(std::vector<BlockDevice*> disks, std::vector<std::uint64_t> sizes_bytes,
             ReadBackMemory& memory, const ReadBackLimits& limits = {});
    ~ReadBack();  ///< after end()
    ReadBack(const ReadBack&) = delete;
    ReadBack& operator=(const ReadBack&) = delete;

    /// Before a frame is written: blocks while too much waits, then forgets what was known of the
    /// range. Errors: invalid (not on whole blocks, too much without a commit), io
    /// "read_back_differs".
    [[nodiscard]] Result<> begin_write(const FrameHeader& frame);
    /// The frame was written. `hashes`: hashes_of() it.
    void wrote(const FrameHeader& frame, std::shared_ptr<const ExtentHashes> hashes);
    /// Every disk was flushed after the frames of this batch were written.
    void flushed(std::uint64_t batch);
    /// Something was found to differ that this batch does not repair.
    [[nodiscard]] bool doubts(std::uint64_t batch);

    [[nodiscard]] ReadBackFound facts();
    /// facts() once everything flushed was read. Calls `between` now and then. Blocks. Errors:
    /// timed_out, and whatever `between` returns.
    [[nodiscard]] Result<ReadBackFound> finish(const Between& between);
    /// Forgets what was not flushed, reads the rest for at most `ms`, and ends the thread. Nothing
    /// writes any more.
    void end(std::int64_t ms);

  private:
    using Span = std::vector<UnreadRange>;
    using Found = std::vector<std::vector<ByteRange>>;  ///< what differs, for each range of a span

    void run();
    [[nodiscard]] std::vector<Found> read(const std::vector<Span>& spans);
    [[nodiscard]] std::vector<ByteRange> read_alone(const UnreadRange& range);
    void take(const Span& span, const Found& found);
    [[nodiscard]] ReadBackFound facts_now() const;
    void publish();

    const std::vector<BlockDevice*> disks_;
    const std::vector<std::uint64_t> sizes_bytes_;
    ReadBackMemory& memory_;
    const ReadBackLimits limits_;
    std::optional<AlignedBuffer> buffer_;  ///< of the thread; as large as the largest read so far
    std::uint64_t buffer_bytes_ = 0;

    Mutex mutex_;
    Condition changed_;
    ReadBackQueue queue_;
    /// A batch was flushed: its source has dealt with what earlier sessions left unread.
    bool has_flushed_ = false;
    bool stopped_ = false;
    std::uint64_t read_bytes_ = 0;
    std::uint64_t differed_bytes_ = 0;
    std::uint64_t repaired_in_ = 0;  ///< the last batch that wrote while something differed
    Thread thread_;
};

}  // namespace drover::replicator
