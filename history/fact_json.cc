#include "history/fact_json.h"

#include "base/assert.h"
#include "history/time_text.h"
#include "statemachine/codec.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

json::object fact_data(const SystemFact& fact) {
    if (const auto* started = std::get_if<OrchestratorStarted>(&fact)) {
        return {{"epoch", started->epoch},
                {"software", started->software},
                {"start", uuid_text(started->start)}};
    }
    if (const auto* token = std::get_if<AgentTokenCreated>(&fact)) {
        return {{"agent", token->agent}, {"expires", rfc3339(token->expires_micros)}};
    }
    if (const auto* enrolled = std::get_if<AgentEnrolled>(&fact)) {
        return {{"agent", enrolled->agent}, {"hosts", texts_json(enrolled->hosts)}};
    }
    if (const auto* barrier = std::get_if<FormatBarrier>(&fact)) {
        return {{"min_reader", barrier->min_reader}, {"reason", barrier->reason}};
    }
    if (const auto* digest = std::get_if<StateDigest>(&fact)) {
        return {{"job", uuid_text(digest->job)},
                {"stream_seq", digest->stream_seq},
                {"version", digest->version},
                {"digest", digest->digest.hex()}};
    }
    if (const auto* changed = std::get_if<LineageChanged>(&fact)) {
        const LineageReset& reset = changed->reset;
        return {{"old_lineage", uuid_text(reset.old_lineage)},
                {"old_head_seq", reset.old_head_seq},
                {"old_head_hash", reset.old_head_hash.hex()},
                {"old_epoch", reset.old_epoch},
                {"new_lineage", uuid_text(reset.new_lineage)},
                {"new_epoch", reset.new_epoch},
                {"by", reset.by},
                {"reason", reset.reason},
                {"signed", !reset.signature.empty()}};
    }
    const auto& described = std::get<AgentDescribed>(fact);
    return {{"agent", described.agent},
            {"incarnation", uuid_text(described.incarnation)},
            {"host_identity", described.host_identity},
            {"software", described.software},
            {"roles", texts_json(described.roles)},
            {"capabilities", texts_json(described.capabilities)}};
}

}  // namespace

json::object data_json(const Fact& fact) {
    if (const auto* system = std::get_if<SystemFact>(&fact)) return fact_data(*system);
    json::error_code error;
    json::value parsed =
        json::parse(statemachine::event_json(std::get<statemachine::Event>(fact)), error);
    DROVER_ASSERT(!error && parsed.is_object());
    parsed.get_object().erase("event");
    return std::move(parsed.get_object());
}

json::array texts_json(const std::vector<std::string>& texts) {
    json::array out;
    for (const std::string& text : texts) out.emplace_back(text);
    return out;
}

json::string_view to_json(std::string_view text) {
    return {text.data(), text.size()};
}

std::string_view name_of(const Fact& fact) {
    if (const auto* system = std::get_if<SystemFact>(&fact)) return name_of(kind_of(*system));
    return statemachine::name_of(kind_of(std::get<statemachine::Event>(fact)));
}

json::object record_json(const eventlog::Record& record, const Fact& fact) {
    json::object out{{"seq", record.seq},
                     {"stream_seq", record.stream_seq},
                     {"time", rfc3339(record.wall_micros)},
                     {"event", to_json(name_of(fact))},
                     {"by", record.actor},
                     {"epoch", record.epoch},
                     {"cause", record.cause},
                     {"hash", record.hash.hex()},
                     {"data", data_json(fact)}};
    if (record.clock_stepped) out["clock_stepped"] = true;
    return out;
}

json::object feed_json(const State& state, const eventlog::Record& record, const Fact& fact) {
    json::object out{{"seq", record.seq},
                     {"job", nullptr},
                     {"event", to_json(name_of(fact))},
                     {"time", rfc3339(record.wall_micros)},
                     {"by", record.actor},
                     {"data", data_json(fact)}};
    if (record.stream.kind == eventlog::StreamKind::job) {
        const JobEntry* entry = state.find(record.stream.id);
        if (entry) out["job"] = entry->job.spec.name;
    }
    return out;
}

}  // namespace drover::history
