/// The latest progress of each job and side. Never logged, never decides anything, lost with the
/// process. Not thread-safe.
#pragma once

#include "schemas/model.h"

#include <array>
#include <map>
#include <optional>

namespace drover::orchestrator {

struct ProgressSample {
    Progress progress;
    WallMicros received_micros = 0;
};

class Telemetry {
  public:
    void record(const Progress& progress, WallMicros now);
    /// nullptr if that side has said nothing since droverd started.
    [[nodiscard]] const ProgressSample* latest(const JobId& job, Side side) const;

  private:
    std::map<JobId, std::array<std::optional<ProgressSample>, 2>> samples_;
};

}  // namespace drover::orchestrator
