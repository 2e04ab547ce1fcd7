/// LZ4 and Zstandard for payloads of bulk frames. The raw length stands in the frame's header and
/// was checked there: decompression fills exactly that many bytes of a buffer of its own, whatever
/// the payload says, and takes no other memory.
#pragma once

#include "replicator/compression_policy.h"
#include "replicator/frame.h"

#include <memory>
#include <string>
#include <vector>

namespace drover::replicator {

/// Named by both sides in their capabilities. What only one names is not used.
constexpr const char* lz4_capability = "bulk.lz4";
constexpr const char* zstd_capability = "bulk.zstd";

[[nodiscard]] BulkCodecs codecs_in(const std::vector<std::string>& capabilities);

[[nodiscard]] FrameCodec codec_of(BulkMethod method);

/// One thread at a time. Allocates when it is first used.
class BulkCompressor {
  public:
    BulkCompressor();
    ~BulkCompressor();
    BulkCompressor(const BulkCompressor&) = delete;
    BulkCompressor& operator=(const BulkCompressor&) = delete;

    /// `raw` (at most a frame's) by a method other than raw. In memory of this object, until the
    /// next call; empty if it would not become shorter.
    [[nodiscard]] ByteView pack(BulkMethod method, ByteView raw);
    /// What part LZ4 leaves of a few blocks out of `raw`: 0..1.
    [[nodiscard]] double sample(ByteView raw);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// One thread at a time.
class BulkDecompressor {
  public:
    BulkDecompressor();
    ~BulkDecompressor();
    BulkDecompressor(const BulkDecompressor&) = delete;
    BulkDecompressor& operator=(const BulkDecompressor&) = delete;

    /// The frame (of parse_frame) with its raw data as payload, in page-aligned memory of this
    /// object until the next call. A frame that is not packed comes back as it is. Errors: corrupt
    /// "frame_corrupt": not one whole stream of its codec, or of another length than the header
    /// says.
    [[nodiscard]] Result<Frame> unpack(const Frame& frame);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace drover::replicator
