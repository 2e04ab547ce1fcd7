#include "history/state.h"

#include "base/assert.h"
#include "statemachine/codec.h"
#include "statemachine/evolve.h"

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

void apply_to_job(State& state, const eventlog::Record& record, const statemachine::Event& event) {
    JobEntry& entry = entry_of(state, record.stream.id);
    if (entry.illegal) return;
    const statemachine::EventPosition position{record.seq, record.hash, record.wall_micros};
    if (const auto evolved = statemachine::evolve(entry.job, event, position); !evolved) {
        entry.illegal =
            Error(Errc::corrupt, "history_not_legal",
                  "event " + std::to_string(record.seq) + ": " + evolved.error().detail(),
                  "the log and what both hosts hold", "send a support bundle");
        return;
    }
    if (const auto* planned = std::get_if<statemachine::JobPlanned>(&event)) {
        state.names[planned->spec.name] = record.stream.id;
        state.jobs_of_agent[planned->spec.source_agent].insert(record.stream.id);
        state.jobs_of_agent[planned->spec.target_agent].insert(record.stream.id);
    }
    if (const auto* rejected = std::get_if<statemachine::CommandRejected>(&event)) {
        entry.last_rejection = LastRejection{*rejected, record.seq, record.wall_micros};
    }
}

}  // namespace

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

void apply(State& state, const eventlog::Record& record, const Fact& fact) {
    DROVER_ASSERT(record.seq == state.seq + 1);
    state.seq = record.seq;
    if (const auto* event = std::get_if<statemachine::Event>(&fact)) {
        apply_to_job(state, record, *event);
    } else {
        evolve(state.registry, std::get<SystemFact>(fact), record.wall_micros);
    }
}

Result<State> replay(const eventlog::EventLog& log) {
    State state;
    state.lineage = log.head().lineage;
    std::optional<Error> failure;
    const auto read = log.read(1, [&](const eventlog::Record& record) {
        const auto fact = decode_record_fact(record);
        if (!fact) {
            failure = Error(fact.error().code(), fact.error().id(),
                            "event " + std::to_string(record.seq) + ": " + fact.error().detail(),
                            fact.error().kept(), fact.error().next());
            return false;
        }
        apply(state, record, *fact);
        return true;
    });
    if (!read) return read.error();
    if (failure) return *failure;
    return state;
}

}  // namespace drover::history
