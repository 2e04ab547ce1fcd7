/// Frames of one bulk link that were checked and wait for others, so that a target's disk is
/// written at depth. All are of one batch and one disk, and ascend without overlapping: two frames
/// for the same bytes are never in it together, so the later one is written later.
///
///   follows? ─► add ─► … ─► write: all at once ─► clear
///
/// One thread at a time.
#pragma once

#include "replicator/aligned_buffer.h"
#include "replicator/device.h"
#include "replicator/frame.h"
#include "replicator/read_back_queue.h"

#include <memory>
#include <optional>
#include <vector>

namespace drover::replicator {

class WriteWindow {
  public:
    struct Waiting {
        FrameHeader header;
        std::shared_ptr<const ExtentHashes> hashes;  ///< null if nothing is read back
    };

    /// Larger ones gain nothing from company.
    static constexpr std::uint32_t frame_bytes_max = 64U << 10;
    static constexpr std::uint64_t bytes_max = 1U << 20;

    [[nodiscard]] static bool is_for(const FrameHeader& header) {
        return header.kind == FrameKind::data && header.raw_length <= frame_bytes_max;
    }

    [[nodiscard]] bool is_empty() const { return waiting_.empty(); }

    /// False: what waits has to be written before this frame is looked at any further.
    [[nodiscard]] bool follows(const FrameHeader& header) const;
    /// A frame that is_for() it and follows. Takes a copy of the content, in aligned memory.
    void add(const FrameHeader& header, ByteView content,
             std::shared_ptr<const ExtentHashes> hashes);

    /// In order of arrival.
    [[nodiscard]] const std::vector<Waiting>& waiting() const { return waiting_; }

    /// Everything, to the disk that the frames are of. Errors: as BlockDevice::write_many().
    [[nodiscard]] Result<> write(BlockDevice& disk);
    void clear();

  private:
    std::optional<AlignedBuffer> memory_;
    std::uint64_t used_ = 0;
    std::vector<Waiting> waiting_;
    std::vector<WritePart> parts_;
};

}  // namespace drover::replicator
