/// Rebuilds every state from the first event and compares with what is live. In slices, because
/// the log has one thread, which also serves everybody else: the caller does something else between
/// two of them, and the live state moves on meanwhile. The last slice ends at the head.
#pragma once

#include "history/state.h"

#include <boost/json/fwd.hpp>

namespace drover::history {

class ReplayCheck {
  public:
    /// `log` outlives this. Of `live` only the lineage with which the log began is looked at.
    ReplayCheck(const eventlog::EventLog& log, const State& live);

    /// Applies at most `events_max` more events; true once the head is reached. Errors: as replay.
    [[nodiscard]] Result<bool> advance(std::size_t events_max);

    /// {"ok", "jobs", "events", "differences"}. `live` stands at the same event.
    [[nodiscard]] boost::json::object compare(const State& live) const;

    [[nodiscard]] const State& rebuilt() const { return rebuilt_; }

  private:
    const eventlog::EventLog& log_;
    State rebuilt_;
};

}  // namespace drover::history
