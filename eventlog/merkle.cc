#include "eventlog/merkle.h"

#include "base/assert.h"
#include "base/sha256.h"

#include <array>
#include <utility>

namespace drover::eventlog {
namespace {

Hash leaf(const Hash& hash) {
    constexpr std::array<std::uint8_t, 1> mark{0x00};
    return Sha256().update(mark).update(hash.view()).finish();
}

Hash node(const Hash& left, const Hash& right) {
    constexpr std::array<std::uint8_t, 1> mark{0x01};
    return Sha256().update(mark).update(left.view()).update(right.view()).finish();
}

}  // namespace

// Pairing from the left, with an odd last node handed up as it is, gives the tree of RFC 6962: its
// left part always holds the largest power of two that is smaller than the whole.
MerkleTree::MerkleTree(std::span<const Hash> hashes) {
    levels_.emplace_back();
    for (const Hash& hash : hashes) levels_.back().push_back(leaf(hash));
    if (hashes.empty()) levels_.back().push_back(sha256({}));
    while (levels_.back().size() > 1) {
        const std::vector<Hash>& below = levels_.back();
        std::vector<Hash> level;
        for (std::size_t i = 0; i + 1 < below.size(); i += 2)
            level.push_back(node(below[i], below[i + 1]));
        if (below.size() % 2 == 1) level.push_back(below.back());
        levels_.push_back(std::move(level));
    }
}

std::vector<Hash> MerkleTree::path(std::size_t index) const {
    DROVER_ASSERT(index < levels_.front().size());
    std::vector<Hash> path;
    for (const std::vector<Hash>& level : levels_) {
        const std::size_t neighbour = index ^ 1;
        if (neighbour < level.size()) path.push_back(level[neighbour]);
        index >>= 1;
    }
    return path;
}

std::optional<Hash> merkle_root_from(const Hash& hash, std::uint64_t index, std::uint64_t size,
                                     std::span<const Hash> path) {
    if (index >= size) return std::nullopt;
    // RFC 9162 section 2.1.3.2: the bits of the index say on which side each neighbour stands; at
    // the right edge of the tree levels without a neighbour are left out.
    std::uint64_t at = index;
    std::uint64_t last = size - 1;
    Hash root = leaf(hash);
    for (const Hash& neighbour : path) {
        if (last == 0) return std::nullopt;
        if ((at & 1) == 1 || at == last) {
            root = node(neighbour, root);
            while ((at & 1) == 0 && at != 0) {
                at >>= 1;
                last >>= 1;
            }
        } else {
            root = node(root, neighbour);
        }
        at >>= 1;
        last >>= 1;
    }
    if (last != 0) return std::nullopt;
    return root;
}

}  // namespace drover::eventlog
