/// What the log says, for this folder: state, registry and facts are named here without the name of
/// their folder, because hardly a line does without them.
#pragma once

#include "history/state.h"

namespace drover::orchestrator {

using namespace history;

}  // namespace drover::orchestrator
