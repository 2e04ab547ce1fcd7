/// Batches on their way to the target: frames on the bulk links, COMMIT and acknowledgement on the
/// control link. At most one batch is open and one is committed and unacknowledged, so that two
/// pending maps are enough: batch k uses map k mod 2, and its acknowledgement clears that map only.
///
///   send(extent)… ─► commit(): await ack of k-1, send COMMIT k, open k+1 ─► … ─► finish(): await
///   ack
#pragma once

#include "replicator/peer_channel.h"
#include "replicator/source_lanes.h"
#include "replicator/source_state.h"

#include <functional>
#include <optional>

namespace drover::replicator {

class BatchStream {
  public:
    /// Told after each acknowledgement what the target has read back. Empty: it is not asked.
    using Listener = std::function<void(const ReadBackFound&)>;

    /// Numbering goes on after the state's acked batch.
    BatchStream(SourceLanes& lanes, PeerChannel& control, SourceState& state,
                std::vector<std::uint64_t> mirrored_upto, Listener read_back = {})
        : lanes_(lanes),
          control_(control),
          state_(state),
          read_back_(std::move(read_back)),
          batch_(state.acked_batch() + 1),
          mirrored_upto_(std::move(mirrored_upto)),
          mirrored_sent_(mirrored_upto_) {}

    struct Sent {
        std::uint64_t payload_bytes = 0;
        std::uint64_t zero_bytes = 0;
        /// Frames with their headers that the links took since the last call: with several lanes,
        /// of other data.
        std::uint64_t wire_bytes = 0;
    };

    /// What reading the data took that is sent next, and the limit that it is sent under.
    void note_read(std::int64_t ms, std::uint64_t limit_bytes_per_s) {
        lanes_.note_read(ms, limit_bytes_per_s);
    }

    /// Sends what was read at `offset` as data and zero frames of the open batch. Counts what went
    /// over the wire.
    [[nodiscard]] Result<Sent> send(std::uint32_t disk, std::uint64_t offset, ByteView data);

    /// Small frames may wait for others until this is called; before the caller waits for anything.
    [[nodiscard]] Result<> flush();

    [[nodiscard]] std::uint64_t open_batch() const { return batch_; }

    [[nodiscard]] std::uint64_t open_bytes() const { return open_bytes_; }

    /// What the next COMMIT will say about a disk.
    void set_mirrored_upto(std::size_t disk, std::uint64_t bytes) { mirrored_upto_[disk] = bytes; }

    /// The open batch, as it is now, ends in a point. Forgotten when more is sent.
    void mark_point(WallMicros taken_micros, PointKind kind = PointKind::crash) {
        point_micros_ = taken_micros;
        point_kind_ = kind;
    }

    /// Ends the open batch and opens the next. Waits for the acknowledgement of its predecessor.
    [[nodiscard]] Result<> commit();
    /// Waits for the acknowledgement of the committed batch, if there is one.
    [[nodiscard]] Result<> await_ack();
    /// Commits what is open, if that would tell the target anything new (or `even_if_empty`; that
    /// it has a point is new if the last COMMIT did not say so), and
    /// waits until everything is acknowledged.
    [[nodiscard]] Result<> finish(bool even_if_empty = false);

  private:
    std::uint64_t count_wire_bytes();

    SourceLanes& lanes_;
    PeerChannel& control_;
    SourceState& state_;
    Listener read_back_;
    std::uint64_t batch_;
    std::uint64_t open_bytes_ = 0;
    std::uint64_t unpaid_wire_bytes_ = 0;  ///< counted, but not in what a send() returned
    std::vector<std::uint64_t> mirrored_upto_;
    std::vector<std::uint64_t> mirrored_sent_;  ///< as of the last COMMIT
    std::optional<Commit> unacked_;
    std::optional<WallMicros> point_micros_;
    PointKind point_kind_ = PointKind::crash;  ///< if there is one
    bool ended_in_point_ = false;              ///< the last COMMIT
};

}  // namespace drover::replicator
