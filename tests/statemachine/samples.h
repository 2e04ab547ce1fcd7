/// One fact of every kind, with no field left empty, in the order of EventKind.
#pragma once

#include "statemachine/event.h"

#include <vector>

namespace drover::statemachine::testing {

[[nodiscard]] std::vector<Event> sample_events();

}  // namespace drover::statemachine::testing
