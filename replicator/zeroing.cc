#include "replicator/zeroing.h"

#include "replicator/aligned_buffer.h"
#include "replicator/zero_runs.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr std::uint64_t piece_bytes_max = 1U << 20;
constexpr std::uint8_t witness_byte = 0xd5;

Result<bool> reads_as_zero(BlockDevice& device, std::uint64_t offset, std::uint64_t length) {
    const AlignedBuffer buffer(std::min(length, piece_bytes_max));
    while (length > 0) {
        const auto piece = buffer.first(std::min(length, piece_bytes_max));
        TRY_VOID(device.read(offset, piece));
        if (!is_zero(piece)) return false;
        offset += piece.size();
        length -= piece.size();
    }
    return true;
}

Result<> fill(BlockDevice& device, std::uint64_t offset, std::uint64_t length, std::uint8_t value) {
    const AlignedBuffer buffer(std::min(length, piece_bytes_max));
    const auto all = buffer.first(std::min(length, piece_bytes_max));
    std::fill(all.begin(), all.end(), value);
    while (length > 0) {
        const auto piece = all.first(std::min<std::uint64_t>(length, all.size()));
        TRY_VOID(device.write(offset, piece));
        offset += piece.size();
        length -= piece.size();
    }
    return {};
}

}  // namespace

/// A range that is zero already would be no witness, so something else is written there first. The
/// range is to be zeroed anyway: nothing is lost if we die in between.
Result<bool> Zeroing::proves(BlockDevice& device, std::uint64_t offset, std::uint64_t length,
                             const Command& command) {
    TRY_VOID(fill(device, offset, std::min(length, piece_bytes_max), witness_byte));
    if (!command(offset, length)) return false;
    return reads_as_zero(device, offset, length);
}

Result<> Zeroing::zero(BlockDevice& device, std::uint64_t offset, std::uint64_t length,
                       const Command& command) {
    if (length == 0) return {};
    if (trust_ == Trust::untried) {
        TRY(const bool proven, proves(device, offset, length, command));
        trust_ = proven ? Trust::proven : Trust::unusable;
        if (proven) return {};
    }
    if (trust_ == Trust::proven && command(offset, length)) return {};
    return fill(device, offset, length, 0);
}

}  // namespace drover::replicator
