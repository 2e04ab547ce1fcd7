#include "replicator/zero_runs.h"

#include <algorithm>
#include <cstring>

namespace drover::replicator {

bool is_zero(ByteView data) {
    if (data.empty()) return true;
    // If the first byte is zero and every byte equals its predecessor, all are zero.
    return data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

std::vector<Run> zero_runs(ByteView data, std::size_t unit_bytes) {
    std::vector<Run> runs;
    for (std::size_t at = 0; at < data.size(); at += unit_bytes) {
        const std::size_t length = std::min(unit_bytes, data.size() - at);
        const bool zero = is_zero(data.subspan(at, length));
        if (!runs.empty() && runs.back().zero == zero) {
            runs.back().length += length;
        } else {
            runs.push_back({at, length, zero});
        }
    }
    return runs;
}

}  // namespace drover::replicator
