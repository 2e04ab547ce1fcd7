/// Plain peer messages <-> canonical Cap'n Proto bytes, under the same rules against hostile input
/// as schemas/codec.h. Pure; thread-safe.
#pragma once

#include "replicator/peer_message.h"

namespace drover::replicator {

[[nodiscard]] Bytes encode(const SourceMessage& message);
[[nodiscard]] Bytes encode(const TargetMessage& message);
[[nodiscard]] Bytes encode(const BulkHello& hello);

/// Errors: invalid "bad_message".
[[nodiscard]] Result<SourceMessage> decode_source_message(ByteView bytes);
[[nodiscard]] Result<TargetMessage> decode_target_message(ByteView bytes);
[[nodiscard]] Result<BulkHello> decode_bulk_hello(ByteView bytes);

}  // namespace drover::replicator
