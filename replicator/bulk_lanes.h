/// How the frames of one session are divided over its bulk connections, its lanes: by the place on
/// the disk, so that a range that is sent again follows on the same connection what was sent of it
/// before. Both ends know the rule (docs/adr/0021-lanes.md). Pure.
#pragma once

#include "replicator/peer_message.h"

#include <algorithm>
#include <cstdint>

namespace drover::replicator {

/// Named by both sides in their capabilities: more than one lane, if the source wants them.
constexpr const char* lanes_capability = "bulk.lanes";
constexpr unsigned lanes_max = 8;
/// No frame goes beyond the end of a stripe when there are several lanes. As long as what is read
/// at once: of a larger stripe one lane would carry most of a batch.
constexpr std::uint64_t lane_stripe_bytes = 1U << 20;

[[nodiscard]] constexpr unsigned lane_of(std::uint32_t disk, std::uint64_t offset, unsigned lanes) {
    return static_cast<unsigned>((offset / lane_stripe_bytes + disk) % lanes);
}

/// Bytes from `offset` to the end of its stripe.
[[nodiscard]] constexpr std::uint64_t stripe_left(std::uint64_t offset) {
    return lane_stripe_bytes - offset % lane_stripe_bytes;
}

/// How many lanes a target gives to the source that says this.
[[nodiscard]] inline unsigned lanes_for(const PeerHello& hello) {
    if (std::ranges::count(hello.capabilities, lanes_capability) == 0) return 1;
    return std::clamp<unsigned>(hello.lanes, 1, lanes_max);
}

}  // namespace drover::replicator
