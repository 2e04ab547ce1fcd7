/// Any bytes as a bulk frame or a checkpoint: refused, or something that is safe to use.
#include "base/assert.h"
#include "replicator/checkpoint.h"
#include "replicator/frame.h"

using namespace drover;
using namespace drover::replicator;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes(data, size);
    const std::uint64_t sizes[] = {1U << 20, (3U << 20) + 777, ~std::uint64_t{0}};
    if (const auto frame = parse_frame(bytes, sizes)) {
        const FrameHeader& header = frame->header;
        DROVER_ASSERT(header.disk < std::size(sizes));
        DROVER_ASSERT(header.raw_length > 0 && header.raw_length <= frame_raw_bytes_max);
        DROVER_ASSERT(header.offset <= sizes[header.disk] - header.raw_length);
        DROVER_ASSERT(frame->payload.size() == header.stored_length);
        const auto encoded = encode_frame_header(header);
        DROVER_ASSERT(std::equal(encoded.begin(), encoded.end(), bytes.begin()));
        const bool is_intact = check_content(*frame).has_value();
        if (header.kind == FrameKind::data)
            DROVER_ASSERT(is_intact == (digest_of(frame->payload) == header.digest));
    }
    if (const auto checkpoint = decode_checkpoint(bytes)) {
        const Bytes again = encode_checkpoint(*checkpoint);
        DROVER_ASSERT(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    }
    return 0;
}
