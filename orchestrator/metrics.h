/// What droverd counts, in the text form of Prometheus. Names follow its conventions: base units,
/// _total for counters, few labels. Computed when asked for.
#pragma once

#include "orchestrator/core.h"

#include <string>

namespace drover::orchestrator {

[[nodiscard]] std::string metrics_text(const Core& core);

}  // namespace drover::orchestrator
