/// Jobs and agents as the API shows them. Everything is computed from the live state;
/// nothing is kept.
#pragma once

#include "history/fact_json.h"
#include "orchestrator/core.h"

#include <string>
#include <vector>

#include <boost/json/fwd.hpp>

namespace drover::orchestrator {

/// The whole job resource; `now` decides what is allowed and overdue.
[[nodiscard]] boost::json::object job_json(const Core& core, const JobEntry& entry, WallMicros now);

/// What the job waits for and what was wanted of whom.
[[nodiscard]] boost::json::object why_json(const Core& core, const JobEntry& entry, WallMicros now);

[[nodiscard]] boost::json::object agent_json(const Core& core, const std::string& name,
                                             const AgentEntry& agent);

/// Names of what decide would accept now.
[[nodiscard]] std::vector<std::string> allowed_names(const statemachine::Job& job, WallMicros now);

}  // namespace drover::orchestrator
