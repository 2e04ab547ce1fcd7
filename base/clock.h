/// Time comes from outside: components take a Clock, tests and simulations pass their own.
#pragma once

#include <atomic>
#include <cstdint>

namespace drover {

/// Microseconds since 1970-01-01T00:00:00Z. May step; only for showing to people and for windows.
using WallMicros = std::int64_t;
/// Milliseconds on a clock that never steps and counts suspend (CLOCK_BOOTTIME). For deadlines.
using SteadyMillis = std::int64_t;

class Clock {
  public:
    virtual ~Clock() = default;
    [[nodiscard]] virtual WallMicros wall_micros() const = 0;
    [[nodiscard]] virtual SteadyMillis steady_ms() const = 0;
};

/// Thread-safe.
class SystemClock final : public Clock {
  public:
    [[nodiscard]] WallMicros wall_micros() const override;
    [[nodiscard]] SteadyMillis steady_ms() const override;
};

/// Moves only when told to. Thread-safe.
class ManualClock final : public Clock {
  public:
    explicit ManualClock(WallMicros start_micros = 1'000'000) : micros_(start_micros) {}

    [[nodiscard]] WallMicros wall_micros() const override { return micros_; }

    [[nodiscard]] SteadyMillis steady_ms() const override { return micros_ / 1000; }

    void advance_micros(std::int64_t by) { micros_ += by; }

  private:
    std::atomic<std::int64_t> micros_;
};

}  // namespace drover
