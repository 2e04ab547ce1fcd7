/// The anchors of the orchestrator's log that this agent got: a witness outside the orchestrator's
/// reach. What `drover-agent anchors` prints is what `drover audit verify --anchors` reads.
///
/// A log that was rewritten can send other anchors for events that are here already: such a line is
/// never taken. Nor can it push them out by sending many: when there are too many, the one whose
/// neighbours are closest goes, so that what stays is spread over the log from its beginning on.
/// Blocks for one small durable write.
#pragma once

#include "agent/state_store.h"

#include <string>
#include <vector>

namespace drover::agent {

constexpr std::size_t anchors_kept_max = 64;

/// False if it says nothing new, or less than what is here. Errors: io, corrupt (anchors_damaged),
/// invalid (anchor_malformed), conflict (anchor_contradicts).
[[nodiscard]] Result<bool> keep_anchor(const StatePaths& paths, const AnchorMade& made);

/// Their lines, the oldest first. A line is printable ASCII.
[[nodiscard]] Result<std::vector<std::string>> load_anchors(const StatePaths& paths);

}  // namespace drover::agent
