/// What a command would do: the decision that the engine would make, carried out on a copy. Pure.
#pragma once

#include "history/state.h"
#include "statemachine/decide.h"

#include <string_view>

#include <boost/json/fwd.hpp>

namespace drover::history {

struct WhatIf {
    std::string_view action;
    statemachine::Decision decision;
    /// Where the first of its facts would stand, and when.
    eventlog::Seq next_seq = 0;
    WallMicros wall_micros = 0;
};

/// Refused: why and what to do next. Accepted: the facts that it would append, the phase after them
/// and the effects that would then be outstanding. Tokens that are drawn at random are null: the
/// real command draws others. Errors: corrupt (history_not_legal): the table does not allow what
/// was decided.
[[nodiscard]] Result<boost::json::object> what_if_json(const JobEntry& entry, const WhatIf& asked);

}  // namespace drover::history
