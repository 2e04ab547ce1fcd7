/// Memory that O_DIRECT accepts at any device: page-aligned, owned, not initialised.
#pragma once

#include "base/assert.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

namespace drover::replicator {

constexpr std::size_t direct_alignment = 4096;

class AlignedBuffer {
  public:
    explicit AlignedBuffer(std::size_t bytes)
        : size_((bytes + direct_alignment - 1) / direct_alignment * direct_alignment),
          memory_(static_cast<std::uint8_t*>(std::aligned_alloc(direct_alignment, size_))) {
        DROVER_ASSERT(memory_ != nullptr);
    }

    [[nodiscard]] std::span<std::uint8_t> first(std::size_t bytes) const {
        DROVER_ASSERT(bytes <= size_);
        return {memory_.get(), bytes};
    }

  private:
    struct Free {
        void operator()(std::uint8_t* memory) const { std::free(memory); }
    };

    std::size_t size_;
    std::unique_ptr<std::uint8_t, Free> memory_;
};

}  // namespace drover::replicator
