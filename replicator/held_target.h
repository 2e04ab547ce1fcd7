/// The target's end of the comparison during the hold: its disks belong to their users, and are
/// only read here. Whatever would write is refused.
///
///   question ─► read (O_DIRECT) ─► which blocks were written, or are being written? ─► hash the
///   others ─► answer ─► rest as long as the reading took
///
/// The look comes after the read: a write that the read may have seen was issued before the look.
#pragma once

#include "base/clock.h"
#include "base/threads.h"
#include "replicator/device.h"
#include "replicator/peer_message.h"
#include "replicator/peer_server.h"

#include <list>
#include <memory>
#include <vector>

namespace drover::replicator {

/// In the capabilities of a hello and of its welcome: this session only compares.
constexpr const char* compare_capability = "compare.hold";

/// Who knows what the users wrote. Thread-safe.
class WrittenBlocks {
  public:
    virtual ~WrittenBlocks() = default;
    /// Success: all that was written until now is known. Errors: conflict ("change_map_lost").
    [[nodiscard]] virtual Result<> audit() = 0;
    /// False only if no write of these blocks was issued since the disks were let go.
    [[nodiscard]] virtual bool may_be_written(std::size_t disk, std::uint64_t first_block,
                                              std::uint64_t blocks) const = 0;
};

class HeldTarget final : public PeerServer {
  public:
    /// Everything outlives it. `disks`: read-only, as the ticket names them.
    HeldTarget(Ticket ticket, std::vector<std::unique_ptr<BlockDevice>> disks,
               WrittenBlocks& written, Clock& clock);

    ~HeldTarget() override { end(); }

    void serve_control(std::unique_ptr<wire::Link> link, Bytes hello) override;
    void serve_bulk(std::unique_ptr<wire::Link> link, Bytes hello) override;

    /// Ends all sessions, for good. Blocks while a read is under way.
    void end();

  private:
    struct Session {
        std::unique_ptr<wire::Link> link;
        Thread thread;
        bool finished = false;
    };

    void serve(wire::Link& link, const Bytes& hello);
    [[nodiscard]] Result<> greet(wire::Link& link, const Bytes& hello);
    [[nodiscard]] Result<> answer(wire::Link& link, const SourceMessage& message);
    [[nodiscard]] Result<> check_question(const CompareRange& question) const;
    [[nodiscard]] Result<RangeCompared> look(const CompareRange& question);
    void rest(std::int64_t ms);

    const Ticket ticket_;
    std::vector<std::unique_ptr<BlockDevice>> disks_;
    WrittenBlocks& written_;
    Clock& clock_;

    Mutex mutex_;
    Condition changed_;
    bool ended_ = false;
    std::list<Session> sessions_;
};

}  // namespace drover::replicator
