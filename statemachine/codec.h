/// Event <-> canonical Cap'n Proto bytes (schemas/event.capnp). Pure.
#pragma once

#include "base/bytes.h"
#include "statemachine/event.h"

namespace drover::statemachine {

/// The kind_version that encode_event writes for every kind.
constexpr std::uint16_t event_version = 1;

[[nodiscard]] Bytes encode_event(const Event& event);

/// Errors: corrupt for unreadable bytes; unsupported ("unknown_event") for a kind or version that
/// this binary does not know: replay then refuses to start, it never skips.
[[nodiscard]] Result<Event> decode_event(std::uint16_t kind, std::uint16_t kind_version,
                                         ByteView payload);

/// One JSON object for people: {"event":"SourceFenced", ...fields}. Not stored.
[[nodiscard]] std::string event_json(const Event& event);

}  // namespace drover::statemachine
