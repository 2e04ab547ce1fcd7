/// The business step of a job. The table of facts that moves it is transitions.h; the picture is
/// docs/state-machine.md, generated from that table. The numbers are stored in the log:
/// append-only.
#pragma once

#include <cstdint>
#include <string_view>

namespace drover::statemachine {

enum class Phase : std::uint8_t {
    planned = 0,
    blocked = 1,  ///< preflight found something critical
    ready = 2,
    mirroring = 3,
    syncing = 4,
    testing = 5,
    armed = 6,
    fencing = 7,
    draining = 8,
    verifying = 9,
    activating = 10,
    validating = 11,
    holding = 12,
    committed = 13,  ///< final
    rolling_back = 14,
    reverse_draining = 15,
    reverse_verifying = 16,
    rolled_back = 17,
    cancelled = 18  ///< final
};

constexpr std::uint8_t phase_count = 19;

[[nodiscard]] std::string_view name_of(Phase phase);

[[nodiscard]] constexpr bool is_final(Phase phase) {
    return phase == Phase::committed || phase == Phase::cancelled;
}

/// From the start of the fence to the decision: the source may not be writable.
[[nodiscard]] constexpr bool is_in_cutover(Phase phase) {
    return phase >= Phase::fencing && phase <= Phase::holding;
}

}  // namespace drover::statemachine
