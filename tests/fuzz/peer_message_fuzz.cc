/// Any bytes as a message between two agents: refused, or a value with one canonical encoding.
#include "base/assert.h"
#include "replicator/peer_codec.h"

using namespace drover;
using namespace drover::replicator;

namespace {

/// Text of errors is cut on writing, so values may differ once; bytes may not.
template <class Decode>
void check(ByteView bytes, Decode decode) {
    const auto value = decode(bytes);
    if (!value) return;
    const Bytes canonical = encode(*value);
    const auto again = decode(canonical);
    DROVER_ASSERT(again.has_value());
    DROVER_ASSERT(encode(*again) == canonical);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes(data, size);
    check(bytes, decode_source_message);
    check(bytes, decode_target_message);
    check(bytes, decode_bulk_hello);
    return 0;
}
