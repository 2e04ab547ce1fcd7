/// The table of facts: (phase, event) -> phase. The single source for legality, for the diagram and
/// for tests. Boost.MSM holds it; transitions.cc alone includes Boost.MSM.
#pragma once

#include "statemachine/event.h"
#include "statemachine/phase.h"

#include <optional>
#include <string>
#include <vector>

namespace drover::statemachine {

/// The phase after `event` happened in `from`; nullopt if it cannot happen there. Facts that do not
/// move the phase return `from` where they are legal.
[[nodiscard]] std::optional<Phase> next_phase(Phase from, EventKind event);

/// What MSM itself answers: nullopt also for facts that only stay. Slow; next_phase() remembers it.
[[nodiscard]] std::optional<Phase> moved_phase(Phase from, EventKind event);

struct TransitionRow {
    Phase from;
    EventKind event;
    Phase to;
    bool point_of_no_return;  ///< after it, rollback may lose something
};

/// The rows that move the phase, in table order.
[[nodiscard]] const std::vector<TransitionRow>& transition_rows();

/// The table as a Mermaid stateDiagram-v2, without fences.
[[nodiscard]] std::string transitions_mermaid();

}  // namespace drover::statemachine
