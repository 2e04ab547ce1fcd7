/// Jobs, events and agents as the API shows them. Everything is computed from the live state;
/// nothing is kept.
#pragma once

#include "orchestrator/core.h"

#include <string>
#include <vector>

#include <boost/json/fwd.hpp>

namespace drover::orchestrator {

/// The whole job resource; `now` decides what is allowed and overdue.
[[nodiscard]] boost::json::object job_json(const Core& core, const JobEntry& entry, WallMicros now);

/// What the job waits for and what was wanted of whom.
[[nodiscard]] boost::json::object why_json(const Core& core, const JobEntry& entry, WallMicros now);

/// One event of a history: place, author and what happened.
[[nodiscard]] boost::json::object record_json(const eventlog::Record& record, const Fact& fact);

/// The same for the stream of all events, in the form of `GET /v1/events`.
[[nodiscard]] boost::json::object feed_json(const State& state, const eventlog::Record& record,
                                            const Fact& fact);

[[nodiscard]] boost::json::object agent_json(const Core& core, const std::string& name,
                                             const AgentEntry& agent);

/// Names of what decide would accept now.
[[nodiscard]] std::vector<std::string> allowed_names(const statemachine::Job& job, WallMicros now);

/// "SourceFenced", "AgentEnrolled".
[[nodiscard]] std::string_view name_of(const Fact& fact);

}  // namespace drover::orchestrator
