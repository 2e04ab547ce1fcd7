/// What the replica tells its observer: state changes at once, figures now and then. Used
/// by the replica's thread only.
#pragma once

#include "replicator/data_state.h"
#include "replicator/source_replica.h"
#include "replicator/source_state.h"

#include <optional>
#include <string>

namespace drover::replicator {

class SourceReport {
  public:
    SourceReport(const JobId& job, std::vector<std::uint64_t> sizes_bytes,
                 std::uint64_t backlog_bytes_max, const SourceState& state,
                 std::int64_t progress_every_ms, SourceObserver& observer, Clock& clock)
        : job_(job),
          sizes_bytes_(std::move(sizes_bytes)),
          state_(state),
          observer_(observer),
          clock_(clock),
          progress_every_ms_(progress_every_ms),
          logic_(backlog_bytes_max) {}

    /// `backlogs`: per disk, as backlog_of() gives them.
    using Backlogs = std::vector<std::uint64_t>;

    void enter(DataState state, const Backlogs& backlogs);
    void pass(std::uint64_t backlog_bytes, const Backlogs& backlogs);
    /// The state is one that passes lead to; entering catching_up would lose their count.
    [[nodiscard]] bool counts_passes() const;

    [[nodiscard]] DataState state() const { return logic_.state(); }

    /// The last thing that went wrong; empty when well again. Shown with the figures.
    void set_detail(std::string detail) { detail_ = std::move(detail); }

    /// What is left out at present; shown with the figures.
    void set_skipped(std::uint64_t bytes) { bytes_skipped_ = bytes; }

    /// Of a comparison that leads to a proof: shown with the figures.
    void begin_comparison() { bytes_compared_ = 0; }

    void add_compared(std::uint64_t bytes) { bytes_compared_ += bytes; }

    void mirror_done(const Generation& generation);
    void generation_gone(std::uint32_t disk, const std::string& cause);

    [[nodiscard]] bool is_due() const;
    void progress(const Backlogs& backlogs);

  private:
    void tell(DataState before, const Backlogs& backlogs);

    const JobId job_;
    const std::vector<std::uint64_t> sizes_bytes_;
    const SourceState& state_;
    SourceObserver& observer_;
    Clock& clock_;
    const std::int64_t progress_every_ms_;
    DataStateLogic logic_;
    std::string detail_;
    std::uint64_t bytes_skipped_ = 0;
    std::uint64_t bytes_compared_ = 0;
    std::optional<Generation> mirror_told_;
    std::optional<SteadyMillis> told_ms_;
    std::uint64_t told_bytes_ = 0;
};

}  // namespace drover::replicator
