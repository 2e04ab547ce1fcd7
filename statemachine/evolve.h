/// evolve(state, fact): the only way a job's state changes, live and on replay. Pure.
#pragma once

#include "statemachine/event.h"
#include "statemachine/job.h"

#include <string>

namespace drover::statemachine {

/// Applies `event`. Errors: corrupt ("history_not_legal") if the table of facts does not allow it
/// in this phase; `job` is then unchanged. Live, that is a bug of decide; on replay, the job is
/// quarantined.
[[nodiscard]] Result<> evolve(Job& job, const Event& event, const EventPosition& position);

/// The whole state as one JSON object, for people and for comparing field by field.
[[nodiscard]] std::string job_text(const Job& job);

/// SHA-256 over a canonical text of the state: replay and live must agree.
[[nodiscard]] Hash digest_of(const Job& job);

}  // namespace drover::statemachine
