/// What runs went through, against all that there is: the rows of the transition table, the kinds
/// of faults, and the steps at which a process can die.
#pragma once

#include "simulations/world.h"
#include "statemachine/transitions.h"

#include <string>
#include <vector>

namespace drover::sim {

/// Rows that this release refuses by capability: test cutover, and rollback in mode keep. They are
/// those that enter or leave the phases of either.
[[nodiscard]] bool is_refused(const statemachine::TransitionRow& row);

struct Gaps {
    std::vector<std::string> transitions;
    std::vector<std::string> faults;
    std::vector<std::string> crash_points;  ///< steps that were taken, but at which nobody died

    [[nodiscard]] bool empty() const {
        return transitions.empty() && faults.empty() && crash_points.empty();
    }
};

[[nodiscard]] Gaps gaps_of(const Coverage& coverage);

/// The counts, and by name what is missing.
void print_coverage(const Coverage& coverage);

}  // namespace drover::sim
