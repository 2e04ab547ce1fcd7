#include "history/replay_check.h"

#include "base/assert.h"
#include "history/difference.h"
#include "statemachine/evolve.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

/// More of them say nothing new.
constexpr std::size_t differences_shown_max = 100;
constexpr std::size_t fields_shown_max = 5;

json::value state_of(const statemachine::Job& job) {
    json::error_code error;
    json::value state = json::parse(statemachine::job_text(job), error);
    DROVER_ASSERT(!error);
    return state;
}

/// `live` as the rebuilt state says it should be; empty if they agree.
std::string difference(const JobEntry& live, const JobEntry* rebuilt) {
    if (!rebuilt) return "the log knows no such job";
    if (live == *rebuilt) return {};
    if (live.illegal != rebuilt->illegal) {
        return rebuilt->illegal ? rebuilt->illegal->text() : "live it is left alone";
    }
    const auto fields = changes(state_of(live.job), state_of(rebuilt->job));
    std::string text = fields.empty() ? "another last refusal" : "";
    for (std::size_t i = 0; i < fields.size() && i < fields_shown_max; ++i) {
        text += (i == 0 ? "" : "; ") + fields[i].path + ": live " +
                fields[i].from.value_or("nothing") + ", rebuilt " +
                fields[i].to.value_or("nothing");
    }
    return text;
}

}  // namespace

ReplayCheck::ReplayCheck(const eventlog::EventLog& log, const State& live)
    : log_(log) {
    rebuilt_.lineage = live.resets.empty() ? live.lineage : live.resets.front().old_lineage;
}

Result<bool> ReplayCheck::advance(std::size_t events_max) {
    if (rebuilt_.seq < log_.head().seq) {
        TRY_VOID(replay_on(log_, rebuilt_, events_max));
    }
    return rebuilt_.seq == log_.head().seq;
}

json::object ReplayCheck::compare(const State& live) const {
    DROVER_ASSERT(live.seq == rebuilt_.seq);
    json::array differences;
    const auto differs = [&](json::value job, const std::string& detail) {
        if (differences.size() >= differences_shown_max) return;
        differences.push_back({{"job", std::move(job)}, {"seq", live.seq}, {"detail", detail}});
    };
    for (const auto& [id, entry] : live.jobs) {
        const std::string detail = difference(entry, rebuilt_.find(id));
        if (!detail.empty()) differs(json::value(entry.job.spec.name), detail);
    }
    if (rebuilt_.jobs.size() != live.jobs.size()) differs(nullptr, "the log has other jobs");
    if (rebuilt_.registry != live.registry) differs(nullptr, "the agents' registry differs");
    if (differences.empty() && rebuilt_ != live) differs(nullptr, "an index of jobs differs");
    return {{"ok", differences.empty()},
            {"jobs", live.jobs.size()},
            {"events", rebuilt_.seq},
            {"differences", std::move(differences)}};
}

}  // namespace drover::history
