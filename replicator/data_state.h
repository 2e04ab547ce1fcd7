/// From what a pass saw to the data state that people and decisions see. With hysteresis, so that a
/// single busy second does not take a job out of in_sync and back. Pure.
#pragma once

#include "schemas/model.h"

#include <cstdint>

namespace drover::replicator {

constexpr int in_sync_after_passes = 3;
constexpr int not_converging_after_passes = 10;

class DataStateLogic {
  public:
    explicit DataStateLogic(std::uint64_t backlog_bytes_max)
        : bound_(backlog_bytes_max) {}

    [[nodiscard]] DataState state() const { return state_; }

    /// A condition that is simply so: idle, mirroring, rescanning, paused, disconnected, stalled,
    /// catching_up. Counting starts anew.
    void enter(DataState state);

    /// A pass over tracked disks found this much not durable on the target when it began. in_sync
    /// after three passes within the bound; lagging beyond twice the bound; not_converging when ten
    /// passes above the bound did not shrink it.
    void pass(std::uint64_t backlog_bytes);

  private:
    std::uint64_t bound_;
    DataState state_ = DataState::idle;
    std::uint64_t last_backlog_bytes_ = 0;
    int good_passes_ = 0;
    int stuck_passes_ = 0;
    bool was_in_sync_ = false;
};

}  // namespace drover::replicator
