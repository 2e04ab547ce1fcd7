/// What stopped a job whose history is not legal (JobEntry::illegal), for those who have to find
/// out why: the fact, what could have happened instead, and what its agents go on doing.
#pragma once

#include "orchestrator/core.h"

#include <boost/json/fwd.hpp>

namespace drover::orchestrator {

/// Null for a job that is not quarantined for its history. Reads the job's stream; what cannot be
/// read is null.
[[nodiscard]] boost::json::value quarantine_json(const Core& core, const JobEntry& entry);

}  // namespace drover::orchestrator
