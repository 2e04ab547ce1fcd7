/// What droverd counts, in the text form of Prometheus. Names follow its conventions: base units,
/// _total for counters, few labels. Computed when asked for.
#pragma once

#include "orchestrator/core.h"

#include <string>

namespace drover::orchestrator {

class Anchors;

/// `anchors` may be nullptr.
[[nodiscard]] std::string metrics_text(const Core& core, const Anchors* anchors = nullptr);

}  // namespace drover::orchestrator
