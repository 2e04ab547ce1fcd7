#include "replicator/quiet_window.h"

#include "base/assert.h"

#include <algorithm>

namespace drover::replicator {

bool QuietWindow::is_possible() const {
    return !trackers_.empty() && std::ranges::none_of(trackers_, [](const ChangeTracker* tracker) {
        return tracker->kind() == "scan";
    });
}

void QuietWindow::begin() {
    began_.clear();
    for (ChangeTracker* tracker : trackers_) began_.push_back(tracker->seq());
}

Result<QuietWindow::Sight> QuietWindow::look() {
    DROVER_ASSERT(began_.size() == trackers_.size());
    Sight sight;
    sight.audits.resize(trackers_.size(), Audit{Audit::Verdict::busy, 0, {}});
    if (!is_possible()) return sight;
    for (std::size_t i = 0; i < trackers_.size(); ++i)
        if (trackers_[i]->seq() != began_[i]) return sight;
    // A disk may be written from here on. That is after the point: the sequences of all disks were
    // unchanged at once, before the first audit.
    for (std::size_t i = 0; i < trackers_.size(); ++i) {
        TRY(sight.audits[i], trackers_[i]->audit());
        if (sight.audits[i].verdict != Audit::Verdict::exact) return sight;
    }
    sight.is_quiet = true;
    return sight;
}

}  // namespace drover::replicator
