/// The contract of every BlockDevice call, asserted at one place: the range lies inside the disk
/// and starts and ends on a sector, or ends where the disk ends (an image file may have any size).
#pragma once

#include "base/assert.h"
#include "replicator/device.h"

namespace drover::replicator {

[[nodiscard]] inline bool range_is_valid(const DeviceFacts& facts, std::uint64_t offset,
                                         std::uint64_t length) {
    if (length > facts.size_bytes || offset > facts.size_bytes - length) return false;
    const bool ends_on_sector =
        length % facts.sector_bytes == 0 || offset + length == facts.size_bytes;
    return offset % facts.sector_bytes == 0 && ends_on_sector;
}

inline void assert_range(const DeviceFacts& facts, std::uint64_t offset, std::uint64_t length) {
    DROVER_ASSERT(range_is_valid(facts, offset, length));
}

/// Of write_many(): every range is valid, and they follow one another.
inline void assert_parts(const DeviceFacts& facts, std::span<const WritePart> parts) {
    std::uint64_t end = 0;
    for (const WritePart& part : parts) {
        assert_range(facts, part.offset, part.data.size());
        DROVER_ASSERT(part.offset >= end);
        end = part.offset + part.data.size();
    }
}

}  // namespace drover::replicator
