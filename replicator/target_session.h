/// One connection of a source: a control link, answered in order, and bulk links whose frames are
/// checked and written in place.
///
///   lane's thread:  frame ─► check, wait for the batch before it, unpack ─► window ─► write ─► account
///   control thread: Commit{n frames} ─► wait for the account ─► flush ─► checkpoint ─► Committed
///   behind them:    read_back.h
#pragma once

#include "base/clock.h"
#include "base/threads.h"
#include "replicator/batch_account.h"
#include "replicator/bulk_codec.h"
#include "replicator/peer_message.h"
#include "replicator/target_lanes.h"
#include "replicator/target_state.h"
#include "replicator/write_window.h"
#include "wire/link.h"

#include <atomic>
#include <memory>

namespace drover::replicator {

class TargetSession {
  public:
    /// `hello`: of the source, admitted. `state` outlives the session.
    TargetSession(TargetState& state, const Uuid& id, std::unique_ptr<wire::Link> control,
                  const PeerHello& hello, Clock& clock);
    ~TargetSession() = default;  ///< after run()

    [[nodiscard]] const Uuid& id() const { return id_; }

    /// The first message on the control link, before run(). A failure shows in run().
    void welcome(const PeerWelcome& message);
    /// Answers the control link until it ends, then ends the bulk links: when this returns, nothing
    /// writes the disks any more. Call once, on a thread of its own.
    void run();

    /// One of the bulk links that the welcome named; any other is dropped.
    void take_bulk(const BulkHello& hello, std::unique_ptr<wire::Link> link) {
        lanes_.add(hello, std::move(link));
    }

    /// Makes run() return soon. From any thread.
    void abort();
    /// Blocks until run() has returned.
    void wait_ended();

  private:
    [[nodiscard]] Result<> send(const TargetMessage& message);
    [[nodiscard]] Result<> catch_up();
    [[nodiscard]] Result<> answer(const SourceMessage& message);
    [[nodiscard]] Result<> answer_commit(const Commit& commit);
    [[nodiscard]] Result<> acknowledge(std::uint64_t batch);
    [[nodiscard]] Result<> answer_hashes(const RangeQuestion& range);
    [[nodiscard]] Result<> answer_leaves(const RangeQuestion& range);
    [[nodiscard]] Result<> answer_read_back(const ReadBackWanted& question);
    [[nodiscard]] Result<> check_settled(const RangeQuestion& range);
    [[nodiscard]] Result<> answer_holding();
    [[nodiscard]] Result<> check_question(const RangeQuestion& range,
                                          std::uint64_t chunk_bytes_max) const;
    [[nodiscard]] Result<> wait_for_frames(const Commit& commit);
    [[nodiscard]] Result<> say_working();
    [[nodiscard]] Result<> apply(unsigned lane, ByteView bytes);
    [[nodiscard]] Result<> admit(const FrameHeader& header);
    [[nodiscard]] Result<bool> write(const Frame& frame, WriteWindow& window,
                                     const std::shared_ptr<const ExtentHashes>& hashes);
    /// Everything that waits there.
    [[nodiscard]] Result<> write_window(WriteWindow& window);
    void account(std::span<const WriteWindow::Waiting> written);
    /// Tells the source why, and stops taking its data.
    void fail(const Error& error);
    void lose_lanes();
    [[nodiscard]] bool is_aborted();

    struct Intake {
        BulkDecompressor unpacker;
        WriteWindow window;
    };

    TargetState& state_;
    const Uuid id_;
    const std::vector<std::uint64_t> sizes_bytes_;
    const BulkCodecs codecs_;      ///< that the source may use: it knows them, and so do we
    std::vector<Intake> intakes_;  ///< one a lane, of its thread
    Clock& clock_;
    std::unique_ptr<wire::Link> control_;
    std::unique_ptr<ReadBack> read_back_;  ///< null: the source knows nothing of it
    std::atomic<SteadyMillis> spoke_ms_ = 0;

    Mutex send_mutex_;      ///< one sender at a time on the control link
    bool refused_ = false;  ///< and the source was told why; guarded by send_mutex_

    Mutex mutex_;
    Condition changed_;
    BatchAccount account_;
    bool failed_ = false;  ///< no frame is taken any more
    bool aborted_ = false;
    bool ended_ = false;

    TargetLanes lanes_;  ///< last: its threads use everything else
};

}  // namespace drover::replicator
