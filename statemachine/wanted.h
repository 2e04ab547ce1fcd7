/// The pieces of outstanding() that decide needs too. Internal to statemachine.
#pragma once

#include "schemas/model.h"
#include "statemachine/job.h"

#include <optional>
#include <string_view>

namespace drover::statemachine {

/// True if `id` is of work that the job wants now, or would want were it neither paused nor parked:
/// a report about it still tells something.
[[nodiscard]] bool is_current(const Job& job, const EffectId& id);

/// The one timer: the armed time, the outage deadline or the end of the hold, whichever is next.
struct Wake {
    WallMicros at_micros = 0;
    EffectId id;
};

[[nodiscard]] std::optional<Wake> next_wake(const Job& job);

/// The host on which a hook runs.
[[nodiscard]] Side side_of(HookStep step);

/// The target cannot be writing: it never was allowed to, it said so, or a person did.
[[nodiscard]] inline bool target_is_out(const Job& job) {
    return !job.activate_derived || job.target_deactivated || job.target_stop_confirmed;
}

/// Rolling back, and the source may go into service again.
[[nodiscard]] bool wants_release(const Job& job);

[[nodiscard]] inline const std::string& agent_of(const Job& job, Side side) {
    return side == Side::source ? job.spec.source_agent : job.spec.target_agent;
}

[[nodiscard]] inline bool is_connected(const Job& job, Side side) {
    return job.agent_connected.at(static_cast<std::size_t>(side));
}

// What agents announce in their preflights; without it they are not asked.
constexpr std::string_view capability_test = "test.overlay";
constexpr std::string_view capability_reverse = "reverse.sync";
constexpr std::string_view capability_induction = "verify.induction";
constexpr std::string_view capability_hold = "compare.hold";

[[nodiscard]] bool has_capability(const Job& job, Side side, std::string_view capability);

[[nodiscard]] inline const std::optional<PreflightDone>& preflight_of(const Job& job, Side side) {
    return job.preflight.at(static_cast<std::size_t>(side));
}

/// Verify need not compare the whole disks: the plan says so, and nothing speaks against it.
[[nodiscard]] bool may_release_by_induction(const Job& job, const DrainDone& drained);

/// Released by induction, and the plan asks for a comparison during the hold that has neither been
/// made nor waived.
[[nodiscard]] bool owes_hold_comparison(const Job& job);
/// That, and it can be made: nothing differed yet, and the fenced source is what it was.
[[nodiscard]] bool wants_hold_comparison(const Job& job);

/// The way back with the target's writes may go on: the target is down, all that its users wrote
/// is known, and the source is as it was fenced.
[[nodiscard]] bool may_go_back(const Job& job);

/// Of a ticket, from what a person did last.
constexpr WallMicros ticket_life_micros = 30LL * 86400 * 1'000'000;

/// The source may have written after its fence stood: the target must not be let in.
[[nodiscard]] inline bool fence_is_void(const Job& job) {
    return job.fence_breached || job.fence_broken;
}

}  // namespace drover::statemachine
