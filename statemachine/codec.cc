#include "statemachine/codec.h"

#include "schemas/convert.h"
#include "schemas/event.capnp.h"

namespace drover::statemachine {
namespace {

using flat::blob;
using flat::count;
using flat::free_text;
using flat::text;
using flat::wire_enum;

/// One overload for each fact; each sets its alternative of the union.
class Writer {
  public:
    explicit Writer(schema::Event::Builder out)
        : out_(out) {}

    void operator()(const JobPlanned& fact) {
        auto to = out_.initJobPlanned();
        flat::write(to.initSpec(), fact.spec);
        to.setBy(text(free_text(fact.by)));
    }

    void operator()(const PreflightPassed& fact) {
        out_.initPreflightPassed().setPlanHash(blob(fact.plan_hash.view()));
    }

    void operator()(const PreflightFailed& fact) {
        flat::write_findings(
            out_.initPreflightFailed().initFindings(count(fact.findings, flat::findings_max)),
            fact.findings);
    }

    void operator()(const MirrorStarted& fact) { deed(out_.initMirrorStarted(), fact.by); }

    void operator()(const MirrorCompleted& fact) {
        out_.initMirrorCompleted().setGeneration(blob(fact.generation.view()));
    }

    void operator()(const TestStarted& fact) { deed(out_.initTestStarted(), fact.by); }

    void operator()(const TestReverted&) { out_.setTestReverted(); }

    void operator()(const CutoverArmed& fact) {
        auto to = out_.initCutoverArmed();
        to.setBy(text(free_text(fact.by)));
        to.setAtMicros(fact.at_micros);
        to.setPlanHash(blob(fact.plan_hash.view()));
        to.setOutageMaxS(fact.outage_max_s);
        to.setPauseBeforeActivate(fact.pause_before_activate);
    }

    void operator()(const Disarmed& fact) { deed(out_.initDisarmed(), fact.by); }

    void operator()(const CutoverStarted& fact) {
        auto to = out_.initCutoverStarted();
        to.setBy(text(free_text(fact.by)));
        to.setRun(fact.run);
        to.setToken(blob(fact.token.view()));
        to.setDeadlineMicros(fact.deadline_micros);
    }

    void operator()(const SourceFenced& fact) { flat::write(out_.initSourceFenced(), fact.proof); }

    void operator()(const FenceRefused& fact) {
        out_.initFenceRefused().setBacklogBytes(fact.backlog_bytes);
    }

    void operator()(const DeltaDrained& fact) {
        auto to = out_.initDeltaDrained();
        to.setBatch(fact.batch);
        to.setBytes(fact.bytes);
        to.setBytesReadBack(fact.bytes_read_back);
        to.setBytesDiffered(fact.bytes_differed);
        to.setBytesUnverified(fact.bytes_unverified);
        to.setByInduction(fact.by_induction);
    }

    void operator()(const TargetVerified& fact) {
        flat::write_proofs(out_.initTargetVerified().initDisks(count(fact.disks, disks_max)),
                           fact.disks);
    }

    void operator()(const MismatchFound& fact) {
        flat::write_ranges(out_.initMismatchFound().initRanges(count(fact.ranges, mismatches_max)),
                           fact.ranges);
    }

    void operator()(const TargetActivated& fact) {
        out_.initTargetActivated().setActivatedMicros(fact.activated_micros);
    }

    void operator()(const TargetValidated& fact) {
        out_.initTargetValidated().setCheck(text(free_text(fact.check)));
    }

    void operator()(const ValidationWaived& fact) {
        auto to = out_.initValidationWaived();
        to.setBy(text(free_text(fact.by)));
        to.setReason(text(free_text(fact.reason)));
    }

    void operator()(const Committed& fact) { deed(out_.initCommitted(), fact.by); }

    void operator()(const RollbackStarted& fact) {
        auto to = out_.initRollbackStarted();
        to.setMode(wire_enum<schema::RollbackMode>(fact.mode));
        to.setBy(text(free_text(fact.by)));
        to.setCause(text(free_text(fact.cause)));
        to.setAcknowledgedLoss(text(free_text(fact.acknowledged_loss)));
    }

    void operator()(const SourceReleased& fact) {
        out_.initSourceReleased().setReleasedMicros(fact.released_micros);
    }

    void operator()(const TargetFenced&) { out_.setTargetFenced(); }

    void operator()(const ReverseDrained& fact) { out_.initReverseDrained().setBytes(fact.bytes); }

    void operator()(const ReverseVerified& fact) {
        flat::write_proofs(out_.initReverseVerified().initDisks(count(fact.disks, disks_max)),
                           fact.disks);
    }

    void operator()(const ReverseAbandoned& fact) {
        auto to = out_.initReverseAbandoned();
        to.setBy(text(free_text(fact.by)));
        to.setAcknowledgedLoss(text(free_text(fact.acknowledged_loss)));
    }

    void operator()(const ResyncStarted& fact) {
        auto to = out_.initResyncStarted();
        to.setBy(text(free_text(fact.by)));
        to.setRun(fact.run);
        to.setAcknowledgedLoss(text(free_text(fact.acknowledged_loss)));
    }

    void operator()(const Cancelled& fact) { deed(out_.initCancelled(), fact.by); }

    void operator()(const PreflightChecked& fact) {
        auto to = out_.initPreflightChecked();
        to.setSide(wire_enum<schema::Side>(fact.side));
        flat::write(to.initResult(), fact.result);
    }

    void operator()(const Paused& fact) {
        auto to = out_.initPaused();
        to.setBy(text(free_text(fact.by)));
        to.setReason(text(free_text(fact.reason)));
    }

