#include "history/time_text.h"

#include <array>
#include <chrono>
#include <cstdio>

namespace drover::history {

namespace {

constexpr WallMicros micros_per_second = 1'000'000;

/// Reads exactly `digits` digits at `at` and moves on; nullopt if there are fewer.
std::optional<unsigned> take_number(std::string_view text, std::size_t& at, std::size_t digits) {
    if (at + digits > text.size()) return std::nullopt;
    unsigned value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
        const char c = text[at + i];
        if (c < '0' || c > '9') return std::nullopt;
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    at += digits;
    return value;
}

bool take(std::string_view text, std::size_t& at, char wanted) {
    if (at >= text.size() || text[at] != wanted) return false;
    ++at;
    return true;
}

/// ".123" as micros; 0 without a fraction.
std::optional<WallMicros> take_fraction(std::string_view text, std::size_t& at) {
    if (!take(text, at, '.')) return 0;
    WallMicros micros = 0;
    WallMicros unit = micros_per_second;
    std::size_t digits = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
        if (++digits > 6) return std::nullopt;
        unit /= 10;
        micros += unit * (text[at++] - '0');
    }
    if (digits == 0) return std::nullopt;
    return micros;
}

/// "Z" or "+hh:mm" as seconds east of UTC.
std::optional<int> take_offset(std::string_view text, std::size_t& at) {
    if (take(text, at, 'Z')) return 0;
    const bool east = take(text, at, '+');
    if (!east && !take(text, at, '-')) return std::nullopt;
    const auto hours = take_number(text, at, 2);
    if (!hours || *hours > 23 || !take(text, at, ':')) return std::nullopt;
    const auto minutes = take_number(text, at, 2);
    if (!minutes || *minutes > 59) return std::nullopt;
    const int seconds = static_cast<int>(*hours * 3600 + *minutes * 60);
    return east ? seconds : -seconds;
}

std::optional<std::chrono::sys_days> take_date(std::string_view text, std::size_t& at) {
    const auto year = take_number(text, at, 4);
    if (!year || !take(text, at, '-')) return std::nullopt;
    const auto month = take_number(text, at, 2);
    if (!month || !take(text, at, '-')) return std::nullopt;
    const auto day = take_number(text, at, 2);
    if (!day) return std::nullopt;
    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                           std::chrono::month{*month}, std::chrono::day{*day}};
    if (!date.ok()) return std::nullopt;
    return std::chrono::sys_days{date};
}

}  // namespace

std::string rfc3339(WallMicros micros) {
    using std::chrono::floor;
    const std::chrono::sys_time<std::chrono::microseconds> time{std::chrono::microseconds{micros}};
    const auto days = floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{days};
    const std::chrono::hh_mm_ss clock{time - days};
    std::array<char, 64> out{};
    const int length = std::snprintf(
        out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%06dZ",
        static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
        static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
        static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
        static_cast<int>(clock.subseconds().count()));
    return {out.data(), static_cast<std::size_t>(length)};
}

std::optional<WallMicros> micros_from_rfc3339(std::string_view text) {
    std::size_t at = 0;
    const auto date = take_date(text, at);
    if (!date || !take(text, at, 'T')) return std::nullopt;
    const auto hours = take_number(text, at, 2);
    if (!hours || *hours > 23 || !take(text, at, ':')) return std::nullopt;
    const auto minutes = take_number(text, at, 2);
    if (!minutes || *minutes > 59 || !take(text, at, ':')) return std::nullopt;
    const auto seconds = take_number(text, at, 2);
    if (!seconds || *seconds > 59) return std::nullopt;
    const auto fraction = take_fraction(text, at);
    if (!fraction) return std::nullopt;
    const auto offset = take_offset(text, at);
    if (!offset || at != text.size()) return std::nullopt;
    const WallMicros day_seconds = WallMicros{date->time_since_epoch().count()} * 86'400;
    const WallMicros time_seconds = *hours * 3600 + *minutes * 60 + *seconds;
    return (day_seconds + time_seconds - *offset) * micros_per_second + *fraction;
}

}  // namespace drover::history
