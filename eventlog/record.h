/// The stored form of one event: sizes, and the hash over stored bytes. The picture is in
/// format.md. Pure functions; thread-safe.
#pragma once

#include "eventlog/log.h"

namespace drover::eventlog {

/// Fixed fields before the actor, and the two hashes after the payload.
constexpr std::size_t record_header_bytes = 112;
constexpr std::size_t record_trailer_bytes = 64;
constexpr std::size_t record_bytes_max =
    record_header_bytes + actor_bytes_max + payload_bytes_max + record_trailer_bytes;

/// The chain hash that `stored` should carry, computed from the bytes before it. `stored` has
/// passed decode_record.
[[nodiscard]] Hash stored_hash(ByteView stored);

}  // namespace drover::eventlog
