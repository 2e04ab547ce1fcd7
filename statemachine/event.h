/// Facts. Past tense, never edited, never reinterpreted. Each alternative has a number (EventKind)
/// that is stored in the log and never reused; a changed meaning is a new kind_version with its own
/// evolve overload. Wire form: schemas/event.capnp, by codec.h.
#pragma once

#include "schemas/model.h"
#include "schemas/restore.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace drover::statemachine {

// ---- facts that move the phase ----

/// First event of every job.
struct JobPlanned {
    JobSpec spec;
    std::string by;
    bool operator==(const JobPlanned&) const = default;
};

/// `plan_hash`: SHA-256 over the encoded spec and the digests of its hooks. Approvals name it.
struct PreflightPassed {
    Hash plan_hash;
    bool operator==(const PreflightPassed&) const = default;
};

struct PreflightFailed {
    std::vector<Finding> findings;
    bool operator==(const PreflightFailed&) const = default;
};

struct MirrorStarted {
    std::string by;
    bool operator==(const MirrorStarted&) const = default;
};

struct MirrorCompleted {
    Generation generation;
    bool operator==(const MirrorCompleted&) const = default;
};

struct TestStarted {
    std::string by;
    bool operator==(const TestStarted&) const = default;
};

/// The overlay is gone; what the journal took meanwhile goes to the disks.
struct TestReverted {
    bool operator==(const TestReverted&) const = default;
};

struct CutoverArmed {
    std::string by;
    WallMicros at_micros = 0;  ///< 0: when a person says so
    Hash plan_hash;
    std::uint32_t outage_max_s = 0;
    bool pause_before_activate = false;  ///< pause by itself once the target is verified
    bool operator==(const CutoverArmed&) const = default;
};

struct Disarmed {
    std::string by;
    bool operator==(const Disarmed&) const = default;
};

struct CutoverStarted {
    std::string by;
    std::uint32_t run = 0;
    FenceToken token;
    WallMicros deadline_micros = 0;  ///< after it, before Activate, rollback starts by itself
    bool operator==(const CutoverStarted&) const = default;
};

struct SourceFenced {
    FenceProof proof;
    bool operator==(const SourceFenced&) const = default;
};

struct FenceRefused {
    std::uint64_t backlog_bytes = 0;
    bool operator==(const FenceRefused&) const = default;
};

struct DeltaDrained {
    std::uint64_t batch = 0;
    std::uint64_t bytes = 0;
    std::uint64_t bytes_read_back = 0;   ///< from the target's disks, of all that was written there
    std::uint64_t bytes_differed = 0;    ///< of those, and sent again
    std::uint64_t bytes_unverified = 0;  ///< not read back, because the target cannot
    bool by_induction = false;  ///< the proof by induction will do: plan, agents and figures allow it
    bool operator==(const DeltaDrained&) const = default;
};

struct TargetVerified {
    std::vector<DiskProof> disks;
    bool operator==(const TargetVerified&) const = default;
};

/// The copy differs; the ranges are drained again. After repairs_max rounds the job parks instead.
struct MismatchFound {
    std::vector<ByteRange> ranges;
    bool operator==(const MismatchFound&) const = default;
};

struct TargetActivated {
    WallMicros activated_micros = 0;
    bool operator==(const TargetActivated&) const = default;
};

struct TargetValidated {
    std::string check;
    bool operator==(const TargetValidated&) const = default;
};

struct ValidationWaived {
    std::string by;
    std::string reason;
    bool operator==(const ValidationWaived&) const = default;
};

struct Committed {
    std::string by;
    bool operator==(const Committed&) const = default;
};

enum class RollbackMode : std::uint8_t { discard = 0, keep = 1 };

[[nodiscard]] std::string_view name_of(RollbackMode mode);

struct RollbackStarted {
    RollbackMode mode = RollbackMode::discard;
    std::string by;
    std::string cause;              ///< "operator", "outage deadline", "validation"
    std::string acknowledged_loss;  ///< what the operator typed; empty when nothing was written
    bool operator==(const RollbackStarted&) const = default;
};

struct SourceReleased {
    WallMicros released_micros = 0;
    bool operator==(const SourceReleased&) const = default;
};

struct TargetFenced {
    bool operator==(const TargetFenced&) const = default;
};

struct ReverseDrained {
    std::uint64_t bytes = 0;
    bool operator==(const ReverseDrained&) const = default;
};

struct ReverseVerified {
    std::vector<DiskProof> disks;
    bool operator==(const ReverseVerified&) const = default;
};

struct ReverseAbandoned {
    std::string by;
    std::string acknowledged_loss;
    bool operator==(const ReverseAbandoned&) const = default;
};

