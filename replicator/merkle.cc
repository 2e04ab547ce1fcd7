#include "replicator/merkle.h"

#include "base/sha256.h"

#include <algorithm>
#include <bit>

namespace drover::replicator {
namespace {

constexpr std::uint8_t node_prefix[] = {0x01};
constexpr std::uint8_t root_prefix[] = {0x02};

}  // namespace

std::uint64_t leaf_bytes_for(std::uint64_t size_bytes) {
    const std::uint64_t even = (size_bytes + leaves_max - 1) / leaves_max;
    return std::max(leaf_bytes_min, std::bit_ceil(even));
}

Hash merkle_root(std::uint64_t size_bytes, std::uint64_t leaf_bytes, std::vector<Hash> leaves) {
    while (leaves.size() > 1) {
        std::vector<Hash> above;
        for (std::size_t i = 0; i + 1 < leaves.size(); i += 2) {
            Sha256 node;
            node.update(node_prefix).update(leaves[i].view()).update(leaves[i + 1].view());
            above.push_back(node.finish());
        }
        if (leaves.size() % 2 == 1) above.push_back(leaves.back());
        leaves = std::move(above);
    }
    Bytes numbers;
    put_u64(numbers, size_bytes);
    put_u64(numbers, leaf_bytes);
    Sha256 root;
    root.update(root_prefix).update(numbers);
    if (!leaves.empty()) root.update(leaves.front().view());
    return root.finish();
}

}  // namespace drover::replicator
