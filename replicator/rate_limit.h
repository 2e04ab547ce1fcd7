/// Token bucket: how long to wait before the next bytes may go. Pure; time is an argument.
#pragma once

#include "base/clock.h"

#include <cstdint>

namespace drover::replicator {

class RateLimit {
  public:
    /// Notes that `bytes` are sent now and returns how many milliseconds to wait to keep to
    /// `bytes_per_s` (0: no limit, never waits). A quarter of a second's worth may be saved up.
    [[nodiscard]] std::int64_t wait_ms(std::uint64_t bytes, std::uint64_t bytes_per_s,
                                       SteadyMillis now) {
        if (bytes_per_s == 0) return 0;
        const auto cost_us = static_cast<std::int64_t>(static_cast<double>(bytes) * 1e6 /
                                                       static_cast<double>(bytes_per_s));
        const std::int64_t earliest_us = (now - saved_ms_max) * 1000;
        if (free_at_us_ < earliest_us) free_at_us_ = earliest_us;
        free_at_us_ += cost_us;
        const std::int64_t ahead_us = free_at_us_ - now * 1000;
        return ahead_us <= 0 ? 0 : (ahead_us + 999) / 1000;
    }

  private:
    static constexpr std::int64_t saved_ms_max = 250;
    std::int64_t free_at_us_ = 0;  ///< when everything sent so far has been paid for
};

}  // namespace drover::replicator
