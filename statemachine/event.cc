#include "statemachine/event.h"

#include "base/assert.h"

namespace drover::statemachine {

static_assert(std::variant_size_v<Event> == event_kind_count);

EventKind kind_of(const Event& event) {
    // Holds at the first release, as the numbers were given in this order. An alternative that is
    // put elsewhere later needs its own line here; tests/golden/events keeps the numbers.
    return static_cast<EventKind>(event.index() + 1);
}

std::string_view name_of(RollbackMode mode) {
    switch (mode) {
        case RollbackMode::discard:
            return "discard";
        case RollbackMode::keep:
            return "keep";
    }
    DROVER_UNREACHABLE();
}

std::string_view name_of(EventKind kind) {
    switch (kind) {
        case EventKind::job_planned:
            return "JobPlanned";
        case EventKind::preflight_passed:
            return "PreflightPassed";
        case EventKind::preflight_failed:
            return "PreflightFailed";
        case EventKind::mirror_started:
            return "MirrorStarted";
        case EventKind::mirror_completed:
            return "MirrorCompleted";
        case EventKind::test_started:
            return "TestStarted";
        case EventKind::test_reverted:
            return "TestReverted";
        case EventKind::cutover_armed:
            return "CutoverArmed";
        case EventKind::disarmed:
            return "Disarmed";
        case EventKind::cutover_started:
            return "CutoverStarted";
        case EventKind::source_fenced:
            return "SourceFenced";
        case EventKind::fence_refused:
            return "FenceRefused";
        case EventKind::delta_drained:
            return "DeltaDrained";
        case EventKind::target_verified:
            return "TargetVerified";
        case EventKind::mismatch_found:
            return "MismatchFound";
        case EventKind::target_activated:
            return "TargetActivated";
        case EventKind::target_validated:
            return "TargetValidated";
        case EventKind::validation_waived:
            return "ValidationWaived";
        case EventKind::committed:
            return "Committed";
        case EventKind::rollback_started:
            return "RollbackStarted";
        case EventKind::source_released:
            return "SourceReleased";
        case EventKind::target_fenced:
            return "TargetFenced";
        case EventKind::reverse_drained:
            return "ReverseDrained";
        case EventKind::reverse_verified:
            return "ReverseVerified";
        case EventKind::reverse_abandoned:
            return "ReverseAbandoned";
        case EventKind::resync_started:
            return "ResyncStarted";
        case EventKind::cancelled:
            return "Cancelled";
        case EventKind::preflight_checked:
            return "PreflightChecked";
        case EventKind::paused:
            return "Paused";
        case EventKind::resumed:
            return "Resumed";
        case EventKind::parked:
            return "Parked";
        case EventKind::unparked:
            return "Unparked";
        case EventKind::quarantined:
            return "Quarantined";
        case EventKind::quarantine_lifted:
            return "QuarantineLifted";
        case EventKind::limits_changed:
            return "LimitsChanged";
        case EventKind::retry_started:
            return "RetryStarted";
        case EventKind::data_state_changed:
            return "DataStateChanged";
        case EventKind::generation_lost:
            return "GenerationLost";
        case EventKind::activation_failed:
            return "ActivationFailed";
        case EventKind::validation_failed:
            return "ValidationFailed";
        case EventKind::deadline_passed:
            return "DeadlinePassed";
        case EventKind::agent_lost:
            return "AgentLost";
        case EventKind::agent_back:
            return "AgentBack";
        case EventKind::target_stop_confirmed:
            return "TargetStopConfirmed";
        case EventKind::target_deactivated:
            return "TargetDeactivated";
        case EventKind::fence_breached:
            return "FenceBreached";
        case EventKind::fence_broken:
            return "FenceBroken";
        case EventKind::cleaned_up:
            return "CleanedUp";
        case EventKind::deletion_started:
            return "DeletionStarted";
        case EventKind::target_data_deleted:
            return "TargetDataDeleted";
        case EventKind::command_rejected:
            return "CommandRejected";
        case EventKind::reconcile_started:
            return "ReconcileStarted";
        case EventKind::world_seen:
            return "WorldSeen";
        case EventKind::reconciled:
            return "Reconciled";
        case EventKind::resolved_to_target:
            return "ResolvedToTarget";
        case EventKind::resolved_to_source:
            return "ResolvedToSource";
        case EventKind::resolved_to_neither:
            return "ResolvedToNeither";
        case EventKind::test_ready:
            return "TestReady";
        case EventKind::test_revert_started:
            return "TestRevertStarted";
        case EventKind::hold_compared:
            return "HoldCompared";
        case EventKind::copy_differs:
            return "CopyDiffers";
        case EventKind::comparison_waived:
            return "ComparisonWaived";
    }
    DROVER_UNREACHABLE();
}

}  // namespace drover::statemachine
