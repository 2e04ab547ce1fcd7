/// Sizes, rates and durations as people type and read them. Pure functions; thread-safe.
///
/// Strict on purpose: a unit is required, there is no space, no sign and no silent rounding,
/// because
/// "--outage-max 10" could mean seconds or minutes and the difference matters at night.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace drover::cli {

/// Bytes of "4096B", "64KiB", "1.5GiB", "100MB" (KiB, MiB, GiB, TiB are powers of 1024; KB, MB, GB,
/// TB of 1000). A fraction is allowed if it gives whole bytes. Errors: invalid ("bad_size").
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);

/// Bytes per second: as parse_size, with an optional "/s". "unlimited" is 0.
[[nodiscard]] Result<std::uint64_t> parse_rate(std::string_view text);

/// Seconds of "90s", "10m", "1h30m", "5d"; each unit at most once, in falling order.
/// Errors: invalid ("bad_duration"); at most 10 years.
[[nodiscard]] Result<std::uint64_t> parse_duration(std::string_view text);

/// "0 B", "512 B", "4.0 KiB", "1.5 GiB": one digit after the point, powers of 1024.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// "5d", "1h30m", "90s" is "1m30s", 0 is "0s".
[[nodiscard]] std::string duration_text(std::uint64_t seconds);

}  // namespace drover::cli
