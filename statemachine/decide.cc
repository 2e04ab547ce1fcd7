#include "statemachine/decide.h"

#include "statemachine/codec.h"
#include "statemachine/deciders.h"

#include <algorithm>

namespace drover::statemachine {
namespace {

/// Nothing happens to a quarantined job. A report is refused, so that its agent keeps it; timers
/// and links come again by themselves.
Decision decide_quarantined(const Asked& asked) {
    const Wish& wish = asked.command.wish;
    if (const auto* lift = std::get_if<LiftQuarantine>(&wish)) return decide_on(*lift, asked);
    if (std::holds_alternative<TimerElapsed>(wish) || std::holds_alternative<LinkChanged>(wish)) {
        return Accepted{};
    }
    return reject(rejection::quarantined,
                  "the job is quarantined: " + asked.job.quarantined.value_or(""),
                  "find out why its history is not legal, then lift the quarantine");
}

/// Facts leave decide in the form in which a replay will read them, so that the live state cannot
/// differ from a replayed one; and what could not be read back never reaches the log.
Decision storable(Decision decision) {
    auto* accepted = std::get_if<Accepted>(&decision);
    if (accepted == nullptr) return decision;
    for (Event& event : accepted->events) {
        auto stored = decode_event(static_cast<std::uint16_t>(kind_of(event)), event_version,
                                   encode_event(event));
        if (!stored) {
            return reject(rejection::text_not_storable, stored.error().detail(),
                          "shorten the text or remove unusual characters");
        }
        event = std::move(stored).value();
    }
    return decision;
}

}  // namespace

Rejected wrong_phase(const Asked& asked, std::string next) {
    return reject(rejection::wrong_phase,
                  std::string(action_of(asked.command.wish)) +
                      " is not possible while the job is " + std::string(name_of(asked.job.phase)),
                  std::move(next));
}

bool is_one_of(Phase phase, std::initializer_list<Phase> phases) {
    return std::find(phases.begin(), phases.end(), phase) != phases.end();
}

std::optional<Rejected> held_up(const Job& job) {
    if (job.parked) {
        return reject(rejection::job_parked, "the job is parked: " + job.parked->error.text(),
                      "follow its advice, then retry or unpark");
    }
    if (job.paused) {
        return reject(rejection::job_paused,
                      "the job is paused" +
                          (job.pause_reason.empty() ? std::string() : ": " + job.pause_reason),
                      "resume it first");
    }
    return std::nullopt;
}

Decision decide(const Job& job, const Command& command, const DecideContext& context) {
    const Asked asked{job, command, context};
    if (!job.exists && !std::holds_alternative<Plan>(command.wish)) {
        return reject(rejection::no_such_job, "no job of this name was planned",
                      "list the jobs, or plan this one");
    }
    if (job.quarantined) return decide_quarantined(asked);
    if (auto decided = decide_reconciling(asked)) return *std::move(decided);
    return storable(
        std::visit([&](const auto& wish) { return decide_on(wish, asked); }, command.wish));
}

}  // namespace drover::statemachine
