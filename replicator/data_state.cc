#include "replicator/data_state.h"

namespace drover::replicator {

void DataStateLogic::enter(DataState state) {
    if (state == state_) return;
    state_ = state;
    good_passes_ = 0;
    stuck_passes_ = 0;
    was_in_sync_ = false;
}

void DataStateLogic::pass(std::uint64_t backlog_bytes) {
    const bool good = backlog_bytes <= bound_;
    good_passes_ = good ? good_passes_ + 1 : 0;
    stuck_passes_ = !good && backlog_bytes >= last_backlog_bytes_ ? stuck_passes_ + 1 : 0;
    last_backlog_bytes_ = backlog_bytes;
    if (state_ == DataState::in_sync) {
        if (backlog_bytes > 2 * bound_) state_ = DataState::lagging;
        return;
    }
    if (good_passes_ >= in_sync_after_passes) {
        state_ = DataState::in_sync;
        was_in_sync_ = true;
    } else if (stuck_passes_ >= not_converging_after_passes) {
        state_ = DataState::not_converging;
    } else if (stuck_passes_ == 0 || state_ != DataState::not_converging) {
        state_ = was_in_sync_ ? DataState::lagging : DataState::catching_up;
    }
}

}  // namespace drover::replicator
