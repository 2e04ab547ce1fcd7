// What agents show of the world, against our log: that it is an older copy, or what their hosts
// hold of jobs that a restore left undecided.
#include "base/log.h"
#include "orchestrator/agent_sessions.h"

#include <algorithm>

namespace drover::orchestrator {

/// What a host holds is asked for where a restore left one of its jobs undecided, or may have
/// forgotten one.
bool AgentSessions::wants_world(const std::string& agent) const {
    if (!engine_.state().resets.empty()) return true;
    const std::set<JobId>& jobs = engine_.state().jobs_with(agent);
    return std::any_of(jobs.begin(), jobs.end(), [this](const JobId& job) {
        return engine_.state().find(job)->job.reconciling.has_value();
    });
}

void AgentSessions::note_older_copy(const std::string& agent, const Error& why) {
    if (older_copy_) return;
    older_copy_ =
        Error(Errc::unavailable, why.id(), "agent " + agent + ": " + why.detail(),
              "nothing is asked of any agent; replication and fences stay as they are", why.next());
    log::error("agents", "this log is an older copy; droverd asks nothing of anybody: " +
                             older_copy_->text());
}

/// What the host of `agent` holds, against every job of it that a restore left undecided.
void AgentSessions::take_world(const std::string& agent, const WorldFound& found) {
    for (const JobId& id : engine_.state().jobs_with(agent)) {
        const JobEntry* entry = engine_.state().find(id);
        if (!entry || entry->illegal || !entry->job.reconciling) continue;
        for (const Side side : {Side::source, Side::target}) {
            if (!owns(agent, id, side)) continue;
            const auto known = std::find_if(
                found.jobs.begin(), found.jobs.end(),
                [&](const JobWorld& world) { return world.job == id && world.side == side; });
            if (known != found.jobs.end()) {
                submit_world(agent, *entry, *known);
            } else if (!found.is_cut) {
                JobWorld nothing;
                nothing.job = id;
                nothing.side = side;
                submit_world(agent, *entry, nothing);
            }
        }
    }
    Presence& there = presences_[agent];
    const std::size_t before = there.unknown_jobs.size();
    there.unknown_jobs.clear();
    for (const JobWorld& world : found.jobs) {
        const bool holds_something = !world.closed || !world.fence.is_zero();
        if (holds_something && !engine_.state().find(world.job))
            there.unknown_jobs.push_back(world);
    }
    if (there.unknown_jobs.size() != before)
        log::warn("agents", "holds jobs that this log does not know",
                  "agent=" + agent + " jobs=" + std::to_string(there.unknown_jobs.size()));
}

void AgentSessions::submit_world(const std::string& agent, const JobEntry& entry,
                                 const JobWorld& world) {
    const auto& seen = entry.job.reconciling->worlds.at(static_cast<std::size_t>(world.side));
    if (seen == world) return;
    JobCommand command;
    command.job = entry.job.id;
    command.command.command_id = random_.uuid();
    command.command.actor = "agent:" + agent;
    command.command.wish = statemachine::WorldReported{world};
    engine_.submit({std::move(command), Hash{}}, [](const Result<Answer>& answer) {
        // Level-triggered: the agent says it again.
        if (!answer) log::debug("agents", "a host's state waits: " + answer.error().text());
    });
}

}  // namespace drover::orchestrator
