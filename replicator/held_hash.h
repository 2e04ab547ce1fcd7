/// What both ends of the comparison during the hold hash, and leave out alike.
///
///   block = SHA-256(its 4 KiB); 32 zero bytes where the target's users wrote
///   chunk = SHA-256(0x03 | its blocks), of at most 1 MiB
///   leaf  = SHA-256(0x00 | its chunks), leaves and root in the geometry of merkle.h
///
/// Pure.
#pragma once

#include "base/bytes.h"
#include "replicator/block_map.h"

#include <span>
#include <vector>

namespace drover::replicator {

constexpr std::uint64_t held_chunk_bytes = 1U << 20;
/// At most so much a question.
constexpr std::uint64_t held_range_bytes = 8U << 20;

/// A bit per block of a range: bit i % 8 of byte i / 8.
[[nodiscard]] bool is_written(ByteView written, std::uint64_t block);
void set_written(Bytes& written, std::uint64_t block);
[[nodiscard]] std::size_t written_bytes_of(std::uint64_t length);

/// `first_block`: of `data` in `written`.
[[nodiscard]] std::vector<Hash> hash_blocks(ByteView data, ByteView written,
                                            std::uint64_t first_block);
[[nodiscard]] Hash hash_chunk(std::span<const Hash> blocks);

/// The leaves of one disk on one end.
class HeldLeaves {
  public:
    explicit HeldLeaves(std::uint64_t size_bytes);

    /// In the order of the disk, each of held_chunk_bytes but the last.
    void add(const Hash& chunk);
    [[nodiscard]] Hash root() const;

  private:
    std::uint64_t size_bytes_;
    std::uint64_t leaf_bytes_;
    std::vector<Hash> chunks_;  ///< of the leaf that is not complete
    std::vector<Hash> leaves_;
    std::uint64_t added_bytes_ = 0;
};

}  // namespace drover::replicator
