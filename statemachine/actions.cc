// The actions' names, and which of them decide would accept now.
#include "base/assert.h"
#include "statemachine/deciders.h"

namespace drover::statemachine {
namespace {

struct ActionName {
    std::string_view operator()(const Plan&) { return "plan"; }

    std::string_view operator()(const Preflight&) { return "preflight"; }

    std::string_view operator()(const Start&) { return "start"; }

    std::string_view operator()(const Pause&) { return "pause"; }

    std::string_view operator()(const Resume&) { return "resume"; }

    std::string_view operator()(const Throttle&) { return "throttle"; }

    std::string_view operator()(const TestStart&) { return "test-start"; }

    std::string_view operator()(const TestRevert&) { return "test-revert"; }

    std::string_view operator()(const Arm&) { return "arm"; }

    std::string_view operator()(const Disarm&) { return "disarm"; }

    std::string_view operator()(const Cutover&) { return "cutover"; }

    std::string_view operator()(const Rollback&) { return "rollback"; }

    std::string_view operator()(const Resync&) { return "resync"; }

    std::string_view operator()(const Commit&) { return "commit"; }

    std::string_view operator()(const Cancel&) { return "cancel"; }

    std::string_view operator()(const Retry&) { return "retry"; }

    std::string_view operator()(const Park&) { return "park"; }

    std::string_view operator()(const Unpark&) { return "unpark"; }

    std::string_view operator()(const ConfirmTargetStopped&) { return "confirm-target-stopped"; }

    std::string_view operator()(const WaiveValidation&) { return "waive-validation"; }

    std::string_view operator()(const AbandonReverse&) { return "abandon-reverse"; }

    std::string_view operator()(const DeleteData&) { return "delete-data"; }

    std::string_view operator()(const LiftQuarantine&) { return "lift-quarantine"; }

    std::string_view operator()(const ReportReceived&) { return "report"; }

    std::string_view operator()(const TimerElapsed&) { return "timer"; }

    std::string_view operator()(const LinkChanged&) { return "link"; }

    std::string_view operator()(const Resolve&) { return "resolve"; }

    std::string_view operator()(const WorldReported&) { return "world"; }
};

/// Arguments as a person would give them, so that only the state decides.
Wish plausible(Wish wish, const Job& job) {
    constexpr const char* any_text = "dry run";
    if (auto* commit = std::get_if<Commit>(&wish)) commit->confirm = job.spec.name;
    if (auto* deletion = std::get_if<DeleteData>(&wish)) deletion->confirm = job.spec.name;
    if (auto* rollback = std::get_if<Rollback>(&wish)) rollback->acknowledged_loss = any_text;
    if (auto* resync = std::get_if<Resync>(&wish)) resync->acknowledged_loss = any_text;
    if (auto* abandon = std::get_if<AbandonReverse>(&wish)) abandon->acknowledged_loss = any_text;
    if (auto* stopped = std::get_if<ConfirmTargetStopped>(&wish)) stopped->how = any_text;
    if (auto* resolve = std::get_if<Resolve>(&wish)) resolve->confirm = job.spec.name;
    if (auto* throttle = std::get_if<Throttle>(&wish)) {
        throttle->limits.rate_bytes_per_s = job.limits.rate_bytes_per_s + 1;
    }
    return wish;
}

std::optional<Rejected> why_not(const Decision& decision) {
    if (const auto* rejected = std::get_if<Rejected>(&decision)) return *rejected;
    if (!std::get<Accepted>(decision).events.empty()) return std::nullopt;
    return reject(rejection::nothing_to_do, "it is already so", "nothing has to be done");
}

}  // namespace

std::string_view action_of(const Wish& wish) {
    return std::visit(ActionName{}, wish);
}

const std::vector<Wish>& operator_wishes() {
    // Without Plan: it makes a job, it is not an action on one.
    static const std::vector<Wish> wishes{Preflight{},       Start{},
                                          Pause{},           Resume{},
                                          Throttle{},        TestStart{},
                                          TestRevert{},      Arm{},
                                          Disarm{},          Cutover{},
                                          Rollback{},        Resync{},
                                          Commit{},          Cancel{},
                                          Retry{},           Park{},
                                          Unpark{},          ConfirmTargetStopped{},
                                          WaiveValidation{}, AbandonReverse{},
                                          DeleteData{},      LiftQuarantine{},
                                          Resolve{}};
    return wishes;
}

std::vector<ActionVerdict> allowed_actions(const Job& job, WallMicros now_micros) {
    DecideContext context;
    context.now_micros = now_micros;
    context.fresh_token.data.fill(1);  // of a cutover that is only tried out
    std::vector<ActionVerdict> out;
    for (const Wish& wish : operator_wishes()) {
        const Command command{Uuid{}, "operator:dry-run", "dry run", plausible(wish, job)};
        out.push_back({std::string(action_of(wish)), why_not(decide(job, command, context))});
    }
    return out;
}

}  // namespace drover::statemachine
