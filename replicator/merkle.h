/// The proof of equal content: SHA-256 leaves of a disk, rolled up into one root.
///
///   leaf  = SHA-256(0x00 | content of the leaf's range)
///   node  = SHA-256(0x01 | left | right); the last one of an odd level moves up as it is
///   root  = SHA-256(0x02 | size u64 | leaf size u64 | top node), numbers little-endian
///
/// The prefixes keep a leaf from passing for a node, and a root from passing for that of another
/// geometry. A disk of size 0 has no top node. Pure.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <vector>

namespace drover::replicator {

constexpr std::uint64_t leaf_bytes_min = 1U << 20;
constexpr std::uint64_t leaves_max = 4096;

/// max(1 MiB, size / 4096 rounded up to a power of two): at most 4096 leaves whatever the size.
[[nodiscard]] std::uint64_t leaf_bytes_for(std::uint64_t size_bytes);

[[nodiscard]] Hash merkle_root(std::uint64_t size_bytes, std::uint64_t leaf_bytes,
                               std::vector<Hash> leaves);

}  // namespace drover::replicator
