/// An exported history rebuilt without a server: the facts of a file through the fold that runs in
/// droverd. Whether the file is a part of the log it says it is, is another question: that one
/// `drover audit verify --export` answers. Blocks.
#pragma once

#include "history/export_file.h"
#include "history/state.h"

#include <map>
#include <optional>

#include <boost/json/fwd.hpp>

namespace drover::history {

/// Why a state that was rebuilt is not to be believed.
struct ReplayFinding {
    std::string id;  ///< history_not_legal, state_diverged, event_hash_wrong, event_missing
    eventlog::Seq seq = 0;
    std::string detail;

    bool operator==(const ReplayFinding&) const = default;
};

/// Takes the stored events of an export one by one.
class OfflineReplay {
  public:
    struct Step {
        eventlog::Record record;
        Fact fact;
    };

    explicit OfflineReplay(const Uuid& lineage) { state_.lineage = lineage; }

    /// The next event of the file. Errors: corrupt (not a stored event, or out of order);
    /// unsupported (unknown_event, format_too_new): then nothing after it can be told.
    [[nodiscard]] Result<Step> take(ByteView stored);

    [[nodiscard]] const State& state() const { return state_; }

    [[nodiscard]] const std::vector<ReplayFinding>& findings() const { return findings_; }

    /// The job that `record` is about; nullptr for other facts.
    [[nodiscard]] const JobEntry* job_of(const eventlog::Record& record) const;

  private:
    void find(std::string id, eventlog::Seq seq, std::string detail);
    void check_chain(const eventlog::Record& record, ByteView stored);
    void check_job(const JobId& id, eventlog::Seq seq);

    State state_;
    std::map<eventlog::StreamId, eventlog::StreamHead> heads_;
    std::set<JobId> illegal_;  ///< already found
    std::vector<ReplayFinding> findings_;
};

/// The whole answer of `drover replay run`: {"file", "job", "lineage", "events", "ok", "findings",
/// "timeline", "jobs"}. Stops after event `until`. Errors: those of the file and of take().
[[nodiscard]] Result<boost::json::object> replay_export(const std::filesystem::path& file,
                                                        std::optional<eventlog::Seq> until);

constexpr std::size_t replay_findings_max = 100;
/// Older lines of the timeline are left out, and the answer says so.
constexpr std::size_t timeline_events_max = 100'000;

}  // namespace drover::history
