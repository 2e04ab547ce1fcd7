/// Ranges as a report names them: in order, neighbours joined, and never more than fit.
#pragma once

#include "schemas/model.h"

#include <vector>

namespace drover::replicator {

/// `range` lies behind all of `ranges`. If there would be more than mismatches_max, the two of one
/// disk with the least between them become one.
void add_range(std::vector<ByteRange>& ranges, const ByteRange& range);

}  // namespace drover::replicator
