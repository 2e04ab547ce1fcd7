/// outstanding(state): the effects that should be running now. Derived, stored nowhere; pure.
#pragma once

#include "schemas/model.h"
#include "statemachine/job.h"

#include <vector>

namespace drover::statemachine {

/// In a fixed order. Parked and paused withhold forward effects only: HoldFence, Deactivate,
/// Release, Cleanup and WakeAt stay, and Replicate becomes track_only.
[[nodiscard]] std::vector<Effect> outstanding(const Job& job);

/// True for effects before which the log's head must be synced outside the log: fence, activate,
/// release, deactivate, cleanup, delete_data.
[[nodiscard]] bool needs_head_sync(EffectKind kind);

}  // namespace drover::statemachine
