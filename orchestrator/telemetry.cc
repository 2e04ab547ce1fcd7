#include "orchestrator/telemetry.h"

namespace drover::orchestrator {

void Telemetry::record(const Progress& progress, WallMicros now) {
    samples_[progress.job].at(static_cast<std::size_t>(progress.side)) =
        ProgressSample{progress, now};
}

const ProgressSample* Telemetry::latest(const JobId& job, Side side) const {
    const auto found = samples_.find(job);
    if (found == samples_.end()) return nullptr;
    const auto& sample = found->second.at(static_cast<std::size_t>(side));
    return sample ? &*sample : nullptr;
}

}  // namespace drover::orchestrator
