/// Any bytes as an orchestrator's message: refused, or a value with one canonical encoding.
#include "base/assert.h"
#include "schemas/codec.h"

using namespace drover;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto message = decode_orchestrator_message(ByteView(data, size));
    if (!message) return 0;
    const Bytes canonical = encode(*message);
    if (canonical.size() > message_bytes_max) return 0;
    const auto again = decode_orchestrator_message(canonical);
    DROVER_ASSERT(again.has_value());
    DROVER_ASSERT(encode(*again) == canonical);
    return 0;
}
