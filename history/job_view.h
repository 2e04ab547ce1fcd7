/// A job as people and the API read it: what its facts alone say, without links, telemetry and
/// other things that are only live. The same document now, at an earlier point and from an export.
#pragma once

#include "history/state.h"

#include <boost/json/fwd.hpp>

namespace drover::history {

/// Everything about a job, with what it may do at `now` and what it waits for.
[[nodiscard]] boost::json::object job_state_json(const JobEntry& entry, WallMicros now);

[[nodiscard]] boost::json::value parked_json(const statemachine::Job& job);
[[nodiscard]] boost::json::array waiting_json(const JobEntry& entry);
/// allowed_actions, and why_not for each of the others; none for a job that is left alone.
void add_actions(const JobEntry& entry, WallMicros now, boost::json::object& out);
/// The last refusal, or null.
[[nodiscard]] boost::json::value rejection_json(const JobEntry& entry);

/// RFC 3339, or null for 0.
[[nodiscard]] boost::json::value time_or_null(WallMicros micros);

}  // namespace drover::history
