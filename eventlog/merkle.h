/// Merkle trees as RFC 6962 section 2.1 has them, over the hashes of events: a leaf is
/// SHA-256(0x00 ‖ hash of the event), a node SHA-256(0x01 ‖ left ‖ right). With the root of a
/// segment and a path of at most ten hashes anybody can check that one event belongs to it. Pure.
#pragma once

#include "base/bytes.h"

#include <optional>
#include <span>
#include <vector>

namespace drover::eventlog {

/// The whole tree over some hashes in order: its root, and the path of each leaf. Of none the root
/// is SHA-256 of nothing.
class MerkleTree {
  public:
    explicit MerkleTree(std::span<const Hash> hashes);

    [[nodiscard]] const Hash& root() const { return levels_.back().front(); }

    /// The neighbours of leaf `index` and of the nodes above it, from the leaf upwards.
    [[nodiscard]] std::vector<Hash> path(std::size_t index) const;

  private:
    std::vector<std::vector<Hash>> levels_;  ///< leaves first
};

/// The root that `path` leads to from `hash` as leaf `index` of `size`; nullopt if the path does
/// not have the length that this place asks for.
[[nodiscard]] std::optional<Hash> merkle_root_from(const Hash& hash, std::uint64_t index,
                                                   std::uint64_t size, std::span<const Hash> path);

}  // namespace drover::eventlog
