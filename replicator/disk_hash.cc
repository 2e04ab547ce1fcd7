#include "replicator/disk_hash.h"

#include "base/sha256.h"
#include "replicator/aligned_buffer.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr std::uint64_t read_bytes_max = 1U << 20;
constexpr std::uint8_t leaf_prefix[] = {0x00};

/// Reads [offset, offset + length) and hands it to `use` in pieces that never cross a multiple of
/// `chunk_bytes` from `offset`. Small chunks are read several at once.
template <class Use>
Result<> for_each_piece(BlockDevice& device, std::uint64_t offset, std::uint64_t length,
                        std::uint64_t chunk_bytes, const Between& between, Use use) {
    const AlignedBuffer buffer(std::min(read_bytes_max, length));
    std::uint64_t done = 0;
    while (done < length) {
        TRY_VOID(between());
        const auto read = buffer.first(std::min(read_bytes_max, length - done));
        TRY_VOID(device.read(offset + done, read));
        for (ByteView rest = read; !rest.empty();) {
            const std::uint64_t left_in_chunk = chunk_bytes - done % chunk_bytes;
            const ByteView piece = rest.first(std::min<std::uint64_t>(left_in_chunk, rest.size()));
            rest = rest.subspan(piece.size());
            done += piece.size();
            use(piece, done % chunk_bytes == 0 || done == length);
        }
    }
    return {};
}

}  // namespace

Result<std::vector<Digest>> read_digests(BlockDevice& device, std::uint64_t offset,
                                         std::uint64_t length, std::uint64_t chunk_bytes,
                                         const Between& between) {
    std::vector<Digest> digests;
    DigestStream stream;
    TRY_VOID(for_each_piece(device, offset, length, chunk_bytes, between,
                            [&](ByteView piece, bool chunk_ends) {
                                stream.update(piece);
                                if (!chunk_ends) return;
                                digests.push_back(stream.digest());
                                stream.reset();
                            }));
    return digests;
}

Result<std::vector<Hash>> read_leaves(BlockDevice& device, std::uint64_t offset,
                                      std::uint64_t length, std::uint64_t leaf_bytes,
                                      const Between& between) {
    std::vector<Hash> leaves;
    Sha256 leaf;
    leaf.update(leaf_prefix);
    TRY_VOID(for_each_piece(device, offset, length, leaf_bytes, between,
                            [&](ByteView piece, bool leaf_ends) {
                                leaf.update(piece);
                                if (!leaf_ends) return;
                                leaves.push_back(leaf.finish());
                                leaf.update(leaf_prefix);
                            }));
    return leaves;
}

}  // namespace drover::replicator
