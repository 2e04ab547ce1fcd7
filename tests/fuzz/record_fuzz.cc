/// Any bytes as a stored event or as a slot of the head file: refused, or exactly what encoding
/// gives back.
#include "base/assert.h"
#include "eventlog/head_file.h"
#include "eventlog/record.h"
#include "eventlog/rocksdb_layout.h"

using namespace drover;
using namespace drover::eventlog;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const ByteView bytes(data, size);
    const Bytes given(data, data + size);
    if (const auto record = decode_record(bytes)) {
        DROVER_ASSERT(encode_record(*record) == given);
        DROVER_ASSERT(stored_hash(bytes) == record_hash(*record));
    }
    if (const auto slot = decode_head_slot(bytes))
        DROVER_ASSERT(decode_head_slot(encode_head_slot(*slot)) == slot);
    if (const auto meta = decode_meta(bytes)) DROVER_ASSERT(meta_value(*meta) == given);
    const std::size_t key_bytes = size < 16 ? size : 16;
    const auto answer = decode_answer(bytes.first(key_bytes), bytes.subspan(key_bytes));
    if (answer) DROVER_ASSERT(answer_value(*answer) == Bytes(given.begin() + 16, given.end()));
    return 0;
}
