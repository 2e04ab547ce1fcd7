#include "eventlog/merkle.h"

#include "base/assert.h"
#include "base/sha256.h"

#include <bit>

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

/// The largest power of two below `size`, which is at least 2: the leaves on the left.
std::size_t left_of(std::size_t size) {
    return std::bit_floor(size - 1);
}

void add_path(std::span<const Hash> hashes, std::size_t index, std::vector<Hash>& path) {
    if (hashes.size() == 1) return;
    const std::size_t left = left_of(hashes.size());
    if (index < left) {
        add_path(hashes.first(left), index, path);
        path.push_back(merkle_root(hashes.subspan(left)));
    } else {
        add_path(hashes.subspan(left), index - left, path);
        path.push_back(merkle_root(hashes.first(left)));
    }
}

}  // namespace

Hash merkle_root(std::span<const Hash> hashes) {
    if (hashes.empty()) return sha256({});
    if (hashes.size() == 1) return leaf(hashes.front());
    const std::size_t left = left_of(hashes.size());
    return node(merkle_root(hashes.first(left)), merkle_root(hashes.subspan(left)));
}

std::vector<Hash> merkle_path(std::span<const Hash> hashes, std::size_t index) {
    DROVER_ASSERT(index < hashes.size());
    std::vector<Hash> path;
    add_path(hashes, index, path);
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
