/// What the disks of a job's source held at every moment, to tell whether something is what they
/// held at one of them.
#pragma once

#include "simulations/disk.h"

#include <deque>
#include <span>
#include <vector>

namespace drover::sim {

class SourceHistory {
  public:
    /// Call after every change. `disks`: always the same ones.
    void note(std::span<const Disk* const> disks);
    /// Whether all of it was there at once. `images`: of the disks, each at least as long.
    [[nodiscard]] bool held(std::span<const std::vector<Version>> images) const;

  private:
    struct Change {
        std::uint64_t moment = 0;
        Version version = 0;
    };

    std::uint64_t moment_ = 0;
    std::vector<std::vector<std::deque<Change>>> changes_;  ///< by disk and block
};

}  // namespace drover::sim
