#include "cli/units.h"

#include <array>
#include <cstdio>
#include <limits>
#include <optional>

namespace drover::cli {
namespace {

constexpr std::uint64_t duration_s_max = 10ULL * 365 * 86400;
constexpr std::size_t fraction_digits_max = 6;

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array<Unit, 9> size_units{{{"B", 1},
                                          {"KiB", 1ULL << 10},
                                          {"MiB", 1ULL << 20},
                                          {"GiB", 1ULL << 30},
                                          {"TiB", 1ULL << 40},
                                          {"KB", 1'000},
                                          {"MB", 1'000'000},
                                          {"GB", 1'000'000'000},
                                          {"TB", 1'000'000'000'000}}};

constexpr std::array<Unit, 4> duration_units{{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// Takes the leading digits off `text`. nullopt without a digit or above 64 bits.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t value = 0;
    std::size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits])) {
        const auto digit = static_cast<std::uint64_t>(text[digits] - '0');
        if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) return std::nullopt;
        value = value * 10 + digit;
        ++digits;
    }
    if (digits == 0) return std::nullopt;
    text.remove_prefix(digits);
    return value;
}

/// Takes ".25" off `text` as 25 and the power of ten 100; no point is 0 and 1.
struct Fraction {
    std::uint64_t value = 0;
    std::uint64_t scale = 1;
};

std::optional<Fraction> take_fraction(std::string_view& text) {
    Fraction fraction;
    if (text.empty() || text.front() != '.') return fraction;
    text.remove_prefix(1);
    const std::size_t before = text.size();
    const auto value = take_number(text);
    const std::size_t digits = before - text.size();
    if (!value || digits > fraction_digits_max) return std::nullopt;
    fraction.value = *value;
    for (std::size_t i = 0; i < digits; ++i) fraction.scale *= 10;
    return fraction;
}

std::optional<std::uint64_t> multiplied(std::uint64_t a, std::uint64_t b) {
    std::uint64_t out = 0;
    if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
    return out;
}

Error bad_size(std::string_view text) {
    return Error{
        Errc::invalid, "bad_size",
        "'" + std::string(text) + "' is not a size; write for example 512MiB, 1.5GiB or 4096B",
        "nothing was sent", "correct the value and run the command again"};
}

Error bad_duration(std::string_view text) {
    return Error{
        Errc::invalid, "bad_duration",
        "'" + std::string(text) + "' is not a duration; write for example 90s, 10m, 1h30m or 5d",
        "nothing was sent", "correct the value and run the command again"};
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    std::string_view rest = text;
    const auto whole = take_number(rest);
    if (!whole) return bad_size(text);
    const auto fraction = take_fraction(rest);
    if (!fraction) return bad_size(text);
    for (const Unit& unit : size_units) {
        if (unit.name != rest) continue;
        const auto whole_bytes = multiplied(*whole, unit.factor);
        const auto part = multiplied(fraction->value, unit.factor);
        if (!whole_bytes || !part || *part % fraction->scale != 0) return bad_size(text);
        const std::uint64_t part_bytes = *part / fraction->scale;
        if (*whole_bytes > std::numeric_limits<std::uint64_t>::max() - part_bytes) {
            return bad_size(text);
        }
        return *whole_bytes + part_bytes;
    }
    return bad_size(text);
}

Result<std::uint64_t> parse_rate(std::string_view text) {
    if (text == "unlimited") return std::uint64_t{0};
    if (text.ends_with("/s")) text.remove_suffix(2);
    return parse_size(text);
}

Result<std::uint64_t> parse_duration(std::string_view text) {
    std::string_view rest = text;
    std::uint64_t seconds = 0;
    std::size_t next_unit = 0;
    if (rest.empty()) return bad_duration(text);
    while (!rest.empty()) {
        const auto number = take_number(rest);
        if (!number || rest.empty()) return bad_duration(text);
        while (next_unit < duration_units.size() &&
               duration_units[next_unit].name[0] != rest.front()) {
            ++next_unit;
        }
        if (next_unit == duration_units.size()) return bad_duration(text);
        const auto part = multiplied(*number, duration_units[next_unit].factor);
        if (!part || *part > duration_s_max - seconds) return bad_duration(text);
        seconds += *part;
        ++next_unit;
        rest.remove_prefix(1);
    }
    return seconds;
}

std::string size_text(std::uint64_t bytes) {
    constexpr std::array<const char*, 6> names{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    if (bytes < 1024) return std::to_string(bytes) + " B";
    double value = static_cast<double>(bytes) / 1024;
    std::size_t name = 0;
    // 1023.95 would be printed as "1024.0".
    while (value >= 1023.95 && name + 1 < names.size()) {
        value /= 1024;
        ++name;
    }
    std::array<char, 32> line{};
    std::snprintf(line.data(), line.size(), "%.1f %s", value, names[name]);
    return line.data();
}

std::string duration_text(std::uint64_t seconds) {
    if (seconds == 0) return "0s";
    std::string out;
    for (const Unit& unit : duration_units) {
        if (const std::uint64_t count = seconds / unit.factor; count > 0) {
            out += std::to_string(count) + std::string(unit.name);
            seconds %= unit.factor;
        }
    }
    return out;
}

}  // namespace drover::cli
