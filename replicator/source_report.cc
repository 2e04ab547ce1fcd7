#include "replicator/source_report.h"

#include "base/log.h"

#include <numeric>

namespace drover::replicator {

void SourceReport::enter(DataState state, const Backlogs& backlogs) {
    const DataState before = logic_.state();
    logic_.enter(state);
    tell(before, backlogs);
}

void SourceReport::pass(std::uint64_t backlog_bytes, const Backlogs& backlogs) {
    const DataState before = logic_.state();
    logic_.pass(backlog_bytes);
    tell(before, backlogs);
}

bool SourceReport::counts_passes() const {
    const DataState state = logic_.state();
    return state == DataState::catching_up || state == DataState::in_sync ||
           state == DataState::lagging || state == DataState::not_converging;
}

void SourceReport::tell(DataState before, const Backlogs& backlogs) {
    if (logic_.state() == before) return;
    const std::uint64_t backlog =
        std::accumulate(backlogs.begin(), backlogs.end(), std::uint64_t{0});
    observer_.data_state({logic_.state(), state_.generation(), backlog});
    progress(backlogs);
}

void SourceReport::mirror_done(const Generation& generation) {
    if (mirror_told_ == generation) return;
    mirror_told_ = generation;
    observer_.mirror_done({generation});
}

void SourceReport::generation_gone(std::uint32_t disk, const std::string& cause) {
    log::warn("replicator", "everything has to be compared: " + cause,
              "job=" + uuid_text(job_) + " disk=" + std::to_string(disk));
    observer_.generation_gone({disk, cause});
}

bool SourceReport::is_due() const {
    return !told_ms_ || clock_.steady_ms() - *told_ms_ >= progress_every_ms_;
}

void SourceReport::progress(const Backlogs& backlogs) {
    Progress out;
    out.job = job_;
    out.state = logic_.state();
    for (std::size_t i = 0; i < sizes_bytes_.size(); ++i) {
        const bool whole = state_.phase(i) == CopyPhase::tracked;
        out.disks.push_back(
            {sizes_bytes_[i], whole ? sizes_bytes_[i] : state_.cursor(i), backlogs[i]});
    }
    out.bytes_changed = state_.counter(Counter::bytes_changed);
    out.bytes_sent_mirror = state_.counter(Counter::bytes_sent_mirror);
    out.bytes_sent_sync = state_.counter(Counter::bytes_sent_sync);
    out.bytes_zero_skipped = state_.counter(Counter::bytes_zero_skipped);
    out.bytes_resumed = state_.counter(Counter::bytes_resumed);
    out.passes = state_.counter(Counter::passes);
    out.tracker_losses = state_.counter(Counter::tracker_losses);
    out.bytes_unverified = state_.unread_bytes();
    out.bytes_read_back = state_.counter(Counter::bytes_read_back);
    out.bytes_differed = state_.counter(Counter::bytes_differed);
    out.walk_rounds = state_.counter(Counter::walk_rounds);
    out.walk_alarms = state_.counter(Counter::walk_alarms);
    out.bytes_skipped = bytes_skipped_;
    out.bytes_compared = bytes_compared_;
    out.bytes_on_wire = state_.counter(Counter::bytes_on_wire);
    const std::uint64_t sent = out.bytes_sent_mirror + out.bytes_sent_sync + out.bytes_zero_skipped;
    const SteadyMillis now = clock_.steady_ms();
    const std::int64_t elapsed_ms = told_ms_ ? std::max<std::int64_t>(now - *told_ms_, 1) : 0;
    if (elapsed_ms > 0)
        out.rate_bytes_per_s = (sent - told_bytes_) * 1000 / static_cast<std::uint64_t>(elapsed_ms);
    told_ms_ = now;
    told_bytes_ = sent;
    out.detail = detail_;
    observer_.progress(out);
}

}  // namespace drover::replicator
