/// One fact of every kind, with no field left empty, in the order of EventKind.
#pragma once

#include "statemachine/event.h"

#include <vector>

namespace drover::statemachine::testing {

[[nodiscard]] std::vector<Event> sample_events();

/// A source that is fenced, or a target that is in service, under the token of the samples.
[[nodiscard]] JobWorld world_of(Side side, std::uint64_t last_seq);

}  // namespace drover::statemachine::testing
