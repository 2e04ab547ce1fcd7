/// Times of many operations, and what a table shows of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace drover::bench {

/// Microseconds of a clock that never goes back.
[[nodiscard]] double now_us();

/// Processor time that this process has used, in microseconds.
[[nodiscard]] double cpu_us();

/// Says what went wrong and ends the program: a benchmark that failed has no result.
[[noreturn]] void fail(const std::string& what);

/// The value below which `share` (0..1) of `values` lie; 0 for none.
[[nodiscard]] double quantile(std::vector<double> values, double share);

[[nodiscard]] inline double median(std::vector<double> values) {
    return quantile(std::move(values), 0.5);
}

/// "1234567" as "1,234,567".
[[nodiscard]] std::string grouped(double value);

/// Resident memory of this process, in bytes.
[[nodiscard]] std::uint64_t resident_bytes();

/// Middle time of one small write at the end of a file in `directory` with its fdatasync, in
/// microseconds: what every durable append here waits for.
[[nodiscard]] double fdatasync_us(const std::string& directory);

}  // namespace drover::bench
