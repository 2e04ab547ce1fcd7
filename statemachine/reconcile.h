/// After a restore with a loss: what both hosts hold, against what the log says they hold. Pure.
///
/// The log may lack what happened after it was copied. Both sides agree with it if no agent took
/// work that the log does not know, and the fence and the target's state are such as the log's own
/// work leads to. Then every effect that the log derives is either new to its agent or answered
/// from its journal, and the job can go on by itself. Anything else is for a person.
#pragma once

#include "statemachine/job.h"

#include <string>
#include <vector>

namespace drover::statemachine {

struct Difference {
    Side side = Side::source;
    std::string id;      ///< stable, for example "fence_missing"
    std::string detail;  ///< what the log expects, and what is there

    bool operator==(const Difference&) const = default;
};

/// Of the sides that were seen; empty unless the job is reconciling.
[[nodiscard]] std::vector<Difference> differences(const Job& job);

/// Both sides were seen and hold what the log says.
[[nodiscard]] bool agrees(const Job& job);

}  // namespace drover::statemachine
