#include "history/what_if.h"

#include "history/fact_json.h"
#include "history/job_view.h"
#include "statemachine/evolve.h"
#include "statemachine/outstanding.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

json::array outstanding_json(const statemachine::Job& job) {
    json::array out;
    for (const Effect& effect : statemachine::outstanding(job)) {
        out.push_back({{"kind", to_json(name_of(effect.id.kind))},
                       {"side", to_json(name_of(effect.id.side))},
                       {"agent", effect.agent}});
    }
    return out;
}

json::object fact_json(const statemachine::Event& event, eventlog::Seq seq) {
    json::object data = data_json(Fact(event));
    if (std::holds_alternative<statemachine::CutoverStarted>(event)) data["token"] = nullptr;
    return {{"seq", seq}, {"event", to_json(name_of(Fact(event)))}, {"data", std::move(data)}};
}

json::object refusal_json(const statemachine::Rejected& rejected) {
    return {{"id", rejected.id}, {"detail", rejected.detail}, {"next", rejected.next}};
}

}  // namespace

Result<json::object> what_if_json(const JobEntry& entry, const WhatIf& asked) {
    const auto* rejected = std::get_if<statemachine::Rejected>(&asked.decision);
    json::object out{{"job", entry.job.spec.name},
                     {"action", to_json(asked.action)},
                     {"accepted", rejected == nullptr},
                     {"phase", to_json(statemachine::name_of(entry.job.phase))}};
    JobEntry after = entry;
    json::array events;
    if (rejected == nullptr) {
        for (const auto& event : std::get<statemachine::Accepted>(asked.decision).events) {
            const eventlog::Seq seq = asked.next_seq + events.size();
            TRY_VOID(statemachine::evolve(after.job, event, {seq, Hash{}, asked.wall_micros}));
            events.push_back(fact_json(event, seq));
        }
    }
    out["refused"] = rejected ? json::value(refusal_json(*rejected)) : json::value(nullptr);
    out["events"] = std::move(events);
    out["phase_after"] = to_json(statemachine::name_of(after.job.phase));
    out["outstanding"] = outstanding_json(after.job);
    out["waiting_for"] = waiting_json(after);
    return out;
}

}  // namespace drover::history
