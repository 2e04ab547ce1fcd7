#include "replicator/held_hash.h"

#include "base/assert.h"
#include "base/sha256.h"
#include "replicator/merkle.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr std::uint8_t leaf_prefix[] = {0x00};
constexpr std::uint8_t chunk_prefix[] = {0x03};

Hash hash_of(ByteView prefix, std::span<const Hash> parts) {
    Sha256 hash;
    hash.update(prefix);
    for (const Hash& part : parts) hash.update(part.view());
    return hash.finish();
}

}  // namespace

bool is_written(ByteView written, std::uint64_t block) {
    return (written[block / 8] >> (block % 8) & 1) != 0;
}

void set_written(Bytes& written, std::uint64_t block) {
    written[block / 8] = static_cast<std::uint8_t>(written[block / 8] | 1U << (block % 8));
}

std::size_t written_bytes_of(std::uint64_t length) {
    return static_cast<std::size_t>((blocks_of(length) + 7) / 8);
}

std::vector<Hash> hash_blocks(ByteView data, ByteView written, std::uint64_t first_block) {
    std::vector<Hash> out(static_cast<std::size_t>(blocks_of(data.size())));
    Sha256 hash;
    for (std::size_t i = 0; i < out.size(); ++i) {
        if (is_written(written, first_block + i)) continue;
        const std::size_t at = i * block_bytes;
        hash.update(data.subspan(at, std::min<std::size_t>(block_bytes, data.size() - at)));
        out[i] = hash.finish();
    }
    return out;
}

Hash hash_chunk(std::span<const Hash> blocks) {
    return hash_of(chunk_prefix, blocks);
}

HeldLeaves::HeldLeaves(std::uint64_t size_bytes)
    : size_bytes_(size_bytes),
      leaf_bytes_(leaf_bytes_for(size_bytes)) {
    DROVER_ASSERT(leaf_bytes_ % held_chunk_bytes == 0);
}

void HeldLeaves::add(const Hash& chunk) {
    chunks_.push_back(chunk);
    added_bytes_ += std::min(held_chunk_bytes, size_bytes_ - added_bytes_);
    if (added_bytes_ % leaf_bytes_ != 0 && added_bytes_ != size_bytes_) return;
    leaves_.push_back(hash_of(leaf_prefix, chunks_));
    chunks_.clear();
}

Hash HeldLeaves::root() const {
    return merkle_root(size_bytes_, leaf_bytes_, leaves_);
}

}  // namespace drover::replicator
