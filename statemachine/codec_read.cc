#include "schemas/convert.h"
#include "schemas/event.capnp.h"
#include "statemachine/codec.h"

namespace drover::statemachine {
namespace {

using flat::Checks;

std::string by_of(schema::Deed::Reader in, Checks& checks) {
    return checks.text(in.getBy(), "by");
}

Side side_of(schema::OfSide::Reader in, Checks& checks) {
    return checks.number(in.getSide(), Side::target, "side");
}

CutoverArmed read(schema::CutoverArmed::Reader in, Checks& checks) {
    return {checks.text(in.getBy(), "by"), in.getAtMicros(),
            checks.fixed<Hash>(in.getPlanHash(), "plan hash"), in.getOutageMaxS(),
            in.getPauseBeforeActivate()};
}

CutoverStarted read(schema::CutoverStarted::Reader in, Checks& checks) {
    return {checks.text(in.getBy(), "by"), in.getRun(),
            checks.fixed<FenceToken>(in.getToken(), "token"), in.getDeadlineMicros()};
}

DeltaDrained read(schema::DeltaDrained::Reader in) {
    return {in.getBatch(),         in.getBytes(),           in.getBytesReadBack(),
            in.getBytesDiffered(), in.getBytesUnverified(), in.getByInduction()};
}

RollbackStarted read(schema::RollbackStarted::Reader in, Checks& checks) {
    return {checks.number(in.getMode(), RollbackMode::keep, "rollback mode"),
            checks.text(in.getBy(), "by"), checks.text(in.getCause(), "cause"),
            checks.text(in.getAcknowledgedLoss(), "acknowledged loss")};
}

ReverseAbandoned read(schema::ReverseAbandoned::Reader in, Checks& checks) {
    return {checks.text(in.getBy(), "by"),
            checks.text(in.getAcknowledgedLoss(), "acknowledged loss")};
}

ResyncStarted read(schema::ResyncStarted::Reader in, Checks& checks) {
    return {checks.text(in.getBy(), "by"), in.getRun(),
            checks.text(in.getAcknowledgedLoss(), "acknowledged loss")};
}

PreflightChecked read(schema::PreflightChecked::Reader in, Checks& checks) {
    return {checks.number(in.getSide(), Side::target, "side"), flat::read(in.getResult(), checks)};
}

Parked read(schema::Parked::Reader in, Checks& checks) {
    return {checks.number(in.getStep(), EffectKind::compare, "step"),
            flat::read(in.getError(), checks)};
}

DataStateChanged read(schema::DataStateChanged::Reader in, Checks& checks) {
    return {checks.number(in.getState(), DataState::disconnected, "data state"),
            checks.fixed<Generation>(in.getGeneration(), "generation"), in.getBacklogBytes()};
}

GenerationLost read(schema::GenerationLost::Reader in, Checks& checks) {
    return {in.getDisk(), checks.text(in.getCause(), "cause")};
}

CommandRejected read(schema::CommandRejected::Reader in, Checks& checks) {
    return {checks.text(in.getBy(), "by"), checks.text(in.getAction(), "action"),
            checks.text(in.getId(), "id"), checks.text(in.getDetail(), "detail")};
}

template <class Resolved>
Resolved read_verdict(schema::Verdict::Reader in, Checks& checks) {
    return {checks.text(in.getBy(), "by"), checks.text(in.getReason(), "reason")};
}

/// Facts that move the phase.
Event read_step(schema::Event::Reader in, Checks& checks) {
    using Root = schema::Event;
    switch (in.which()) {
        case Root::JOB_PLANNED: {
            const auto fact = in.getJobPlanned();
            return JobPlanned{flat::read(fact.getSpec(), checks), checks.text(fact.getBy(), "by")};
        }
        case Root::PREFLIGHT_PASSED:
            return PreflightPassed{
                checks.fixed<Hash>(in.getPreflightPassed().getPlanHash(), "plan hash")};
        case Root::PREFLIGHT_FAILED:
            return PreflightFailed{
                flat::read_findings(in.getPreflightFailed().getFindings(), checks)};
        case Root::MIRROR_STARTED:
            return MirrorStarted{by_of(in.getMirrorStarted(), checks)};
        case Root::MIRROR_COMPLETED:
            return MirrorCompleted{
                checks.fixed<Generation>(in.getMirrorCompleted().getGeneration(), "generation")};
        case Root::TEST_STARTED:
            return TestStarted{by_of(in.getTestStarted(), checks)};
        case Root::TEST_REVERTED:
            return TestReverted{};
        case Root::CUTOVER_ARMED:
            return read(in.getCutoverArmed(), checks);
        case Root::DISARMED:
            return Disarmed{by_of(in.getDisarmed(), checks)};
        case Root::CUTOVER_STARTED:
            return read(in.getCutoverStarted(), checks);
        case Root::SOURCE_FENCED:
            return SourceFenced{flat::read(in.getSourceFenced(), checks)};
        case Root::FENCE_REFUSED:
            return FenceRefused{in.getFenceRefused().getBacklogBytes()};
        case Root::DELTA_DRAINED:
            return read(in.getDeltaDrained());
        case Root::TARGET_VERIFIED:
            return TargetVerified{flat::read_proofs(in.getTargetVerified().getDisks(), checks)};
        case Root::MISMATCH_FOUND:
            return MismatchFound{flat::read_ranges(in.getMismatchFound().getRanges(), checks)};
        case Root::TARGET_ACTIVATED:
            return TargetActivated{in.getTargetActivated().getActivatedMicros()};
        case Root::TARGET_VALIDATED:
            return TargetValidated{checks.text(in.getTargetValidated().getCheck(), "check")};
        case Root::VALIDATION_WAIVED: {
            const auto fact = in.getValidationWaived();
            return ValidationWaived{checks.text(fact.getBy(), "by"),
                                    checks.text(fact.getReason(), "reason")};
        }
        case Root::COMMITTED:
            return Committed{by_of(in.getCommitted(), checks)};
        case Root::ROLLBACK_STARTED:
            return read(in.getRollbackStarted(), checks);
        case Root::SOURCE_RELEASED:
            return SourceReleased{in.getSourceReleased().getReleasedMicros()};
        case Root::TARGET_FENCED:
            return TargetFenced{};
        case Root::REVERSE_DRAINED:
            return ReverseDrained{in.getReverseDrained().getBytes()};
        case Root::REVERSE_VERIFIED:
            return ReverseVerified{flat::read_proofs(in.getReverseVerified().getDisks(), checks)};
        case Root::REVERSE_ABANDONED:
            return read(in.getReverseAbandoned(), checks);
        case Root::RESYNC_STARTED:
            return read(in.getResyncStarted(), checks);
        case Root::CANCELLED:
            return Cancelled{by_of(in.getCancelled(), checks)};
        default:
            break;  // of Cap'n Proto's enum, not ours: read_flag() has the rest
    }
    checks.fail("event", "unknown alternative");
    return TestReverted{};
}

/// Facts that do not, and those that end a job from any phase.
Event read_flag(schema::Event::Reader in, Checks& checks) {
    using Root = schema::Event;
    switch (in.which()) {
        case Root::PREFLIGHT_CHECKED:
            return read(in.getPreflightChecked(), checks);
        case Root::PAUSED: {
            const auto fact = in.getPaused();
            return Paused{checks.text(fact.getBy(), "by"), checks.text(fact.getReason(), "reason")};
        }
        case Root::RESUMED:
            return Resumed{by_of(in.getResumed(), checks)};
        case Root::PARKED:
            return read(in.getParked(), checks);
        case Root::UNPARKED:
            return Unparked{by_of(in.getUnparked(), checks)};
        case Root::QUARANTINED:
            return Quarantined{checks.text(in.getQuarantined().getReason(), "reason")};
        case Root::QUARANTINE_LIFTED:
            return QuarantineLifted{by_of(in.getQuarantineLifted(), checks)};
        case Root::LIMITS_CHANGED: {
            const auto fact = in.getLimitsChanged();
            return LimitsChanged{checks.text(fact.getBy(), "by"),
                                 Limits{fact.getLimits().getRateBytesPerS()}};
        }
        case Root::RETRY_STARTED: {
            const auto fact = in.getRetryStarted();
            return RetryStarted{checks.text(fact.getBy(), "by"), fact.getAttempt()};
        }
        case Root::DATA_STATE_CHANGED:
            return read(in.getDataStateChanged(), checks);
        case Root::GENERATION_LOST:
            return read(in.getGenerationLost(), checks);
        case Root::ACTIVATION_FAILED:
            return ActivationFailed{flat::read(in.getActivationFailed(), checks)};
        case Root::VALIDATION_FAILED:
            return ValidationFailed{flat::read(in.getValidationFailed(), checks)};
        case Root::DEADLINE_PASSED:
            return DeadlinePassed{in.getDeadlinePassed().getDeadlineMicros()};
        case Root::AGENT_LOST:
            return AgentLost{side_of(in.getAgentLost(), checks)};
        case Root::AGENT_BACK:
            return AgentBack{side_of(in.getAgentBack(), checks)};
        case Root::TARGET_STOP_CONFIRMED: {
            const auto fact = in.getTargetStopConfirmed();
            return TargetStopConfirmed{checks.text(fact.getBy(), "by"),
                                       checks.text(fact.getHow(), "how")};
        }
        case Root::TARGET_DEACTIVATED: {
            const auto fact = in.getTargetDeactivated();
            return TargetDeactivated{fact.getWasActive(), fact.getBytesWritten(),
                                     fact.getChangesKnown(), fact.getChangedBytes()};
        }
        case Root::FENCE_BREACHED:
            return FenceBreached{in.getFenceBreached().getCompletions()};
        case Root::FENCE_BROKEN:
            return FenceBroken{by_of(in.getFenceBroken(), checks)};
        case Root::CLEANED_UP:
            return CleanedUp{side_of(in.getCleanedUp(), checks)};
        case Root::DELETION_STARTED:
            return DeletionStarted{by_of(in.getDeletionStarted(), checks)};
        case Root::TARGET_DATA_DELETED:
            return TargetDataDeleted{};
        case Root::COMMAND_REJECTED:
            return read(in.getCommandRejected(), checks);
        case Root::RECONCILE_STARTED:
            return ReconcileStarted{in.getReconcileStarted().getOldHeadSeq()};
        case Root::WORLD_SEEN:
            return WorldSeen{flat::read(in.getWorldSeen(), checks)};
        case Root::RECONCILED:
            return Reconciled{};
        case Root::RESOLVED_TO_TARGET:
            return read_verdict<ResolvedToTarget>(in.getResolvedToTarget(), checks);
        case Root::RESOLVED_TO_SOURCE:
            return read_verdict<ResolvedToSource>(in.getResolvedToSource(), checks);
        case Root::RESOLVED_TO_NEITHER:
            return read_verdict<ResolvedToNeither>(in.getResolvedToNeither(), checks);
        case Root::TEST_READY:
            return TestReady{flat::read(in.getTestReady(), checks)};
        case Root::TEST_REVERT_STARTED:
            return TestRevertStarted{by_of(in.getTestRevertStarted(), checks)};
        case Root::HOLD_COMPARED:
            return HoldCompared{flat::read_proofs(in.getHoldCompared().getDisks(), checks),
                                flat::read_ranges(in.getHoldCompared().getWritten(), checks)};
        case Root::COPY_DIFFERS:
            return CopyDiffers{flat::read_ranges(in.getCopyDiffers().getRanges(), checks)};
        case Root::COMPARISON_WAIVED:
            return read_verdict<ComparisonWaived>(in.getComparisonWaived(), checks);
        default:
            break;  // of Cap'n Proto's enum, not ours: read_step() has the rest
    }
    checks.fail("event", "unknown alternative");
    return TestReverted{};
}

Error unreadable(const std::string& why) {
    return Error(Errc::corrupt, "event_unreadable", "an event cannot be read: " + why,
                 "the log is as it was", "verify the log; restore it if its chain is broken");
}

}  // namespace

Result<Event> decode_event(std::uint16_t kind, std::uint16_t kind_version, ByteView payload) {
    if (kind == 0 || kind > event_kind_count || kind_version != event_version) {
        return Error(Errc::unsupported, "unknown_event",
                     "event kind " + std::to_string(kind) + " version " +
                         std::to_string(kind_version) + " is of a newer release",
                     "the log is as it was; nothing is skipped",
                     "start the release that wrote it, or a newer one");
    }
    auto event = flat::from_bytes<schema::Event>(
        payload,
        [kind](schema::Event::Reader in, Checks& checks) {
            // The alternative's number is the kind less one.
            if (static_cast<std::uint16_t>(in.which()) + 1 != kind) {
                checks.fail("event", "the payload is of another kind");
            }
            const bool moves = kind <= static_cast<std::uint16_t>(EventKind::cancelled);
            return moves ? read_step(in, checks) : read_flag(in, checks);
        },
        flat::stored_bytes_max);
    if (!event) return unreadable(event.error().detail());
    return std::move(event).value();
}

}  // namespace drover::statemachine
