/// Any bytes as a bulk frame or a checkpoint: refused, or something that is safe to use. The codecs
/// see what the bytes say, and also any payload behind a header that fits it: else few inputs would
/// get past the header.
#include "base/assert.h"
#include "replicator/bulk_codec.h"
#include "replicator/checkpoint.h"
#include "replicator/frame.h"

#include <algorithm>

using namespace drover;
using namespace drover::replicator;

namespace {

constexpr std::uint64_t sizes[] = {1U << 20, (3U << 20) + 777, ~std::uint64_t{0}};

void check_header(const Frame& frame, ByteView bytes, BulkCodecs codecs) {
    const FrameHeader& header = frame.header;
    DROVER_ASSERT(header.disk < std::size(sizes));
    DROVER_ASSERT(header.raw_length > 0 && header.raw_length <= frame_raw_bytes_max);
    DROVER_ASSERT(header.offset <= sizes[header.disk] - header.raw_length);
    DROVER_ASSERT(frame.payload.size() == header.stored_length);
    DROVER_ASSERT(header.stored_length <= header.raw_length);
    DROVER_ASSERT(header.codec == FrameCodec::raw || header.stored_length < header.raw_length);
    DROVER_ASSERT(header.codec != FrameCodec::lz4 || codecs.lz4);
    DROVER_ASSERT(header.codec != FrameCodec::zstd || codecs.zstd);
    const auto encoded = encode_frame_header(header);
    DROVER_ASSERT(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
}

void check_unpacked(const Frame& packed) {
    BulkDecompressor decompressor;
    const auto frame = decompressor.unpack(packed);
    if (!frame) {
        DROVER_ASSERT(frame.error().id() == "frame_corrupt");
        return;
    }
    DROVER_ASSERT(frame->header == packed.header);
    const bool is_data = packed.header.kind == FrameKind::data;
    DROVER_ASSERT(frame->payload.size() == (is_data ? packed.header.raw_length : 0));
    const bool is_intact = check_content(*frame).has_value();
    if (is_data) DROVER_ASSERT(is_intact == (digest_of(frame->payload) == packed.header.digest));
}

/// The first three bytes choose codec and length, the rest is the payload.
void check_payload(ByteView bytes) {
    if (bytes.size() < 4) return;
    Frame frame;
    frame.header.codec = bytes[0] % 2 == 0 ? FrameCodec::lz4 : FrameCodec::zstd;
    frame.header.raw_length = std::uint32_t{1} + get_u16(bytes, 1);
    frame.payload = bytes.subspan(3);
    frame.header.stored_length = static_cast<std::uint32_t>(frame.payload.size());
    check_unpacked(frame);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes(data, size);
    for (const BulkCodecs codecs :
         {BulkCodecs{}, BulkCodecs{true, false}, BulkCodecs{true, true}}) {
        const auto frame = parse_frame(bytes, sizes, codecs);
        if (!frame) continue;
        check_header(*frame, bytes, codecs);
        check_unpacked(*frame);
    }
    check_payload(bytes);
    if (const auto checkpoint = decode_checkpoint(bytes)) {
        const Bytes again = encode_checkpoint(*checkpoint);
        DROVER_ASSERT(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    }
    return 0;
}
