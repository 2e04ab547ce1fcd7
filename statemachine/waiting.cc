// Whom and what a job waits for.
#include "base/assert.h"
#include "statemachine/decide.h"
#include "statemachine/outstanding.h"
#include "statemachine/reconcile.h"
#include "statemachine/wanted.h"

namespace drover::statemachine {
namespace {

/// What a person has to do next; empty if the job goes on by itself.
std::string operator_task(const Job& job) {
    switch (job.phase) {
        case Phase::blocked:
            return "correct what the preflight found, then run preflight again";
        case Phase::ready:
            return "start the job";
        case Phase::syncing:
            return job.data_state == DataState::in_sync ? "arm or start the cutover" : "";
        case Phase::testing:
            return job.test ? "look at the test, then revert it" : "";
        case Phase::armed:
            return job.armed && job.armed->at_micros != 0 ? "" : "start the cutover, or disarm it";
        case Phase::holding:
            return "commit, or roll back";
        case Phase::rolled_back:
            return "sync again, or cancel";
        case Phase::rolling_back:
            if (!target_is_out(job))
                return "if the target cannot answer: stop it, then confirm that";
            if (wants_release(job)) return "";
            return job.target_deactivated
                       ? "abandon the target's writes: they are not all known"
                       : "bring the target's agent back, or abandon the target's writes";
        case Phase::reverse_draining:
        case Phase::reverse_verifying:
            return "if it cannot finish: abandon the target's writes";
        case Phase::planned:
        case Phase::mirroring:
        case Phase::fencing:
        case Phase::draining:
        case Phase::verifying:
        case Phase::activating:
        case Phase::validating:
        case Phase::committed:
        case Phase::cancelled:
            return "";
    }
    DROVER_UNREACHABLE();
}

/// The end of the outage or of the hold; 0 if none runs.
WallMicros deadline_of(const Job& job) {
    if (job.phase == Phase::holding) return job.hold_deadline_micros;
    return is_in_cutover(job.phase) ? job.outage_deadline_micros : 0;
}

WallMicros since_of(const Job& job, const Effect& effect) {
    if (effect.id.seq == job.phase_cause.seq) return job.phase_cause.wall_micros;
    if (effect.id.seq == job.deactivate_cause.seq) return job.deactivate_cause.wall_micros;
    if (effect.id.seq == job.release_cause.seq) return job.release_cause.wall_micros;
    if (effect.id.seq == job.deletion_cause.seq) return job.deletion_cause.wall_micros;
    return job.phase_since_micros;
}

void wait_for_reconciliation(const Job& job, std::vector<Waiting>& out) {
    const WallMicros since = job.reconciling->since_micros;
    for (const Side side : {Side::source, Side::target}) {
        if (job.reconciling->worlds.at(static_cast<std::size_t>(side))) continue;
        out.push_back(
            {agent_of(job, side), "its report of what it holds, after a restore", since, 0});
    }
    std::string found;
    for (const Difference& difference : differences(job))
        found += (found.empty() ? "" : "; ") + difference.detail;
    if (!found.empty())
        out.push_back({"operator", "reconciling after a restore: " + found, since, 0});
}

void wait_for_persons(const Job& job, std::vector<Waiting>& out) {
    if (job.quarantined) {
        out.push_back({"operator", "quarantined: " + *job.quarantined, job.phase_since_micros, 0});
        return;
    }
    if (job.reconciling) {
        wait_for_reconciliation(job, out);
        return;
    }
    if (job.parked) {
        out.push_back({"operator", "parked: " + job.parked->error.text(), job.parked->since_micros,
                       deadline_of(job)});
    }
    if (job.paused) {
        out.push_back(
            {"operator", "paused: resume the job", job.phase_since_micros, deadline_of(job)});
    }
    const std::string task = operator_task(job);
    if (!task.empty()) {
        out.push_back({"operator", task, job.phase_since_micros, deadline_of(job)});
    }
}

void wait_for_agents(const Job& job, std::vector<Waiting>& out) {
    for (const Effect& effect : outstanding(job)) {
        if (is_standing(effect.id.kind)) continue;
        std::string what(name_of(effect.id.kind));
        if (!is_connected(job, effect.id.side)) what += " (the agent is not connected)";
        out.push_back({effect.agent, std::move(what), since_of(job, effect), deadline_of(job)});
    }
    const bool copying = job.phase == Phase::mirroring ||
                         (job.phase == Phase::syncing && job.data_state != DataState::in_sync);
    if (copying && !job.paused && !job.parked) {
        const std::string what =
            job.phase == Phase::mirroring
                ? "the first copy of every block"
                : "the copy to be in sync; it is " + std::string(name_of(job.data_state));
        out.push_back({job.spec.source_agent, what, job.data_state_since_micros, 0});
    }
}

}  // namespace

std::vector<Waiting> waiting_for(const Job& job) {
    std::vector<Waiting> out;
    if (!job.exists) return out;
    wait_for_persons(job, out);
    if (job.quarantined || job.reconciling) return out;
    wait_for_agents(job, out);
    if (job.phase == Phase::armed && job.armed && job.armed->at_micros != 0) {
        out.push_back({"time", "the armed start of the cutover", job.phase_since_micros,
                       job.armed->at_micros});
    }
    return out;
}

}  // namespace drover::statemachine
