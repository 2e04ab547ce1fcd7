/// What becomes of data on its way to the bulk connection: cut into pieces, each as it is or by the
/// codec that the policy finds it worth. One object a connection; used by its sender's thread.
#pragma once

#include "base/clock.h"
#include "replicator/bulk_codec.h"

namespace drover::replicator {

/// What the operator wants; a codec that the target does not know is never used.
enum class Compression : std::uint8_t { automatic = 0, none = 1, lz4 = 2, zstd = 3 };

/// What a source that wants this names in its hello.
[[nodiscard]] std::vector<std::string> codec_capabilities(Compression wanted);

class BulkPacker {
  public:
    /// `codecs`: that both sides named.
    BulkPacker(BulkCodecs codecs, Compression wanted, Clock& clock)
        : codecs_(codecs),
          wanted_(wanted),
          clock_(clock),
          policy_(codecs) {}

    struct Packed {
        FrameCodec codec = FrameCodec::raw;
        ByteView payload;  ///< until the next call; `raw` itself if it is not packed
    };

    /// Where the next piece of data ends. A decision is for so much at most.
    [[nodiscard]] std::size_t piece_bytes() const;
    [[nodiscard]] Packed pack(ByteView raw);
    /// The link took the frame of the last pack().
    void note_sent(std::size_t wire_bytes, std::int64_t send_ms);

    void note_read(std::int64_t ms) { policy_.note_read(ms); }

    /// 0: none.
    void set_limit(std::uint64_t bytes_per_s) { limit_bytes_per_s_ = bytes_per_s; }

    static constexpr std::size_t packed_piece_bytes = 256U << 10;

  private:
    [[nodiscard]] bool may_pack() const;
    [[nodiscard]] BulkMethod choose(ByteView raw);

    const BulkCodecs codecs_;
    const Compression wanted_;
    Clock& clock_;
    CompressionPolicy policy_;
    BulkCompressor compressor_;
    std::uint64_t limit_bytes_per_s_ = 0;
    CompressionPolicy::Piece piece_;
};

}  // namespace drover::replicator
