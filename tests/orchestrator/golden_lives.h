/// Whole lives of a job, as they go in a world in memory: what the golden histories are made of.
/// Each has a log of its own and is the same in every run.
#pragma once

#include "world.h"

#include <string>
#include <vector>

namespace drover::orchestrator::testing {

struct Life {
    std::string name;  ///< of its files in tests/golden/histories
    void (*happen)(World& world);
};

/// Append-only: a new life gets a new name, and the written ones stay as they are.
[[nodiscard]] const std::vector<Life>& golden_lives();

}  // namespace drover::orchestrator::testing
