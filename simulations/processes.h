/// Shares of one piece of work, each in a process of its own: a simulation uses one core.
#pragma once

#include <cstdint>
#include <functional>
#include <istream>
#include <ostream>

namespace drover::sim {

constexpr std::uint32_t processes_max = 256;

/// As many as there are cores.
[[nodiscard]] std::uint32_t processes_default();

/// What one process does: its share of `count`, from 0. What it counted goes to `tally`. False when
/// a rule was broken, which it has printed then.
using Share = std::function<bool(std::uint32_t share, std::ostream& tally)>;

/// Runs all shares and hands their tallies to `add`, in the order of the shares. With one share all
/// of it happens in this process. False when a share was false, or did not end by itself. Blocks.
[[nodiscard]] bool run_shares(std::uint32_t count, const Share& run,
                              const std::function<void(std::istream&)>& add);

}  // namespace drover::sim