    void operator()(const Resumed& fact) { deed(out_.initResumed(), fact.by); }

    void operator()(const Parked& fact) {
        auto to = out_.initParked();
        to.setStep(wire_enum<schema::EffectKind>(fact.step));
        flat::write(to.initError(), fact.error);
    }

    void operator()(const Unparked& fact) { deed(out_.initUnparked(), fact.by); }

    void operator()(const Quarantined& fact) {
        out_.initQuarantined().setReason(text(free_text(fact.reason)));
    }

    void operator()(const QuarantineLifted& fact) { deed(out_.initQuarantineLifted(), fact.by); }

    void operator()(const LimitsChanged& fact) {
        auto to = out_.initLimitsChanged();
        to.setBy(text(free_text(fact.by)));
        to.initLimits().setRateBytesPerS(fact.limits.rate_bytes_per_s);
    }

    void operator()(const RetryStarted& fact) {
        auto to = out_.initRetryStarted();
        to.setBy(text(free_text(fact.by)));
        to.setAttempt(fact.attempt);
    }

    void operator()(const DataStateChanged& fact) {
        auto to = out_.initDataStateChanged();
        to.setState(wire_enum<schema::DataState>(fact.state));
        to.setGeneration(blob(fact.generation.view()));
        to.setBacklogBytes(fact.backlog_bytes);
    }

    void operator()(const GenerationLost& fact) {
        auto to = out_.initGenerationLost();
        to.setDisk(fact.disk);
        to.setCause(text(free_text(fact.cause)));
    }

    void operator()(const ActivationFailed& fact) {
        flat::write(out_.initActivationFailed(), fact.error);
    }

    void operator()(const ValidationFailed& fact) {
        flat::write(out_.initValidationFailed(), fact.error);
    }

    void operator()(const DeadlinePassed& fact) {
        out_.initDeadlinePassed().setDeadlineMicros(fact.deadline_micros);
    }

    void operator()(const AgentLost& fact) { of_side(out_.initAgentLost(), fact.side); }

    void operator()(const AgentBack& fact) { of_side(out_.initAgentBack(), fact.side); }

    void operator()(const TargetStopConfirmed& fact) {
        auto to = out_.initTargetStopConfirmed();
        to.setBy(text(free_text(fact.by)));
        to.setHow(text(free_text(fact.how)));
    }

    void operator()(const TargetDeactivated& fact) {
        auto to = out_.initTargetDeactivated();
        to.setWasActive(fact.was_active);
        to.setBytesWritten(fact.bytes_written);
        to.setChangesKnown(fact.changes_known);
        to.setChangedBytes(fact.changed_bytes);
    }

    void operator()(const FenceBreached& fact) {
        out_.initFenceBreached().setCompletions(fact.completions);
    }

    void operator()(const FenceBroken& fact) { deed(out_.initFenceBroken(), fact.by); }

    void operator()(const CleanedUp& fact) { of_side(out_.initCleanedUp(), fact.side); }

    void operator()(const DeletionStarted& fact) { deed(out_.initDeletionStarted(), fact.by); }

    void operator()(const TargetDataDeleted&) { out_.setTargetDataDeleted(); }

    void operator()(const CommandRejected& fact) {
        auto to = out_.initCommandRejected();
        to.setBy(text(free_text(fact.by)));
        to.setAction(text(free_text(fact.action)));
        to.setId(text(free_text(fact.id)));
        to.setDetail(text(free_text(fact.detail)));
    }

    void operator()(const ReconcileStarted& fact) {
        out_.initReconcileStarted().setOldHeadSeq(fact.old_head_seq);
    }

    void operator()(const WorldSeen& fact) { flat::write(out_.initWorldSeen(), fact.world); }

    void operator()(const Reconciled&) { out_.setReconciled(); }

    void operator()(const ResolvedToTarget& fact) { verdict(out_.initResolvedToTarget(), fact); }

    void operator()(const ResolvedToSource& fact) { verdict(out_.initResolvedToSource(), fact); }

    void operator()(const ResolvedToNeither& fact) { verdict(out_.initResolvedToNeither(), fact); }

    void operator()(const TestReady& fact) { flat::write(out_.initTestReady(), fact.test); }

    void operator()(const TestRevertStarted& fact) { deed(out_.initTestRevertStarted(), fact.by); }

    void operator()(const HoldCompared& fact) {
        auto to = out_.initHoldCompared();
        flat::write_proofs(to.initDisks(count(fact.disks, disks_max)), fact.disks);
        flat::write_ranges(to.initWritten(count(fact.written, mismatches_max)), fact.written);
    }

    void operator()(const CopyDiffers& fact) {
        flat::write_ranges(out_.initCopyDiffers().initRanges(count(fact.ranges, mismatches_max)),
                           fact.ranges);
    }

    void operator()(const ComparisonWaived& fact) { verdict(out_.initComparisonWaived(), fact); }

  private:
    template <class Resolved>
    static void verdict(schema::Verdict::Builder to, const Resolved& fact) {
        to.setBy(text(free_text(fact.by)));
        to.setReason(text(free_text(fact.reason)));
    }

    static void deed(schema::Deed::Builder to, const std::string& by) {
        to.setBy(text(free_text(by)));
    }

    static void of_side(schema::OfSide::Builder to, Side side) {
        to.setSide(wire_enum<schema::Side>(side));
    }

    schema::Event::Builder out_;
};

}  // namespace

Bytes encode_event(const Event& event) {
    flat::Message message;
    auto root = message.init_root<schema::Event>();
    std::visit(Writer(root), event);
    return flat::to_bytes(root);
}

}  // namespace drover::statemachine
