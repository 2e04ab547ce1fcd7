#include "replicator/block_map.h"

#include "base/assert.h"

#include <bit>

namespace drover::replicator {
namespace {

/// Calls `apply(word, mask)` for every word that [first, first + count) touches.
template <class Apply>
void for_each_mask(std::uint64_t first, std::uint64_t count, Apply apply) {
    const std::uint64_t end = first + count;
    while (first < end) {
        const std::uint64_t bit = first % 64;
        const std::uint64_t here = std::min<std::uint64_t>(64 - bit, end - first);
        const std::uint64_t ones = here == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1;
        apply(static_cast<std::size_t>(first / 64), ones << bit);
        first += here;
    }
}

}  // namespace

void BlockMap::set(std::uint64_t first_block, std::uint64_t count) {
    DROVER_ASSERT(count <= blocks_ && first_block <= blocks_ - count);
    for_each_mask(first_block, count, [this](std::size_t at, std::uint64_t mask) {
        std::atomic_ref(words_[at]).fetch_or(mask);
    });
}

void BlockMap::clear(std::uint64_t first_block, std::uint64_t count) {
    DROVER_ASSERT(count <= blocks_ && first_block <= blocks_ - count);
    for_each_mask(first_block, count, [this](std::size_t at, std::uint64_t mask) {
        std::atomic_ref(words_[at]).fetch_and(~mask);
    });
}

bool BlockMap::test(std::uint64_t block) const {
    DROVER_ASSERT(block < blocks_);
    return ((word(static_cast<std::size_t>(block / 64)) >> (block % 64)) & 1) != 0;
}

std::uint64_t BlockMap::take_word(std::size_t word) {
    DROVER_ASSERT(word < words_of(blocks_));
    return std::atomic_ref(words_[word]).exchange(0);
}

std::uint64_t BlockMap::take_bits(std::size_t word, std::uint64_t bits) {
    DROVER_ASSERT(word < words_of(blocks_));
    return std::atomic_ref(words_[word]).fetch_and(~bits) & bits;
}

std::uint64_t BlockMap::word(std::size_t word) const {
    DROVER_ASSERT(word < words_of(blocks_));
    return std::atomic_ref(words_[word]).load();
}

void BlockMap::or_word(std::size_t word, std::uint64_t bits) {
    DROVER_ASSERT(word < words_of(blocks_));
    if (bits != 0) std::atomic_ref(words_[word]).fetch_or(bits & valid_bits(word));
}

std::uint64_t BlockMap::valid_bits(std::size_t word) const {
    const std::uint64_t left = blocks_ - std::uint64_t{word} * 64;
    return left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << left) - 1;
}

void BlockMap::merge(const BlockMap& other) {
    DROVER_ASSERT(other.blocks_ == blocks_);
    for (std::size_t i = 0; i < words_of(blocks_); ++i) or_word(i, other.word(i));
}

void BlockMap::move_to(BlockMap other) {
    DROVER_ASSERT(other.blocks_ == blocks_);
    for (std::size_t i = 0; i < words_of(blocks_); ++i) {
        const std::uint64_t bits = word(i);
        if (bits == 0) continue;
        other.or_word(i, bits);
        (void)take_bits(i, bits);
    }
}

bool BlockMap::any(std::uint64_t first_block, std::uint64_t count) const {
    DROVER_ASSERT(count <= blocks_ && first_block <= blocks_ - count);
    bool found = false;
    for_each_mask(first_block, count, [&](std::size_t at, std::uint64_t mask) {
        found = found || (word(at) & mask) != 0;
    });
    return found;
}

std::uint64_t BlockMap::count() const {
    std::uint64_t ones = 0;
    for (std::size_t i = 0; i < words_of(blocks_); ++i)
        ones += static_cast<std::uint64_t>(std::popcount(word(i)));
    return ones;
}

}  // namespace drover::replicator