struct ResyncStarted {
    std::string by;
    std::uint32_t run = 0;
    std::string acknowledged_loss;
    bool operator==(const ResyncStarted&) const = default;
};

struct Cancelled {
    std::string by;
    bool operator==(const Cancelled&) const = default;
};

// ---- facts that do not move it ----

/// One side's half of a preflight. Both halves decide.
struct PreflightChecked {
    Side side = Side::source;
    PreflightDone result;
    bool operator==(const PreflightChecked&) const = default;
};

struct Paused {
    std::string by;
    std::string reason;
    bool operator==(const Paused&) const = default;
};

struct Resumed {
    std::string by;
    bool operator==(const Resumed&) const = default;
};

/// Something failed or a person said stop; `error` says what is kept and the next safe action.
struct Parked {
    EffectKind step = EffectKind::preflight;
    Error error;
    bool operator==(const Parked&) const = default;
};

struct Unparked {
    std::string by;
    bool operator==(const Unparked&) const = default;
};

struct Quarantined {
    std::string reason;
    bool operator==(const Quarantined&) const = default;
};

/// The quarantine was lifted.
struct QuarantineLifted {
    std::string by;
    bool operator==(const QuarantineLifted&) const = default;
};

struct LimitsChanged {
    std::string by;
    Limits limits;
    bool operator==(const LimitsChanged&) const = default;
};

/// A new attempt at the outstanding step: a new causing event, hence a new effect id.
struct RetryStarted {
    std::string by;
    std::uint32_t attempt = 0;
    bool operator==(const RetryStarted&) const = default;
};

struct DataStateChanged {
    DataState state = DataState::idle;
    Generation generation;
    std::uint64_t backlog_bytes = 0;
    bool operator==(const DataStateChanged&) const = default;
};

struct GenerationLost {
    std::uint32_t disk = 0;
    std::string cause;
    bool operator==(const GenerationLost&) const = default;
};

struct ActivationFailed {
    Error error;
    bool operator==(const ActivationFailed&) const = default;
};

struct ValidationFailed {
    Error error;
    bool operator==(const ValidationFailed&) const = default;
};

/// The outage limit or the hold period ran out.
struct DeadlinePassed {
    WallMicros deadline_micros = 0;
    bool operator==(const DeadlinePassed&) const = default;
};

struct AgentLost {
    Side side = Side::source;
    bool operator==(const AgentLost&) const = default;
};

struct AgentBack {
    Side side = Side::source;
    bool operator==(const AgentBack&) const = default;
};

/// A person says the target is stopped although its agent does not answer.
struct TargetStopConfirmed {
    std::string by;
    std::string how;
    bool operator==(const TargetStopConfirmed&) const = default;
};

struct TargetDeactivated {
    bool was_active = false;
    std::uint64_t bytes_written = 0;
    bool changes_known = false;  ///< its change map is exact: a rollback can keep what it says
    std::uint64_t changed_bytes = 0;
    bool operator==(const TargetDeactivated&) const = default;
};

struct FenceBreached {
    std::uint64_t completions = 0;
    bool operator==(const FenceBreached&) const = default;
};

/// Local root on the source removed the fence by hand.
struct FenceBroken {
    std::string by;
    bool operator==(const FenceBroken&) const = default;
};

struct CleanedUp {
    Side side = Side::source;
    bool operator==(const CleanedUp&) const = default;
};

struct DeletionStarted {
    std::string by;
    bool operator==(const DeletionStarted&) const = default;
};

struct TargetDataDeleted {
    bool operator==(const TargetDataDeleted&) const = default;
};

/// "Why was my cutover refused at 02:10." Rate-limited by the engine.
struct CommandRejected {
    std::string by;
    std::string action;
    std::string id;
    std::string detail;
    bool operator==(const CommandRejected&) const = default;
};

// ---- after a restore with a loss ----

/// The log is an older copy: nothing is asked of anybody until both hosts have said what they hold.
struct ReconcileStarted {
    std::uint64_t old_head_seq = 0;  ///< the last event that the log has of what happened
    bool operator==(const ReconcileStarted&) const = default;
};

/// What one side holds, as its agent found it.
struct WorldSeen {
    JobWorld world;
    bool operator==(const WorldSeen&) const = default;
};

/// Both sides hold what the log says: the job goes on.
struct Reconciled {
    bool operator==(const Reconciled&) const = default;
};

/// A person ended the job as it was found; drover releases, deactivates and deletes nothing. The
/// target serves.
struct ResolvedToTarget {
    std::string by;
    std::string reason;
    bool operator==(const ResolvedToTarget&) const = default;
};

/// The same; the source serves, or will once root has removed its fence.
struct ResolvedToSource {
    std::string by;
    std::string reason;
    bool operator==(const ResolvedToSource&) const = default;
};

