/// The source's bulk connections. One is used by the caller's thread, as it is; of several, each
/// has a thread and two loads of its own, one that is filled while the other is sent:
///
///   send ─► cut into stripes ─► load of the stripe's lane ─► its thread: hash, pack, link
///
/// Within a lane frames keep their order, and what covers the same bytes is in the same lane.
/// Everything is called by one thread.
#pragma once

#include "base/threads.h"
#include "replicator/frame_sender.h"

#include <memory>
#include <optional>
#include <vector>

namespace drover::replicator {

struct BulkLane {
    wire::Link& link;                         ///< its hello was sent
    std::unique_ptr<BulkPacker> packer = {};  ///< null for raw data only
};

class SourceLanes {
  public:
    /// As many as the target agreed to, in their order. The links outlive it.
    explicit SourceLanes(std::vector<BulkLane> lanes);
    /// Of several connections ends those: a thread may be waiting for one.
    ~SourceLanes();
    SourceLanes(const SourceLanes&) = delete;
    SourceLanes& operator=(const SourceLanes&) = delete;

    /// What reading the data took that is sent next, and the limit that all is sent under.
    void note_read(std::int64_t ms, std::uint64_t limit_bytes_per_s);

    /// As FrameSender::send(), but with several lanes the links have taken nothing of it yet.
    /// Blocks while the lane's load is full. Errors: of any link, then of every later call.
    [[nodiscard]] Result<> send(FrameHeader header, ByteView content);
    /// Before the caller waits for anything: small frames may wait for others until then.
    [[nodiscard]] Result<> flush();
    /// Once the links have taken all that was sent.
    [[nodiscard]] Result<> settle();
    /// After settle(): the frames since the last call.
    [[nodiscard]] SentFrames take_frames();
    /// What the links took since the last call.
    [[nodiscard]] std::uint64_t take_wire_bytes();

    /// Of each of a lane's two loads: what is not sent yet takes no more memory than that.
    static constexpr std::size_t load_bytes_max = frame_raw_bytes_max;

  private:
    struct Load {
        struct Part {
            FrameHeader header;
            std::size_t length = 0;
        };

        std::vector<Part> parts;
        Bytes content;  ///< of the parts, back to back
        std::int64_t read_ms = 0;
        std::uint64_t limit_bytes_per_s = 0;
    };

    struct Lane {
        explicit Lane(FrameSender ready)
            : sender(std::move(ready)) {}

        FrameSender sender;  ///< of the thread while it is busy
        Load filling;
        bool is_busy = false;
        std::uint64_t wire_bytes = 0;
        Thread thread;
    };

    [[nodiscard]] Result<> put(Lane& lane, const FrameHeader& header, ByteView piece);
    void run(Lane& lane);
    [[nodiscard]] static Result<> send_load(FrameSender& sender, const Load& load);

    std::int64_t read_ms_ = 0;
    std::uint64_t limit_bytes_per_s_ = 0;
    Mutex mutex_;
    Condition changed_;
    std::vector<std::unique_ptr<Lane>> lanes_;  ///< what is in them is guarded
    std::optional<Error> error_;
    bool stopped_ = false;
};

}  // namespace drover::replicator
