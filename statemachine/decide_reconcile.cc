// After a restore with a loss. Until both sides are known to hold what the log says, nothing is
// decided about a job but what was found there and, by a person, that it ends as it was found.
#include "base/mutation.h"
#include "statemachine/deciders.h"
#include "statemachine/reconcile.h"

namespace drover::statemachine {
namespace {

const std::optional<JobWorld>& world_of(const Job& job, Side side) {
    return job.reconciling->worlds.at(static_cast<std::size_t>(side));
}

Rejected contradicts(std::string detail) {
    return reject(rejection::resolve_contradicts, std::move(detail),
                  "look at both hosts; --as neither ends the job whoever serves");
}

/// What an agent reports must not be the opposite of what the person says. What nobody reports is
/// the person's word.
std::optional<Rejected> contradiction(const Job& job, Serving serving) {
    const auto& source = world_of(job, Side::source);
    const auto& target = world_of(job, Side::target);
    const bool target_lives =
        target && (target->handover == Handover::active || target->handover == Handover::under_way);
    if (serving == Serving::source && target_lives)
        return contradicts("agent " + job.spec.target_agent +
                           " says that the target is in service");
    if (serving != Serving::target) return std::nullopt;
    if (source && source->fence.is_zero())
        return contradicts("agent " + job.spec.source_agent + " says that no fence stands there");
    if (target && target->handover != Handover::active && !target->closed)
        return contradicts("agent " + job.spec.target_agent +
                           " says that the target is not in service");
    return std::nullopt;
}

Event verdict(Serving serving, const Command& command) {
    switch (serving) {
        case Serving::target:
            return ResolvedToTarget{command.actor, command.reason};
        case Serving::source:
            return ResolvedToSource{command.actor, command.reason};
        case Serving::neither:
            break;
    }
    return ResolvedToNeither{command.actor, command.reason};
}

/// Such a report only ever withholds: the later it is known, the worse.
bool tells_of_broken_fence(const Wish& wish) {
    const auto* report = std::get_if<ReportReceived>(&wish);
    return report != nullptr && (std::holds_alternative<FenceBreach>(report->report.body) ||
                                 std::holds_alternative<FenceBrokenByRoot>(report->report.body));
}

}  // namespace

std::optional<Decision> decide_reconciling(const Asked& asked) {
    const Wish& wish = asked.command.wish;
    if (!asked.job.reconciling || DROVER_MUTANT("reconciling_ignored")) return std::nullopt;
    if (std::holds_alternative<Resolve>(wish) || std::holds_alternative<WorldReported>(wish) ||
        std::holds_alternative<LinkChanged>(wish) || tells_of_broken_fence(wish))
        return std::nullopt;
    // It comes again by itself.
    if (std::holds_alternative<TimerElapsed>(wish)) return Decision(Accepted{});
    return Decision(
        reject(rejection::job_reconciling,
               "the log was restored from an older copy, and what both hosts hold is "
               "not known to be what it says",
               "wait until both agents have reported; if they differ from the log, look "
               "at both hosts and end the job with resolve"));
}

Decision decide_on(const Resolve& wish, const Asked& asked) {
    const Job& job = asked.job;
    if (!job.reconciling)
        return reject(rejection::not_reconciling, "no restore left this job undecided",
                      "use the usual commands");
    if (wish.confirm != job.spec.name)
        return reject(rejection::confirmation_wrong,
                      "the confirmation does not equal the job's name",
                      "confirm with the name " + job.spec.name);
    if (asked.command.reason.empty())
        return reject(rejection::reason_missing, "a verdict needs a reason",
                      "say how it was found out who serves");
    if (auto other = contradiction(job, wish.serving)) return *other;
    return Accepted{{verdict(wish.serving, asked.command)}};
}

Decision decide_on(const WorldReported& wish, const Asked& asked) {
    const Job& job = asked.job;
    const JobWorld& world = wish.world;
    if (asked.command.actor != "agent:" + agent_of(job, world.side))
        return reject(
            rejection::wrong_agent,
            asked.command.actor + " reported what agent " + agent_of(job, world.side) + " holds",
            "check which certificate that host uses");
    if (!job.reconciling || world_of(job, world.side) == world) return Accepted{};
    Accepted accepted{{WorldSeen{world}}};
    Job after = job;
    after.reconciling->worlds.at(static_cast<std::size_t>(world.side)) = world;
    if (agrees(after)) accepted.events.emplace_back(Reconciled{});
    return accepted;
}

}  // namespace drover::statemachine
