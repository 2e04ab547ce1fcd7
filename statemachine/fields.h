/// One list of fields per value, in a fixed order: for showing an event as JSON, and for the text
/// of a state. Golden histories name fields by these names: a new one goes to the end of its list,
/// and none is renamed. Internal to statemachine.
#pragma once

#include "statemachine/event.h"
#include "statemachine/fields_proof.h"
#include "statemachine/fields_restore.h"
#include "statemachine/job.h"

namespace drover::statemachine {

template <class V>
void fields(V& visit, const DiskPair& v) {
    visit("source", v.source);
    visit("target", v.target);
    if (v.skip_free_space) visit("skip_free_space", v.skip_free_space);
}

template <class V>
void fields(V& visit, const Limits& v) {
    visit("rate_bytes_per_s", v.rate_bytes_per_s);
}

template <class V>
void fields(V& visit, const JobSpec& v) {
    visit("name", v.name);
    visit("source_agent", v.source_agent);
    visit("target_agent", v.target_agent);
    visit("disks", v.disks);
    visit("hooks", v.hooks);
    visit("limits", v.limits);
    visit("outage_max_s", v.outage_max_s);
    visit("hold_s", v.hold_s);
    visit("backlog_bytes_max", v.backlog_bytes_max);
    if (v.comparison != Comparison::before_release) visit("comparison", v.comparison);
}

template <class V>
void fields(V& visit, const Finding& v) {
    visit("severity", v.severity);
    visit("id", v.id);
    visit("object", v.object);
    visit("detail", v.detail);
    visit("next", v.next);
}

template <class V>
void fields(V& visit, const DiskFacts& v) {
    visit("path", v.path);
    visit("identity", v.identity);
    visit("size_bytes", v.size_bytes);
    visit("sector_bytes", v.sector_bytes);
    visit("tracker", v.tracker);
}

template <class V>
void fields(V& visit, const Endpoint& v) {
    visit("host", v.host);
    visit("control_port", v.control_port);
    visit("bulk_port", v.bulk_port);
}

template <class V>
void fields(V& visit, const PreflightDone& v) {
    visit("findings", v.findings);
    visit("disks", v.disks);
    visit("capabilities", v.capabilities);
    visit("hook_digests", v.hook_digests);
    visit("endpoint", v.endpoint);
    visit("journal_mode", v.journal_mode);
}

template <class V>
void fields(V& visit, const ByteRange& v) {
    visit("disk", v.disk);
    visit("offset", v.offset);
    visit("length", v.length);
}

template <class V>
void fields(V& visit, const FenceProof& v) {
    visit("token", v.token);
    visit("job", v.job);
    visit("run", v.run);
    visit("tracker_seq", v.tracker_seq);
    visit("fenced_micros", v.fenced_micros);
    visit("certificate_pem", v.certificate_pem);
    visit("signature", v.signature);
}

template <class V>
void fields(V& visit, const Error& v) {
    visit("code", v.code());
    visit("id", v.id());
    visit("detail", v.detail());
    visit("kept", v.kept());
    visit("next", v.next());
}

// ---- facts ----

template <class V>
void fields(V& visit, const JobPlanned& v) {
    visit("spec", v.spec);
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const PreflightPassed& v) {
    visit("plan_hash", v.plan_hash);
}

template <class V>
void fields(V& visit, const PreflightFailed& v) {
    visit("findings", v.findings);
}

template <class V>
void fields(V& visit, const MirrorStarted& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const MirrorCompleted& v) {
    visit("generation", v.generation);
}

template <class V>
void fields(V& visit, const TestStarted& v) {
    visit("by", v.by);
}

template <class V>
void fields(V&, const TestReverted&) {}

template <class V>
void fields(V& visit, const CutoverArmed& v) {
    visit("by", v.by);
    visit("at_micros", v.at_micros);
    visit("plan_hash", v.plan_hash);
    visit("outage_max_s", v.outage_max_s);
    visit("pause_before_activate", v.pause_before_activate);
}

template <class V>
void fields(V& visit, const Disarmed& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const CutoverStarted& v) {
    visit("by", v.by);
    visit("run", v.run);
    visit("token", v.token);
    visit("deadline_micros", v.deadline_micros);
}

template <class V>
void fields(V& visit, const SourceFenced& v) {
    visit("proof", v.proof);
}

template <class V>
void fields(V& visit, const FenceRefused& v) {
    visit("backlog_bytes", v.backlog_bytes);
}

template <class V>
void fields(V& visit, const DeltaDrained& v) {
    visit("batch", v.batch);
    visit("bytes", v.bytes);
    // Facts of before these were known keep their text.
    if (v.bytes_read_back != 0) visit("bytes_read_back", v.bytes_read_back);
    if (v.bytes_differed != 0) visit("bytes_differed", v.bytes_differed);
    if (v.bytes_unverified != 0) visit("bytes_unverified", v.bytes_unverified);
    if (v.by_induction) visit("by_induction", v.by_induction);
}

template <class V>
void fields(V& visit, const TargetVerified& v) {
    visit("disks", v.disks);
}

template <class V>
void fields(V& visit, const MismatchFound& v) {
    visit("ranges", v.ranges);
}

template <class V>
void fields(V& visit, const TargetActivated& v) {
    visit("activated_micros", v.activated_micros);
}

template <class V>
void fields(V& visit, const TargetValidated& v) {
    visit("check", v.check);
}

template <class V>
void fields(V& visit, const ValidationWaived& v) {
    visit("by", v.by);
    visit("reason", v.reason);
}

template <class V>
void fields(V& visit, const Committed& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const RollbackStarted& v) {
    visit("mode", v.mode);
    visit("by", v.by);
    visit("cause", v.cause);
    visit("acknowledged_loss", v.acknowledged_loss);
}

template <class V>
void fields(V& visit, const SourceReleased& v) {
    visit("released_micros", v.released_micros);
}

template <class V>
void fields(V&, const TargetFenced&) {}

template <class V>
void fields(V& visit, const ReverseDrained& v) {
    visit("bytes", v.bytes);
}

template <class V>
void fields(V& visit, const ReverseVerified& v) {
    visit("disks", v.disks);
}

template <class V>
void fields(V& visit, const ReverseAbandoned& v) {
    visit("by", v.by);
    visit("acknowledged_loss", v.acknowledged_loss);
}

template <class V>
void fields(V& visit, const ResyncStarted& v) {
    visit("by", v.by);
    visit("run", v.run);
    visit("acknowledged_loss", v.acknowledged_loss);
}

template <class V>
void fields(V& visit, const Cancelled& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const PreflightChecked& v) {
    visit("side", v.side);
    visit("result", v.result);
}

template <class V>
void fields(V& visit, const Paused& v) {
    visit("by", v.by);
    visit("reason", v.reason);
}

template <class V>
void fields(V& visit, const Resumed& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const Parked& v) {
    visit("step", v.step);
    visit("error", v.error);
}

template <class V>
void fields(V& visit, const Unparked& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const Quarantined& v) {
    visit("reason", v.reason);
}

template <class V>
void fields(V& visit, const QuarantineLifted& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const LimitsChanged& v) {
    visit("by", v.by);
    visit("limits", v.limits);
}

template <class V>
void fields(V& visit, const RetryStarted& v) {
    visit("by", v.by);
    visit("attempt", v.attempt);
}

template <class V>
void fields(V& visit, const DataStateChanged& v) {
    visit("state", v.state);
    visit("generation", v.generation);
    visit("backlog_bytes", v.backlog_bytes);
}

template <class V>
void fields(V& visit, const GenerationLost& v) {
    visit("disk", v.disk);
    visit("cause", v.cause);
}

template <class V>
void fields(V& visit, const ActivationFailed& v) {
    visit("error", v.error);
}

template <class V>
void fields(V& visit, const ValidationFailed& v) {
    visit("error", v.error);
}

template <class V>
void fields(V& visit, const DeadlinePassed& v) {
    visit("deadline_micros", v.deadline_micros);
}

template <class V>
void fields(V& visit, const AgentLost& v) {
    visit("side", v.side);
}

template <class V>
void fields(V& visit, const AgentBack& v) {
    visit("side", v.side);
}

template <class V>
void fields(V& visit, const TargetStopConfirmed& v) {
    visit("by", v.by);
    visit("how", v.how);
}

template <class V>
void fields(V& visit, const TargetDeactivated& v) {
    visit("was_active", v.was_active);
    visit("bytes_written", v.bytes_written);
    if (v.changes_known) visit("changes_known", v.changes_known);
    if (v.changes_known) visit("changed_bytes", v.changed_bytes);
}

template <class V>
void fields(V& visit, const FenceBreached& v) {
    visit("completions", v.completions);
}

template <class V>
void fields(V& visit, const FenceBroken& v) {
    visit("by", v.by);
}

template <class V>
void fields(V& visit, const CleanedUp& v) {
    visit("side", v.side);
}

template <class V>
void fields(V& visit, const DeletionStarted& v) {
    visit("by", v.by);
}

template <class V>
void fields(V&, const TargetDataDeleted&) {}

template <class V>
void fields(V& visit, const CommandRejected& v) {
    visit("by", v.by);
    visit("action", v.action);
    visit("id", v.id);
    visit("detail", v.detail);
}

template <class V>
void fields(V& visit, const Cause& v) {
    visit("seq", v.seq);
    visit("hash", v.hash);
    visit("wall_micros", v.wall_micros);
}

template <class V>
void fields(V& visit, const ParkedState& v) {
    visit("step", v.step);
    visit("error", v.error);
    visit("since_micros", v.since_micros);
}

template <class V>
void fields(V& visit, const Job& v) {
    visit("id", v.id);
    visit("lineage", v.lineage);
    visit("spec", v.spec);
    visit("phase", v.phase);
    visit("exists", v.exists);
    visit("version", v.version);
    visit("paused", v.paused);
    visit("pause_reason", v.pause_reason);
    visit("parked", v.parked);
    visit("quarantined", v.quarantined);
    visit("limits", v.limits);
    visit("preflight", v.preflight);
    visit("plan_hash", v.plan_hash);
    visit("findings", v.findings);
    visit("data_state", v.data_state);
    visit("data_state_since_micros", v.data_state_since_micros);
    visit("backlog_bytes", v.backlog_bytes);
    visit("generation", v.generation);
    visit("generation_lost", v.generation_lost);
    visit("ticket_serial", v.ticket_serial);
    visit("ticket_not_after_micros", v.ticket_not_after_micros);
    visit("overwrite_acknowledged", v.overwrite_acknowledged);
    visit("run", v.run);
    visit("armed", v.armed);
    visit("token", v.token);
    visit("fence", v.fence);
    visit("cutover_started_micros", v.cutover_started_micros);
    visit("outage_deadline_micros", v.outage_deadline_micros);
    visit("deadline_passed", v.deadline_passed);
    visit("repair", v.repair);
    visit("repairs", v.repairs);
    visit("proof", v.proof);
    visit("activate_derived", v.activate_derived);
    visit("activated_micros", v.activated_micros);
    visit("target_took_writes", v.target_took_writes);
    visit("target_bytes_written", v.target_bytes_written);
    visit("hold_deadline_micros", v.hold_deadline_micros);
    visit("decision_overdue", v.decision_overdue);
    visit("fence_breached", v.fence_breached);
    visit("fence_broken", v.fence_broken);
    visit("rollback", v.rollback);
    visit("reverse_verified", v.reverse_verified);
    visit("target_deactivated", v.target_deactivated);
    visit("target_stop_confirmed", v.target_stop_confirmed);
    visit("deactivate_pending", v.deactivate_pending);
    visit("release_pending", v.release_pending);
    visit("cleaned_up", v.cleaned_up);
    visit("deletion_wanted", v.deletion_wanted);
    visit("data_deleted", v.data_deleted);
    visit("agent_connected", v.agent_connected);
    visit("attempt", v.attempt);
    visit("phase_cause", v.phase_cause);
    visit("run_cause", v.run_cause);
    visit("copy_cause", v.copy_cause);
    visit("fence_cause", v.fence_cause);
    visit("deactivate_cause", v.deactivate_cause);
    visit("release_cause", v.release_cause);
    visit("deletion_cause", v.deletion_cause);
    visit("wake_cause", v.wake_cause);
    visit("phase_since_micros", v.phase_since_micros);
    visit("created_micros", v.created_micros);
    // Only where they say something: the text of every other state is as it was before these.
    if (v.reconciling) visit("reconciling", v.reconciling);
    if (v.resolved) visit("resolved", v.resolved);
    if (v.test) visit("test", v.test);
    if (v.test_reverting) visit("test_reverting", v.test_reverting);
    if (v.verifies_by_induction) visit("verifies_by_induction", v.verifies_by_induction);
    // Beside repairs it says nothing new.
    if (v.copy_suspect && v.repairs == 0) visit("copy_suspect", v.copy_suspect);
    if (!v.hold_proof.empty()) visit("hold_proof", v.hold_proof);
    if (!v.hold_written.empty()) visit("hold_written", v.hold_written);
    if (v.copy_differs) visit("copy_differs", v.copy_differs);
    if (v.comparison_waived) visit("comparison_waived", v.comparison_waived);
    if (v.changes_known) visit("changes_known", v.changes_known);
    if (v.changes_known) visit("target_changed_bytes", v.target_changed_bytes);
}

}  // namespace drover::statemachine
