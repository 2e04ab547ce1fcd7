#include "statemachine/staying_facts.h"

#include <array>
#include <initializer_list>

namespace drover::statemachine {
namespace {

using PhaseSet = std::uint32_t;

constexpr PhaseSet bit(Phase phase) {
    return PhaseSet{1} << static_cast<unsigned>(phase);
}

constexpr PhaseSet set(std::initializer_list<Phase> phases) {
    PhaseSet out = 0;
    for (const Phase phase : phases) out |= bit(phase);
    return out;
}

/// From `first` to `last`, both included, in the order of the enum.
constexpr PhaseSet range(Phase first, Phase last) {
    PhaseSet out = 0;
    for (unsigned i = static_cast<unsigned>(first); i <= static_cast<unsigned>(last); ++i) {
        out |= PhaseSet{1} << i;
    }
    return out;
}

constexpr PhaseSet every = range(Phase::planned, Phase::cancelled);
constexpr PhaseSet finals = set({Phase::committed, Phase::cancelled});
constexpr PhaseSet before_start = set({Phase::planned, Phase::blocked, Phase::ready});
constexpr PhaseSet cutover = range(Phase::fencing, Phase::holding);
constexpr PhaseSet reverse = set({Phase::reverse_draining, Phase::reverse_verifying});
constexpr PhaseSet going_back = reverse | bit(Phase::rolling_back);
/// Phases in which no fence and no activation belongs to the present step: a late report of one is
/// recorded there, and what undoes it becomes outstanding.
constexpr PhaseSet late =
    set({Phase::syncing, Phase::testing, Phase::armed, Phase::rolled_back, Phase::cancelled});

constexpr PhaseSet staying(EventKind event) {
    switch (event) {
        case EventKind::job_planned:
            return bit(Phase::planned);
        case EventKind::preflight_checked:
            return before_start;
        case EventKind::preflight_passed:
            return bit(Phase::ready);
        case EventKind::preflight_failed:
            return bit(Phase::blocked);
        case EventKind::cutover_armed:
            return bit(Phase::armed);  // other terms, still armed

        case EventKind::paused:
        case EventKind::resumed:
        case EventKind::limits_changed:
            return every & ~finals;

        // Final phases keep their clean-up outstanding; that can fail and be tried again.
        case EventKind::parked:
        case EventKind::unparked:
        case EventKind::retry_started:
        case EventKind::quarantined:
        case EventKind::quarantine_lifted:
        case EventKind::agent_lost:
        case EventKind::agent_back:
        case EventKind::command_rejected:
        case EventKind::reconcile_started:
        case EventKind::world_seen:
        case EventKind::reconciled:
            return every;

        case EventKind::data_state_changed:
            return range(Phase::mirroring, Phase::verifying);
        case EventKind::generation_lost:
            return range(Phase::mirroring, Phase::holding) | going_back | bit(Phase::rolled_back);
        case EventKind::activation_failed:
            return bit(Phase::activating);
        case EventKind::validation_failed:
            return bit(Phase::validating);
        case EventKind::deadline_passed:
            return cutover;

        case EventKind::source_fenced:
            return late | bit(Phase::rolling_back);
        case EventKind::source_released:
            return late;
        case EventKind::target_activated:
            return late | going_back;
        case EventKind::target_stop_confirmed:
        case EventKind::reverse_abandoned:
            return bit(Phase::rolling_back);
        case EventKind::target_deactivated:
            return range(Phase::syncing, Phase::cancelled);  // wherever it is still owed
        case EventKind::fence_breached:
            return range(Phase::fencing, Phase::committed) | going_back;
        case EventKind::fence_broken:
            return cutover | going_back | bit(Phase::committed);

        case EventKind::test_reverted:
            return bit(Phase::cancelled);  // of a job that was cancelled while its test ran
        case EventKind::test_ready:
        case EventKind::test_revert_started:
            return bit(Phase::testing);
        case EventKind::hold_compared:
        case EventKind::copy_differs:
        case EventKind::comparison_waived:
            return bit(Phase::holding);

        case EventKind::cleaned_up:
            return finals;
        case EventKind::deletion_started:
        case EventKind::target_data_deleted:
            return set({Phase::rolled_back, Phase::cancelled});

        // These only ever move the phase: transitions.cc.
        case EventKind::mirror_started:
        case EventKind::mirror_completed:
        case EventKind::test_started:
        case EventKind::disarmed:
        case EventKind::cutover_started:
        case EventKind::fence_refused:
        case EventKind::delta_drained:
        case EventKind::target_verified:
        case EventKind::mismatch_found:
        case EventKind::target_validated:
        case EventKind::validation_waived:
        case EventKind::committed:
        case EventKind::rollback_started:
        case EventKind::target_fenced:
        case EventKind::reverse_drained:
        case EventKind::reverse_verified:
        case EventKind::resync_started:
        case EventKind::cancelled:
            return 0;

        // They end a job from wherever it is; one that is over stays as it ended.
        case EventKind::resolved_to_target:
        case EventKind::resolved_to_source:
        case EventKind::resolved_to_neither:
            return finals;
    }
    return 0;
}

constexpr auto table = [] {
    std::array<PhaseSet, event_kind_count + 1> out{};
    for (std::uint16_t kind = 1; kind <= event_kind_count; ++kind) {
        out[kind] = staying(static_cast<EventKind>(kind));
    }
    return out;
}();

}  // namespace

std::optional<Phase> ended_phase(Phase phase, EventKind event) {
    if (is_final(phase)) return std::nullopt;
    if (event == EventKind::resolved_to_target) return Phase::committed;
    const bool is_given_up =
        event == EventKind::resolved_to_source || event == EventKind::resolved_to_neither;
    return is_given_up ? std::optional(Phase::cancelled) : std::nullopt;
}

bool stays_in(Phase phase, EventKind event) {
    return (table.at(static_cast<std::size_t>(event)) & bit(phase)) != 0;
}

}  // namespace drover::statemachine
