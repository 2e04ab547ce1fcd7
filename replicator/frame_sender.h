/// The sending end of one bulk connection: data is cut into frames, hashed, packed and handed to
/// the link, and counted as the COMMIT has to name it. One thread at a time.
#pragma once

#include "replicator/batch_digest.h"
#include "replicator/bulk_packer.h"
#include "replicator/frame.h"
#include "wire/link.h"

#include <memory>

namespace drover::replicator {

/// What the link took.
struct SentFrames {
    explicit SentFrames(bool is_ordered)
        : digest(is_ordered) {}

    std::uint64_t count = 0;
    BatchDigest digest;
};

class FrameSender {
  public:
    /// `packer`: null for raw data only. `is_ordered`: it is the only connection.
    FrameSender(wire::Link& link, std::unique_ptr<BulkPacker> packer, bool is_ordered)
        : link_(link),
          packer_(std::move(packer)),
          frames_(is_ordered) {}

    /// What reading the data took that is sent next, and the limit that it is sent under.
    void note_read(std::int64_t ms, std::uint64_t limit_bytes_per_s);

    /// All of `content`, which is of the header's batch, disk and kind and begins at its offset.
    /// Small frames may wait for others until flush(). Errors: those of the link.
    [[nodiscard]] Result<> send(FrameHeader header, ByteView content);

    [[nodiscard]] Result<> flush() { return link_.flush(); }

    /// Of the open batch; that it ended is for the caller to say.
    [[nodiscard]] SentFrames& frames() { return frames_; }

    /// Since the last call: frames with their headers.
    [[nodiscard]] std::uint64_t take_wire_bytes() { return std::exchange(wire_bytes_, 0); }

    [[nodiscard]] wire::Link& link() { return link_; }

  private:
    [[nodiscard]] Result<> send_frame(FrameHeader header, ByteView content);

    wire::Link& link_;
    std::unique_ptr<BulkPacker> packer_;
    SentFrames frames_;
    std::uint64_t wire_bytes_ = 0;
};

}  // namespace drover::replicator
