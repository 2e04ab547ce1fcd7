/// Where two jobs part: their facts side by side, with what is always different (ids, times, the
/// names of the job, its agents and its disks) left out of the comparison. Blocks for as long as
/// reading two streams takes.
#pragma once

#include "history/state.h"

#include <boost/json/fwd.hpp>

namespace drover::history {

/// The first position whose facts differ, and the first whose kinds do: {"jobs", "facts", "equal",
/// "first_difference", "first_other_event"}. Errors: those of reading and decoding.
[[nodiscard]] Result<boost::json::object> compare_jobs(const eventlog::EventLog& log,
                                                       const JobEntry& one, const JobEntry& other);

/// `data` with roles in place of what names only this job, its hosts, its runs and its times.
[[nodiscard]] boost::json::value normalised(const boost::json::value& data, const JobSpec& spec);

}  // namespace drover::history
