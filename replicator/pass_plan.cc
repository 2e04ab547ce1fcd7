#include "replicator/pass_plan.h"

#include "base/assert.h"
#include "base/mutation.h"

#include <algorithm>
#include <bit>

namespace drover::replicator {
namespace {

/// Appends blocks [first, first + count), joined to the last extent where they touch it.
void append(std::vector<Extent>& extents, std::uint64_t first, std::uint64_t count,
            std::uint64_t size_bytes) {
    std::uint64_t offset = first * block_bytes;
    const std::uint64_t end = std::min(offset + count * block_bytes, size_bytes);
    while (offset < end) {
        const bool joins = !extents.empty() &&
                           extents.back().offset + extents.back().length == offset &&
                           extents.back().length < extent_bytes_max;
        if (!joins) extents.push_back({offset, 0});
        const std::uint64_t room = extent_bytes_max - extents.back().length;
        const std::uint64_t piece = std::min(room, end - offset);
        extents.back().length += piece;
        offset += piece;
    }
}

void append_word(Region& region, std::size_t word, std::uint64_t bits, std::uint64_t size_bytes) {
    while (bits != 0) {
        const auto start = static_cast<unsigned>(std::countr_zero(bits));
        const auto length = static_cast<unsigned>(std::countr_one(bits >> start));
        append(region.extents, std::uint64_t{word} * 64 + start, length, size_bytes);
        region.bytes += std::uint64_t{length} * block_bytes;
        bits &= length + start >= 64 ? 0 : ~std::uint64_t{0} << (start + length);
    }
}

}  // namespace

std::uint64_t widen(std::uint64_t bits, unsigned granule_blocks) {
    DROVER_ASSERT(std::has_single_bit(granule_blocks) && granule_blocks <= 64);
    if (granule_blocks == 64) return bits == 0 ? 0 : ~std::uint64_t{0};
    const std::uint64_t granule = (std::uint64_t{1} << granule_blocks) - 1;
    std::uint64_t out = 0;
    for (unsigned at = 0; at < 64; at += granule_blocks) {
        if (((bits >> at) & granule) != 0) out |= granule << at;
    }
    return out;
}

Region take_region(BlockMap dirty, BlockMap pending, std::uint64_t first_block,
                   std::uint64_t size_bytes, std::uint64_t granule_bytes,
                   std::uint64_t region_bytes) {
    DROVER_ASSERT(dirty.blocks() == pending.blocks() && dirty.blocks() == blocks_of(size_bytes));
    const auto granule_blocks = static_cast<unsigned>(granule_bytes / block_bytes);
    Region region;
    const std::size_t words = words_of(dirty.blocks());
    std::size_t word = static_cast<std::size_t>(first_block / 64);
    for (; word < words && region.bytes < region_bytes; ++word) {
        const std::uint64_t seen = dirty.word(word);
        if (seen == 0) continue;
        const std::uint64_t wanted = widen(seen, granule_blocks) & dirty.valid_bits(word);
        if (!DROVER_MUTANT("pending_not_recorded")) pending.or_word(word, wanted);
        const std::uint64_t taken = dirty.take_bits(word, wanted);
        region.taken_bits += static_cast<std::uint64_t>(std::popcount(taken));
        append_word(region, word, wanted, size_bytes);
    }
    region.next_block = std::min<std::uint64_t>(std::uint64_t{word} * 64, dirty.blocks());
    return region;
}

std::uint64_t count_union(const BlockMap& a, const BlockMap& b, const BlockMap& c) {
    std::uint64_t ones = 0;
    for (std::size_t i = 0; i < words_of(a.blocks()); ++i)
        ones += static_cast<std::uint64_t>(std::popcount(a.word(i) | b.word(i) | c.word(i)));
    return ones;
}

}  // namespace drover::replicator
