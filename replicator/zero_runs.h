/// Finds what need not be sent: runs of zero bytes. Pure.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <vector>

namespace drover::replicator {

[[nodiscard]] bool is_zero(ByteView data);

struct Run {
    std::size_t offset = 0;  ///< in the data
    std::size_t length = 0;
    bool zero = false;

    bool operator==(const Run&) const = default;
};

/// Splits `data` into alternating runs of zero and other content, looking at units of `unit_bytes`:
/// below that size a separate frame costs more than the zeroes.
[[nodiscard]] std::vector<Run> zero_runs(ByteView data, std::size_t unit_bytes = 64U << 10);

}  // namespace drover::replicator
