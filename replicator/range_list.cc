#include "replicator/range_list.h"

#include "base/assert.h"

#include <cstdint>

namespace drover::replicator {
namespace {

std::uint64_t end_of(const ByteRange& range) {
    return range.offset + range.length;
}

}  // namespace

void add_range(std::vector<ByteRange>& ranges, const ByteRange& range) {
    if (!ranges.empty() && ranges.back().disk == range.disk &&
        end_of(ranges.back()) == range.offset) {
        ranges.back().length += range.length;
        return;
    }
    ranges.push_back(range);
    if (ranges.size() <= mismatches_max) return;
    // There are more ranges than disks, so that two of one disk are always found.
    std::size_t closest = 0;
    std::uint64_t least = UINT64_MAX;
    for (std::size_t i = 0; i + 1 < ranges.size(); ++i) {
        if (ranges[i].disk != ranges[i + 1].disk) continue;
        const std::uint64_t gap = ranges[i + 1].offset - end_of(ranges[i]);
        if (gap >= least) continue;
        least = gap;
        closest = i;
    }
    DROVER_ASSERT(least != UINT64_MAX);
    ranges[closest].length = end_of(ranges[closest + 1]) - ranges[closest].offset;
    ranges.erase(ranges.begin() + static_cast<std::ptrdiff_t>(closest) + 1);
}

}  // namespace drover::replicator
