/// The frame of the bulk connection: a header of 48 bytes, little-endian, then the payload.
///
///   0 batch u64 | 8 offset u64 | 16 disk u32 | 20 raw length u32 | 24 stored length u32
///   28 kind u8  | 29 codec u8  | 30 reserved u16 = 0             | 32 XXH3-128 of the raw data
///
/// Raw length is what the range holds, stored length what follows the header: as much for raw data,
/// less for a codec's, 0 for zero and discard. A parsed header is safe to use: every check against
/// the agreed sizes was made in 64-bit arithmetic before anything is allocated, decompressed or
/// written. Pure.
#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "replicator/digest.h"

#include <array>
#include <cstdint>
#include <span>

namespace drover::replicator {

enum class FrameKind : std::uint8_t {
    data = 0,
    zero = 1,    ///< the range reads as zeroes; no payload
    discard = 2  ///< as zero, and the target may give the space back
};

/// Of the payload: the raw data as it is, one LZ4 block, or one Zstandard frame that names its
/// content's size. Each by itself: nothing is kept from one frame to the next.
enum class FrameCodec : std::uint8_t { raw = 0, lz4 = 1, zstd = 2 };

/// What both sides know besides raw.
struct BulkCodecs {
    bool lz4 = false;
    bool zstd = false;

    bool operator==(const BulkCodecs&) const = default;
};

struct FrameHeader {
    std::uint64_t batch = 0;
    std::uint64_t offset = 0;  ///< bytes
    std::uint32_t disk = 0;    ///< index into the job's disks
    std::uint32_t raw_length = 0;
    std::uint32_t stored_length = 0;
    FrameKind kind = FrameKind::data;
    FrameCodec codec = FrameCodec::raw;
    Digest digest;

    bool operator==(const FrameHeader&) const = default;
};

constexpr std::size_t frame_header_bytes = 48;
constexpr std::uint32_t frame_raw_bytes_max = 1U << 20;

[[nodiscard]] std::array<std::uint8_t, frame_header_bytes> encode_frame_header(
    const FrameHeader& header);

struct Frame {
    FrameHeader header;
    ByteView payload;  ///< of the buffer given to parse_frame
};

/// `sizes_bytes`: of the job's disks; `codecs`: agreed in this session. Errors: invalid
/// "bad_frame". Does not look at the payload: unpack it (bulk_codec.h), then check its content.
[[nodiscard]] Result<Frame> parse_frame(ByteView bytes, std::span<const std::uint64_t> sizes_bytes,
                                        BulkCodecs codecs = {});

/// Checks the digest against the unpacked payload, or against zeroes. Errors: corrupt
/// "frame_corrupt".
[[nodiscard]] Result<> check_content(const Frame& frame);

/// Of a payload that is not what the source made: it may be damage on the way.
[[nodiscard]] Error frame_corrupt(const FrameHeader& header, const std::string& why);

}  // namespace drover::replicator
