#include "history/state.h"

#include "base/assert.h"
#include "statemachine/codec.h"
#include "statemachine/evolve.h"
#include "statemachine/state_digest.h"

namespace drover::history {

namespace {

JobEntry& entry_of(State& state, const JobId& id) {
    const auto [found, is_new] = state.jobs.try_emplace(id);
    if (is_new) {
        found->second.job.id = id;
        found->second.job.lineage = state.lineage;
    }
    return found->second;
}

constexpr const char* still_there = "the log and what both hosts hold";
constexpr const char* send_bundle = "send a support bundle";

/// A job keeps the lineage in which it was planned, because it names the job's effects. A reader
/// begins with the lineage that the log has at its end: jobs that got it until here are of the one
/// that ends here.
void begin_lineage(State& state, const LineageReset& reset) {
    for (auto& [id, entry] : state.jobs) {
        if (entry.job.lineage == state.lineage) entry.job.lineage = reset.old_lineage;
    }
    state.lineage = reset.new_lineage;
    state.resets.push_back(reset);
}

/// The stored digest of what the job's events led to when they were decided.
void compare(State& state, const eventlog::Record& record, const StateDigest& stored) {
    JobEntry& entry = entry_of(state, stored.job);
    if (entry.illegal) return;
    std::string detail;
    if (entry.job.version != stored.stream_seq) {
        detail = "its state digest is of stream position " + std::to_string(stored.stream_seq) +
                 ", and the job is at " + std::to_string(entry.job.version);
    } else if (const auto digest = statemachine::state_digest(entry.job, stored.version);
               digest != stored.digest) {
        detail = "its first " + std::to_string(stored.stream_seq) +
                 " events led to another state than when they were written";
    }
    if (detail.empty()) return;
    entry.illegal = at_event(
        record.seq, Error(Errc::corrupt, "state_diverged", detail, still_there, send_bundle));
}

void apply_to_job(State& state, const eventlog::Record& record, const statemachine::Event& event) {
    JobEntry& entry = entry_of(state, record.stream.id);
    apply(entry, record, event);
    if (entry.illegal) return;
    if (const auto* planned = std::get_if<statemachine::JobPlanned>(&event)) {
        state.names[planned->spec.name] = record.stream.id;
        state.jobs_of_agent[planned->spec.source_agent].insert(record.stream.id);
        state.jobs_of_agent[planned->spec.target_agent].insert(record.stream.id);
    }
}

}  // namespace

void apply(JobEntry& entry, const eventlog::Record& record, const statemachine::Event& event) {
    if (entry.illegal) return;
    const statemachine::EventPosition position{record.seq, record.hash, record.wall_micros};
    if (const auto evolved = statemachine::evolve(entry.job, event, position); !evolved) {
        entry.illegal =
            at_event(record.seq, Error(Errc::corrupt, "history_not_legal", evolved.error().detail(),
                                       still_there, send_bundle));
        return;
    }
    if (const auto* rejected = std::get_if<statemachine::CommandRejected>(&event)) {
        entry.last_rejection = LastRejection{*rejected, record.seq, record.wall_micros};
    }
}

const JobEntry* State::find(std::string_view name_or_id) const {
    const auto named = names.find(std::string(name_or_id));
    if (named != names.end()) return find(named->second);
    const auto id = uuid_from_text(name_or_id);
    return id ? find(*id) : nullptr;
}

const JobEntry* State::find(const JobId& id) const {
    const auto found = jobs.find(id);
    return found == jobs.end() ? nullptr : &found->second;
}

const std::set<JobId>& State::jobs_with(const std::string& agent) const {
    static const std::set<JobId> none;
    const auto found = jobs_of_agent.find(agent);
    return found == jobs_of_agent.end() ? none : found->second;
}

Result<Fact> decode_record_fact(const eventlog::Record& record) {
    if (record.stream.kind == eventlog::StreamKind::job) {
        TRY(auto event,
            statemachine::decode_event(record.kind, record.kind_version, record.payload));
        return Fact(std::move(event));
    }
    TRY(auto fact, decode_fact(record.kind, record.kind_version, record.payload));
    return Fact(std::move(fact));
}

Error at_event(eventlog::Seq seq, const Error& error) {
    return Error(error.code(), error.id(), "event " + std::to_string(seq) + ": " + error.detail(),
                 error.kept(), error.next());
}

void apply(State& state, const eventlog::Record& record, const Fact& fact) {
    DROVER_ASSERT(record.seq == state.seq + 1);
    apply_with_gaps(state, record, fact);
}

void apply_with_gaps(State& state, const eventlog::Record& record, const Fact& fact) {
    DROVER_ASSERT(record.seq > state.seq);
    state.seq = record.seq;
    if (const auto* event = std::get_if<statemachine::Event>(&fact)) {
        apply_to_job(state, record, *event);
        return;
    }
    const auto& system = std::get<SystemFact>(fact);
    if (const auto* digest = std::get_if<StateDigest>(&system)) compare(state, record, *digest);
    if (const auto* changed = std::get_if<LineageChanged>(&system))
        begin_lineage(state, changed->reset);
    evolve(state.registry, system, record.wall_micros);
}

Result<> replay_on(const eventlog::EventLog& log, State& state, std::size_t events_max) {
    std::optional<Error> failure;
    std::size_t applied = 0;
    TRY_VOID(log.read(state.seq + 1, [&](const eventlog::Record& record) {
        const auto fact = decode_record_fact(record);
        if (!fact) {
            failure = at_event(record.seq, fact.error());
            return false;
        }
        apply(state, record, *fact);
        return ++applied < events_max;
    }));
    if (failure) return *failure;
    return {};
}

Result<State> replay(const eventlog::EventLog& log) {
    State state;
    state.lineage = log.head().lineage;
    TRY_VOID(replay_on(log, state, SIZE_MAX));
    return state;
}

}  // namespace drover::history
