/// What this host holds of each job, read from what is on disk: fences, activations, records and
/// the journal. For an orchestrator whose log was restored, and may not know.
#pragma once

#include "agent/parts.h"
#include "schemas/session.h"

namespace drover::agent {

/// Blocks for reading small files. Errors: those of a record that cannot be read.
[[nodiscard]] Result<WorldFound> find_world(const AgentParts& parts);

}  // namespace drover::agent
