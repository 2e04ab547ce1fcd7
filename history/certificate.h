/// What the equality of a job's two sides rests on, for people and for the evidence: per disk, how
/// much was compared, how much rests on the proof by induction alone, how much was never copied.
#pragma once

#include "statemachine/job.h"

#include <boost/json/value.hpp>

namespace drover::history {

/// Certificate of schemas/openapi.yaml; null before the target was verified.
[[nodiscard]] boost::json::value certificate_json(const statemachine::Job& job);

}  // namespace drover::history
