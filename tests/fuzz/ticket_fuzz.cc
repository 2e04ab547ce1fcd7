/// Any bytes as a stored ticket, spec, effect or report: refused, or a value with one canonical
/// encoding.
#include "base/assert.h"
#include "schemas/codec.h"

using namespace drover;

namespace {

template <class Decode, class Encode>
void check(ByteView bytes, Decode decode_value, Encode encode_value) {
    const auto value = decode_value(bytes);
    if (!value) return;
    const Bytes canonical = encode_value(*value);
    const auto again = decode_value(canonical);
    DROVER_ASSERT(again.has_value());
    DROVER_ASSERT(*again == *value);
    DROVER_ASSERT(encode_value(*again) == canonical);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes(data, size);
    check(bytes, decode_ticket, encode_ticket);
    check(bytes, decode_spec, encode_spec);
    check(bytes, decode_effect, encode_effect);
    // Text of findings and errors is cut on writing, so values may differ once; bytes may not.
    const auto report = decode_report(bytes);
    if (report) {
        const Bytes canonical = encode_report(*report);
        const auto again = decode_report(canonical);
        DROVER_ASSERT(again.has_value());
        DROVER_ASSERT(encode_report(*again) == canonical);
    }
    return 0;
}
