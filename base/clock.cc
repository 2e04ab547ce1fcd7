#include "base/clock.h"

#include <time.h>

namespace drover {
namespace {

std::int64_t micros(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

}  // namespace

WallMicros SystemClock::wall_micros() const { return micros(CLOCK_REALTIME); }

SteadyMillis SystemClock::steady_ms() const { return micros(CLOCK_BOOTTIME) / 1000; }

}  // namespace drover
