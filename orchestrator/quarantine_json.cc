#include "orchestrator/quarantine_json.h"

#include "history/fact_json.h"
#include "history/time_text.h"
#include "statemachine/outstanding.h"
#include "statemachine/transitions.h"

#include <algorithm>
#include <set>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

constexpr const char* what_next =
    "save `drover support-bundle` and `drover job history`; see \"A job's history is not legal\" "
    "in "
    "the operations guide";

/// The first fact of the job that its state does not contain.
json::value first_left_out(const eventlog::EventLog& log, const JobEntry& entry) {
    const eventlog::StreamId stream{eventlog::StreamKind::job, entry.job.id};
    const eventlog::StreamSeq position = entry.job.version + 1;
    json::value found = nullptr;
    if (position > log.stream_head(stream).seq) return found;
    const auto read = log.read_stream(stream, position, [&](const eventlog::Record& record) {
        const auto fact = decode_record_fact(record);
        found = json::object{{"seq", record.seq},
                             {"position", record.stream_seq},
                             {"event", fact ? json::value(name_of(*fact)) : json::value(nullptr)},
                             {"by", printable(record.actor, 128)},
                             {"time", rfc3339(record.wall_micros)}};
        return false;
    });
    if (!read) found = nullptr;
    return found;
}

json::array expected_facts(statemachine::Phase phase) {
    std::set<std::string_view> names;
    for (const statemachine::TransitionRow& row : statemachine::transition_rows()) {
        if (row.from == phase) names.insert(statemachine::name_of(row.event));
    }
    json::array out;
    for (const std::string_view name : names) out.emplace_back(name);
    return out;
}

/// What the agents were last told: nobody takes it back, so replication runs and fences hold.
json::array kept_effects(const statemachine::Job& job) {
    json::array out;
    if (!job.exists) return out;
    for (const Effect& effect : statemachine::outstanding(job)) {
        if (effect.agent.empty() || effect.id.kind == EffectKind::wake_at) continue;
        out.push_back({{"kind", json::string(name_of(effect.id.kind))},
                       {"side", json::string(name_of(effect.id.side))},
                       {"agent", effect.agent}});
    }
    return out;
}

}  // namespace

json::value quarantine_json(const Core& core, const JobEntry& entry) {
    if (!entry.illegal) return nullptr;
    const eventlog::EventLog& log = core.engine().log();
    const auto events = log.stream_head({eventlog::StreamKind::job, entry.job.id}).seq;
    return json::object{{"id", entry.illegal->id()},
                        {"detail", entry.illegal->detail()},
                        {"kept", entry.illegal->kept()},
                        {"next", what_next},
                        {"applied", entry.job.version},
                        {"left_out", events - std::min<std::uint64_t>(events, entry.job.version)},
                        {"event", first_left_out(log, entry)},
                        {"expected", expected_facts(entry.job.phase)},
                        {"agents_keep", kept_effects(entry.job)}};
}

}  // namespace drover::orchestrator
