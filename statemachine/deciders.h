/// One function for each kind of wish; decide() checks what holds for all of them and picks one.
/// Internal to statemachine. Grouped by file: decide_plan.cc, decide_operator.cc,
/// decide_cutover.cc, decide_rollback.cc, decide_report.cc.
#pragma once

#include "statemachine/decide.h"
#include "statemachine/rejections.h"
#include "statemachine/wanted.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace drover::statemachine {

/// What every decider sees.
struct Asked {
    const Job& job;
    const Command& command;
    const DecideContext& context;
};

[[nodiscard]] inline Rejected reject(std::string_view id, std::string detail, std::string next) {
    return {std::string(id), std::move(detail), std::move(next)};
}

/// "cutover is not possible while the job is planned".
[[nodiscard]] Rejected wrong_phase(const Asked& asked, std::string next);

[[nodiscard]] bool is_one_of(Phase phase, std::initializer_list<Phase> phases);

/// The refusal for a job that a person paused or that something parked; nullopt if neither.
[[nodiscard]] std::optional<Rejected> held_up(const Job& job);

// ---- decide_plan.cc ----
[[nodiscard]] Decision decide_on(const Plan& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Preflight& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Start& wish, const Asked& asked);
/// What follows from one side's half; concludes if the other half is there.
[[nodiscard]] Accepted decide_preflight_half(const Job& job, Side side, const PreflightDone& half);

// ---- decide_operator.cc ----
[[nodiscard]] Decision decide_on(const Pause& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Resume& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Throttle& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const TestStart& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const TestRevert& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Cancel& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Retry& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Park& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Unpark& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const DeleteData& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const LiftQuarantine& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const LinkChanged& wish, const Asked& asked);
/// The refusal if the agent of `side` did not announce `capability` in its preflight.
[[nodiscard]] std::optional<Rejected> lacks_capability(const Job& job, Side side,
                                                       std::string_view capability);

// ---- decide_cutover.cc ----
[[nodiscard]] Decision decide_on(const Arm& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Disarm& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Cutover& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const WaiveValidation& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Commit& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const TimerElapsed& wish, const Asked& asked);

/// The refusal while something of an earlier run is still to be undone; nullopt if nothing is.
[[nodiscard]] std::optional<Rejected> owed_from_before(const Job& job);

// ---- decide_rollback.cc ----
[[nodiscard]] Decision decide_on(const Rollback& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const Resync& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const ConfirmTargetStopped& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const AbandonReverse& wish, const Asked& asked);

// ---- decide_reconcile.cc ----
[[nodiscard]] Decision decide_on(const Resolve& wish, const Asked& asked);
[[nodiscard]] Decision decide_on(const WorldReported& wish, const Asked& asked);
/// What is not decided while the job is reconciling; nullopt for a wish that is.
[[nodiscard]] std::optional<Decision> decide_reconciling(const Asked& asked);

// ---- decide_report.cc ----
[[nodiscard]] Decision decide_on(const ReportReceived& wish, const Asked& asked);

}  // namespace drover::statemachine
