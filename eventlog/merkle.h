/// Merkle trees as RFC 6962 section 2.1 has them, over the hashes of events: a leaf is
/// SHA-256(0x00 ‖ hash of the event), a node SHA-256(0x01 ‖ left ‖ right). With the root of a
/// segment and a path of at most ten hashes anybody can check that one event belongs to it. Pure.
#pragma once

#include "base/bytes.h"

#include <optional>
#include <span>
#include <vector>

namespace drover::eventlog {

/// The root over `hashes` in order; of none it is SHA-256 of nothing.
[[nodiscard]] Hash merkle_root(std::span<const Hash> hashes);

/// The path from leaf `index` (< size of `hashes`) to the root, from the leaf upwards.
[[nodiscard]] std::vector<Hash> merkle_path(std::span<const Hash> hashes, std::size_t index);

/// The root that `path` leads to from `hash` as leaf `index` of `size`; nullopt if the path does
/// not have the length that this place asks for.
[[nodiscard]] std::optional<Hash> merkle_root_from(const Hash& hash, std::uint64_t index,
                                                   std::uint64_t size, std::span<const Hash> path);

}  // namespace drover::eventlog
