/// Randomness comes from outside: identities, tokens and jitter are drawn from a Random.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace drover {

class Random {
  public:
    virtual ~Random() = default;
    virtual void fill(std::span<std::uint8_t> out) = 0;

    /// A version 4 UUID.
    [[nodiscard]] Uuid uuid();
    /// 32 random bytes, for tokens.
    [[nodiscard]] Hash secret();
    /// Uniform in [0, bound); bound > 0.
    [[nodiscard]] std::uint64_t below(std::uint64_t bound);
};

/// getrandom(2). Thread-safe. Aborts if the kernel has no randomness to give.
class SystemRandom final : public Random {
  public:
    void fill(std::span<std::uint8_t> out) override;
};

/// splitmix64: the same seed gives the same bytes, for ever. For tests and simulations only.
class SeededRandom final : public Random {
  public:
    explicit SeededRandom(std::uint64_t seed) : state_(seed) {}

    void fill(std::span<std::uint8_t> out) override;

  private:
    std::uint64_t state_;
};

}  // namespace drover
