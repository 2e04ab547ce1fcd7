/// Facts that are legal in a phase and do not move it. Kept apart from the MSM table on purpose:
/// MSM answers "handled" for an event that it swallows, so only rows that move a phase live there.
/// Internal to transitions; the door is next_phase().
#pragma once

#include "statemachine/event.h"
#include "statemachine/phase.h"

#include <optional>

namespace drover::statemachine {

/// True if `event` may happen in `phase` and leaves it there.
[[nodiscard]] bool stays_in(Phase phase, EventKind event);

/// The phase in which a verdict after a restore ends a job that is in `phase`; nullopt: it does not.
/// No rows of the table, because such a fact is no step of the life cycle: it ends it anywhere.
[[nodiscard]] std::optional<Phase> ended_phase(Phase phase, EventKind event);

}  // namespace drover::statemachine
