/// Everything droverd knows that must survive it, as the fold of its log. One function changes it,
/// live and on replay, so the two cannot differ.
///
///   Record ─ decode_record_fact ─► Fact ─ apply ─► State
#pragma once

#include "eventlog/log.h"
#include "history/registry.h"
#include "statemachine/job.h"

#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace drover::history {

struct LastRejection {
    statemachine::CommandRejected rejected;
    eventlog::Seq seq = 0;
    WallMicros wall_micros = 0;

    bool operator==(const LastRejection&) const = default;
};

struct JobEntry {
    statemachine::Job job;
    /// The job's history is not legal, or led to another state than a StateDigest says: it is left
    /// alone (no command, no effect) and the others go on.
    std::optional<Error> illegal;
    std::optional<LastRejection> last_rejection;

    bool operator==(const JobEntry&) const = default;
};

using Fact = std::variant<statemachine::Event, SystemFact>;

struct State {
    Uuid lineage;  ///< a job keeps the one in which it was planned
    std::vector<LineageReset> resets;  ///< oldest first
    std::map<JobId, JobEntry> jobs;
    std::map<std::string, JobId> names;                    ///< the newest job of that name
    std::map<std::string, std::set<JobId>> jobs_of_agent;  ///< with either side on it
    Registry registry;
    eventlog::Seq seq = 0;  ///< of the last event applied

    /// By name, or by id in its 8-4-4-4-12 form; nullptr if there is none.
    [[nodiscard]] const JobEntry* find(std::string_view name_or_id) const;
    [[nodiscard]] const JobEntry* find(const JobId& id) const;
    [[nodiscard]] const std::set<JobId>& jobs_with(const std::string& agent) const;

    bool operator==(const State&) const = default;
};

/// Errors: unsupported ("unknown_event", "format_too_new"), corrupt. Either stops a start: no event
/// is ever skipped.
[[nodiscard]] Result<Fact> decode_record_fact(const eventlog::Record& record);

/// Applies the next event of one job's stream to what is known of that job.
void apply(JobEntry& entry, const eventlog::Record& record, const statemachine::Event& event);

/// Applies the next record. A fact that the job's history does not allow marks that job illegal,
/// and so does a digest that is not that of its state.
void apply(State& state, const eventlog::Record& record, const Fact& fact);

/// The same where events are missing: an export of one job has only those of its stream.
void apply_with_gaps(State& state, const eventlog::Record& record, const Fact& fact);

/// `error` with the event that it is about.
[[nodiscard]] Error at_event(eventlog::Seq seq, const Error& error);

/// Applies at most `events_max` of the events that follow `state`. Errors: those of reading and
/// decoding, with the event that they are about.
[[nodiscard]] Result<> replay_on(const eventlog::EventLog& log, State& state,
                                 std::size_t events_max);

/// The state after all events of `log`.
[[nodiscard]] Result<State> replay(const eventlog::EventLog& log);

}  // namespace drover::history