/// The same; who serves is decided without drover.
struct ResolvedToNeither {
    std::string by;
    std::string reason;
    bool operator==(const ResolvedToNeither&) const = default;
};

// ---- tests, and the comparison during the hold ----

/// The workload runs on an overlay of this point; nothing reaches the target's disks.
struct TestReady {
    StartTestDone test;
    bool operator==(const TestReady&) const = default;
};

struct TestRevertStarted {
    std::string by;
    bool operator==(const TestRevertStarted&) const = default;
};

/// Everything that the target's users have not written equals the fenced source.
struct HoldCompared {
    std::vector<DiskProof> disks;
    std::vector<ByteRange> written;  ///< by them: these rest on the proof by induction alone
    bool operator==(const HoldCompared&) const = default;
};

/// A difference where nobody wrote. The target is in service: a person decides.
struct CopyDiffers {
    std::vector<ByteRange> ranges;
    bool operator==(const CopyDiffers&) const = default;
};

/// A person does without the comparison that the plan asks for.
struct ComparisonWaived {
    std::string by;
    std::string reason;
    bool operator==(const ComparisonWaived&) const = default;
};

/// The order here is not stored; EventKind is.
using Event = std::variant<
    JobPlanned, PreflightPassed, PreflightFailed, MirrorStarted, MirrorCompleted, TestStarted,
    TestReverted, CutoverArmed, Disarmed, CutoverStarted, SourceFenced, FenceRefused, DeltaDrained,
    TargetVerified, MismatchFound, TargetActivated, TargetValidated, ValidationWaived, Committed,
    RollbackStarted, SourceReleased, TargetFenced, ReverseDrained, ReverseVerified,
    ReverseAbandoned, ResyncStarted, Cancelled, PreflightChecked, Paused, Resumed, Parked, Unparked,
    Quarantined, QuarantineLifted, LimitsChanged, RetryStarted, DataStateChanged, GenerationLost,
    ActivationFailed, ValidationFailed, DeadlinePassed, AgentLost, AgentBack, TargetStopConfirmed,
    TargetDeactivated, FenceBreached, FenceBroken, CleanedUp, DeletionStarted, TargetDataDeleted,
    CommandRejected, ReconcileStarted, WorldSeen, Reconciled, ResolvedToTarget, ResolvedToSource,
    ResolvedToNeither, TestReady, TestRevertStarted, HoldCompared, CopyDiffers, ComparisonWaived>;

/// Stored numbers: index in the variant at the first release plus 1; append-only from then on.
enum class EventKind : std::uint16_t {
    job_planned = 1,
    preflight_passed = 2,
    preflight_failed = 3,
    mirror_started = 4,
    mirror_completed = 5,
    test_started = 6,
    test_reverted = 7,
    cutover_armed = 8,
    disarmed = 9,
    cutover_started = 10,
    source_fenced = 11,
    fence_refused = 12,
    delta_drained = 13,
    target_verified = 14,
    mismatch_found = 15,
    target_activated = 16,
    target_validated = 17,
    validation_waived = 18,
    committed = 19,
    rollback_started = 20,
    source_released = 21,
    target_fenced = 22,
    reverse_drained = 23,
    reverse_verified = 24,
    reverse_abandoned = 25,
    resync_started = 26,
    cancelled = 27,
    preflight_checked = 28,
    paused = 29,
    resumed = 30,
    parked = 31,
    unparked = 32,
    quarantined = 33,
    quarantine_lifted = 34,
    limits_changed = 35,
    retry_started = 36,
    data_state_changed = 37,
    generation_lost = 38,
    activation_failed = 39,
    validation_failed = 40,
    deadline_passed = 41,
    agent_lost = 42,
    agent_back = 43,
    target_stop_confirmed = 44,
    target_deactivated = 45,
    fence_breached = 46,
    fence_broken = 47,
    cleaned_up = 48,
    deletion_started = 49,
    target_data_deleted = 50,
    command_rejected = 51,
    reconcile_started = 52,
    world_seen = 53,
    reconciled = 54,
    resolved_to_target = 55,
    resolved_to_source = 56,
    resolved_to_neither = 57,
    test_ready = 58,
    test_revert_started = 59,
    hold_compared = 60,
    copy_differs = 61,
    comparison_waived = 62
};

constexpr std::uint16_t event_kind_count = 62;

[[nodiscard]] EventKind kind_of(const Event& event);
/// CamelCase name of the fact, for example "SourceFenced".
[[nodiscard]] std::string_view name_of(EventKind kind);

/// Where an event stands: what evolve needs to know beside the event itself.
struct EventPosition {
    std::uint64_t seq = 0;  ///< global
    Hash hash;              ///< chain hash of the event
    WallMicros wall_micros = 0;
};

}  // namespace drover::statemachine
