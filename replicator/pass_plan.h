/// What a pass reads next and when it commits. Works on the maps alone: no disk, no network, no
/// clock.
///
///   dirty ──take_region──► pending (of the open batch) + extents to read, in ascending order
///
/// The initial mirror is the same walk over a map of all ones (or of what is used, source_skip.h);
/// its cursor is the block after the last one taken, and travels in every COMMIT as
/// `mirrored_upto`.
#pragma once

#include "replicator/block_map.h"

#include <cstdint>
#include <vector>

namespace drover::replicator {

struct Extent {
    std::uint64_t offset = 0;  ///< bytes
    std::uint64_t length = 0;  ///< bytes; shorter than whole blocks only at the end of the disk

    bool operator==(const Extent&) const = default;
};

constexpr std::uint64_t extent_bytes_max = 1U << 20;
/// Taken and read at once, while the one before it is sent: large enough to coalesce and to read at
/// depth, small enough to react to a changed wish.
constexpr std::uint64_t region_bytes_max = 2U << 20;
/// A batch is committed before it could grow beyond this, if nobody wants it sooner.
constexpr std::uint64_t batch_bytes_max = 64U << 20;

struct Region {
    std::vector<Extent> extents;   ///< ascending, not overlapping, each at most extent_bytes_max
    std::uint64_t next_block = 0;  ///< where the next call starts; `blocks` at the end of the disk
    std::uint64_t bytes = 0;       ///< sum of the extents
    std::uint64_t taken_bits = 0;  ///< that were dirty, before widening to the granule
};

/// Moves dirty bits from `first_block` on (rounded down to a word) to `pending`, until about
/// `region_bytes` or the end. Bits are widened to whole granules of `granule_bytes` (a power of
/// two, block_bytes..256 KiB). Order per word: pending is set, then dirty is cleared; the caller
/// reads after that, so no write and no crash in between loses a change.
[[nodiscard]] Region take_region(BlockMap dirty, BlockMap pending, std::uint64_t first_block,
                                 std::uint64_t size_bytes, std::uint64_t granule_bytes,
                                 std::uint64_t region_bytes = region_bytes_max);

/// `bits` with every granule of `granule_blocks` bits filled that has one set.
[[nodiscard]] std::uint64_t widen(std::uint64_t bits, unsigned granule_blocks);

/// True if a batch of `open_bytes` must be committed before another region is taken into it. Takes
/// one region whatever `bytes_max` is.
[[nodiscard]] constexpr bool batch_is_full(std::uint64_t open_bytes, std::uint64_t bytes_max) {
    return open_bytes > 0 && open_bytes + region_bytes_max > bytes_max;
}

/// Blocks set in any of three maps of the same size: what is not yet durable on the target.
[[nodiscard]] std::uint64_t count_union(const BlockMap& a, const BlockMap& b, const BlockMap& c);

}  // namespace drover::replicator
