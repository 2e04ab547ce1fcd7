/// RFC 3339 timestamps in UTC, for people and the API. Pure; thread-safe.
#pragma once

#include "base/clock.h"

#include <optional>
#include <string>
#include <string_view>

namespace drover::history {

/// "2026-11-23T02:10:00.123456Z"
[[nodiscard]] std::string rfc3339(WallMicros micros);

/// Accepts a fraction of up to six digits and an offset ("Z" or "+02:00"); nullopt for anything
/// else, dates that do not exist included. A time without a zone is refused: it would mean
/// something else on every host.
[[nodiscard]] std::optional<WallMicros> micros_from_rfc3339(std::string_view text);

}  // namespace drover::history
