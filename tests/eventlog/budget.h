/// How much of a long test is run. In ctest: until a number of rounds or a time is reached, and the
/// test fails below its floor. In scripts/soak the environment lifts the bounds:
///
///   DROVER_SOAK_ROUNDS   rounds of each test, instead of the test's own number
///   DROVER_SOAK_MINUTES  time of each test that draws its rounds, instead of the test's own;
///   without
///                        it only the number of rounds counts
///   DROVER_SEED          the seed to begin with, instead of a random one
#pragma once

#include "base/random.h"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include <catch2/catch.hpp>

namespace drover::eventlog::testing {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool under_sanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool under_sanitizer = true;
#else
constexpr bool under_sanitizer = false;
#endif
#else
constexpr bool under_sanitizer = false;
#endif

/// Sanitized programs are several times slower: they get their time, and a floor that fits.
constexpr std::uint64_t sanitizer_divisor = 10;

inline std::optional<std::uint64_t> number_from_environment(const char* name) {
    const char* const text = std::getenv(name);
    if (text == nullptr || *text == '\0') return std::nullopt;
    return std::strtoull(text, nullptr, 10);
}

inline bool soaking() {
    return number_from_environment("DROVER_SOAK_ROUNDS") ||
           number_from_environment("DROVER_SOAK_MINUTES");
}

/// The first of the seeds that this run uses; printed, so that a run can be repeated.
inline std::uint64_t first_seed() {
    const auto given = number_from_environment("DROVER_SEED");
    return given ? *given : SystemRandom().below(1'000'000'000);
}

class Budget {
  public:
    using Clock = std::chrono::steady_clock;

    /// Rounds are drawn without end, or are a list of all there are, which a soak finishes.
    enum class Rounds : std::uint8_t { drawn, listed };

    Budget(std::uint64_t floor, std::uint64_t rounds_max, std::chrono::seconds time_max,
           Rounds rounds = Rounds::drawn)
        : floor_(under_sanitizer ? floor / sanitizer_divisor : floor),
          rounds_max_(rounds_max),
          time_max_(time_max) {
        if (!soaking()) return;
        time_max_ = std::chrono::hours(24 * 30);
        if (rounds == Rounds::listed) return;
        rounds_max_ = number_from_environment("DROVER_SOAK_ROUNDS").value_or(UINT64_MAX);
        if (const auto minutes = number_from_environment("DROVER_SOAK_MINUTES"))
            time_max_ = std::chrono::minutes(*minutes);
        floor_ = std::min(floor_, rounds_max_);
    }

    [[nodiscard]] bool more() const {
        return rounds_ < rounds_max_ && Clock::now() - started_ < time_max_;
    }

    void count() { ++rounds_; }

    [[nodiscard]] std::uint64_t rounds() const { return rounds_; }

    /// Prints what was done; fails below the floor.
    void report(const std::string& what) const {
        const std::chrono::duration<double> took = Clock::now() - started_;
        std::cout << rounds_ << " " << what << " in " << took.count() << " s (at least " << floor_
                  << (under_sanitizer ? ", sanitized" : "") << ", at most " << rounds_max_ << " or "
                  << time_max_.count() << " s)\n";
        CHECK(rounds_ >= floor_);
    }

  private:
    std::uint64_t floor_;
    std::uint64_t rounds_max_;
    std::chrono::seconds time_max_;
    std::uint64_t rounds_ = 0;
    Clock::time_point started_ = Clock::now();
};

}  // namespace drover::eventlog::testing
