/// The vocabulary that the orchestrator and the agents share: what a job is, what an effect asks for,
/// what a report answers. Plain values; the Cap'n Proto forms are in agent.capnp (wire) and event.capnp (log).
///
///   statemachine::outstanding ─► Effect ─► wire ─► agent ─► Report ─► wire ─► statemachine::decide
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace drover {

using JobId = Uuid;
/// Names the fence of one run of one job; random, never reused.
using FenceToken = Uuid;
/// Made when a tracker is attached to the disks of a job; a new one means "compare everything".
using Generation = Uuid;

enum class Side : std::uint8_t { source = 0, target = 1 };

// ---- the plan ----

struct DiskPair {
    std::string source;  ///< path on the source host: a whole block device or an image file
    std::string target;  ///< path on the target host, exposed there by root

    bool operator==(const DiskPair&) const = default;
};

/// The steps at which a local hook may run. A hook is a root-owned file that the agent's own
/// configuration names; the plan holds only its name.
enum class HookStep : std::uint8_t {
    pre_fence = 0,      ///< source: stop the workload
    post_release = 1,   ///< source: start it again after a rollback
    post_activate = 2,  ///< target: start the workload
    validate = 3,       ///< target: is it healthy?
    pre_deactivate = 4  ///< target: stop it for a rollback
};

struct Limits {
    std::uint64_t rate_bytes_per_s = 0;  ///< 0: no limit

    bool operator==(const Limits&) const = default;
};

struct JobSpec {
    std::string name;
    std::string source_agent;
    std::string target_agent;
    std::vector<DiskPair> disks;  ///< 1..disks_max
    std::map<HookStep, std::string> hooks;
    Limits limits;
    std::uint32_t outage_max_s = 600;  ///< from CutoverStarted to Activate, then rollback by itself
    std::uint32_t hold_s = 5 * 86400;  ///< after it the decision to commit is overdue
    std::uint64_t backlog_bytes_max = 4U << 20;  ///< above it a job is not in sync and is not fenced

    bool operator==(const JobSpec&) const = default;
};

constexpr std::size_t disks_max = 32;

// ---- what agents find out ----

enum class Severity : std::uint8_t { info = 0, warning = 1, critical = 2 };

struct Finding {
    Severity severity = Severity::critical;
    std::string id;      ///< stable, for example "target_not_blank"
    std::string object;  ///< the disk, hook or setting
    std::string detail;
    std::string next;  ///< what to do about it

    bool operator==(const Finding&) const = default;
};

struct DiskFacts {
    std::string path;
    std::string identity;  ///< wwid, serial or a file's device:inode; empty when nothing is stable
    std::uint64_t size_bytes = 0;
    std::uint32_t sector_bytes = 512;
    std::string tracker;  ///< source: "ebpf" or "scan"; target: ""

    bool operator==(const DiskFacts&) const = default;
};

struct Endpoint {
    std::string host;  ///< address the source dials
    std::uint16_t control_port = 6325;
    std::uint16_t bulk_port = 6326;

    bool operator==(const Endpoint&) const = default;
};

/// The two-axis model's second axis: how the copy is doing.
enum class DataState : std::uint8_t {
    idle = 0,
    mirroring = 1,
    catching_up = 2,
    in_sync = 3,
    lagging = 4,
    not_converging = 5,
    stalled = 6,
    rescanning = 7,
    paused = 8,
    disconnected = 9
};

struct ByteRange {
    std::uint32_t disk = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;

    bool operator==(const ByteRange&) const = default;
};

/// SHA-256 Merkle roots of one disk, as both ends computed them from what they read.
struct DiskProof {
    Hash source_root;
    Hash target_root;
    std::uint64_t bytes = 0;

    bool operator==(const DiskProof&) const = default;
};

/// What the source agent signed: the target checks it before it lets anybody write.
struct FenceProof {
    FenceToken token;
    JobId job;
    std::uint32_t run = 0;
    std::uint64_t tracker_seq = 0;
    WallMicros fenced_micros = 0;
    std::string certificate_pem;  ///< of the source agent, issued by the common CA
    Bytes signature;              ///< Ed25519 over fence_proof_message()

    bool operator==(const FenceProof&) const = default;
};

/// The bytes that FenceProof::signature covers.
[[nodiscard]] Bytes fence_proof_message(const FenceProof& proof);

// ---- effects: work wanted ----

enum class EffectKind : std::uint8_t {
    preflight = 0,
    replicate = 1,  // standing
    fence = 2,
    hold_fence = 3,  // standing
    drain = 4,
    verify = 5,
    activate = 6,
    validate = 7,
    deactivate = 8,
    release = 9,
    cleanup = 10,
    delete_data = 11,
    wake_at = 12,  // standing, served inside the orchestrator
    seal_point = 13,
    start_test = 14,
    revert_test = 15,
    hold_test = 16,
    reverse_drain = 17,
    reverse_verify = 18
};

/// A desired state: a newer one replaces the older without restarting work, and it can be withdrawn.
[[nodiscard]] constexpr bool is_standing(EffectKind kind) {
    return kind == EffectKind::replicate || kind == EffectKind::hold_fence ||
           kind == EffectKind::wake_at || kind == EffectKind::hold_test;
}

/// Changes who may write. Never re-done blindly: after a crash the world is probed first.
[[nodiscard]] constexpr bool is_ownership(EffectKind kind) {
    return kind == EffectKind::fence || kind == EffectKind::activate ||
           kind == EffectKind::deactivate || kind == EffectKind::release ||
           kind == EffectKind::reverse_drain;
}

/// Names the same wanted work for ever: after a crash the same effect has the same id, so an agent
/// answers a repeat from its journal. Does not contain the epoch.
struct EffectId {
    Uuid lineage;
    JobId job;
    std::uint64_t seq = 0;  ///< global seq of the causing event
    EffectKind kind = EffectKind::preflight;
    Side side = Side::source;
    std::array<std::uint8_t, 16> cause_hash{};  ///< first 16 bytes of the causing event's chain hash

    auto operator<=>(const EffectId&) const = default;
};

/// hex(job)/seq/kind/side: for logs and file names.
[[nodiscard]] std::string effect_text(const EffectId& id);

/// The permission under which two agents talk to each other. Signed by the orchestrator; survives
/// its restarts because it does not contain the epoch. A peer that saw serial n refuses less.
struct Ticket {
    Uuid lineage;
    JobId job;
    std::string job_name;
    std::uint64_t serial = 0;
    std::string source_agent;
    std::string target_agent;
    std::vector<DiskPair> disks;
    std::vector<std::uint64_t> sizes_bytes;  ///< of the source disks, same order
    WallMicros not_after_micros = 0;
    Bytes signature;  ///< Ed25519 by the orchestrator over ticket_message(); empty until signed

    bool operator==(const Ticket&) const = default;
};

/// The bytes that Ticket::signature covers: every other field.
[[nodiscard]] Bytes ticket_message(const Ticket& ticket);

struct PreflightWork {
    std::vector<std::string> disks;  ///< this side's paths
    std::map<HookStep, std::string> hooks;

    bool operator==(const PreflightWork&) const = default;
};

enum class ReplicateMode : std::uint8_t {
    transfer = 0,    ///< copy
    track_only = 1,  ///< keep the tracker attached, send nothing (paused)
    connected = 2    ///< fenced: keep the session for Drain and Verify, no passes by itself
};

struct ReplicateWork {
    Ticket ticket;
    Endpoint peer;  ///< the target's listener; the source dials it
    ReplicateMode mode = ReplicateMode::transfer;
    Limits limits;
    std::uint64_t backlog_bytes_max = 0;
    /// The target's disks took writes under another owner and the operator acknowledged that a new
    /// sync overwrites them. Without it a promoted target's disk is not written.
    bool overwrite_acknowledged = false;

    bool operator==(const ReplicateWork&) const = default;
};

struct FenceWork {
    FenceToken token;
    std::uint32_t run = 0;
    std::vector<std::string> disks;
    std::uint64_t backlog_bytes_max = 0;
    std::string pre_fence_hook;  ///< empty: none
    std::string post_release_hook;  ///< run if the fence has to be undone on the spot

    bool operator==(const FenceWork&) const = default;
};

struct HoldFenceWork {
    FenceToken token;

    bool operator==(const HoldFenceWork&) const = default;
};

struct DrainWork {
    FenceToken token;
    std::vector<ByteRange> repair;  ///< ranges to send again although the tracker calls them clean

    bool operator==(const DrainWork&) const = default;
};

struct VerifyWork {
    FenceToken token;

    bool operator==(const VerifyWork&) const = default;
};

struct ActivateWork {
    FenceToken token;
    FenceProof proof;
    std::string source_agent;  ///< whose certificate must have signed the proof
    std::string post_activate_hook;

    bool operator==(const ActivateWork&) const = default;
};

struct ValidateWork {
    std::string hook;  ///< empty: the disks are readable and that is all we know

    bool operator==(const ValidateWork&) const = default;
};

struct DeactivateWork {
    FenceToken token;
    std::string pre_deactivate_hook;

    bool operator==(const DeactivateWork&) const = default;
};

struct ReleaseWork {
    FenceToken token;
    std::string post_release_hook;

    bool operator==(const ReleaseWork&) const = default;
};

/// Forget the job: detach the tracker, close the disks, end the guards. A fence is kept.
struct CleanupWork {
    bool keep_fence = false;

    bool operator==(const CleanupWork&) const = default;
};

struct DeleteDataWork {
    std::vector<std::string> disks;

    bool operator==(const DeleteDataWork&) const = default;
};

struct WakeAtWork {
    WallMicros at_micros = 0;

    bool operator==(const WakeAtWork&) const = default;
};

using EffectWork =
    std::variant<PreflightWork, ReplicateWork, FenceWork, HoldFenceWork, DrainWork, VerifyWork,
                 ActivateWork, ValidateWork, DeactivateWork, ReleaseWork, CleanupWork,
                 DeleteDataWork, WakeAtWork>;

/// Work wanted of one agent. Which agent: `agent` (empty for wake_at).
struct Effect {
    EffectId id;
    std::string agent;
    std::string job_name;
    EffectWork work;

    bool operator==(const Effect&) const = default;
};

// ---- reports: what an agent says happened ----

struct PreflightDone {
    std::vector<Finding> findings;
    std::vector<DiskFacts> disks;
    std::vector<std::string> capabilities;  ///< for example "track.ebpf", "test.overlay"
    std::map<HookStep, Hash> hook_digests;  ///< SHA-256 of each hook's file
    Endpoint endpoint;                      ///< target only
    std::string journal_mode;               ///< target only: "direct"

    bool operator==(const PreflightDone&) const = default;
};

struct MirrorDone {
    Generation generation;

    bool operator==(const MirrorDone&) const = default;
};

struct DataStateNow {
    DataState state = DataState::idle;
    Generation generation;
    std::uint64_t backlog_bytes = 0;

    bool operator==(const DataStateNow&) const = default;
};

struct GenerationGone {
    std::uint32_t disk = 0;
    std::string cause;

    bool operator==(const GenerationGone&) const = default;
};

struct FenceDone {
    FenceProof proof;

    bool operator==(const FenceDone&) const = default;
};

struct FenceDeclined {
    std::uint64_t backlog_bytes = 0;

    bool operator==(const FenceDeclined&) const = default;
};

struct FenceBreach {
    std::uint64_t completions = 0;  ///< writes that completed on a fenced disk

    bool operator==(const FenceBreach&) const = default;
};

/// Local root removed the fence by hand: the one way to make two writers.
struct FenceBrokenByRoot {
    std::string by;

    bool operator==(const FenceBrokenByRoot&) const = default;
};

struct DrainDone {
    std::uint64_t batch = 0;
    std::uint64_t bytes = 0;

    bool operator==(const DrainDone&) const = default;
};

struct VerifyDone {
    std::vector<DiskProof> disks;
    std::vector<ByteRange> mismatches;  ///< at most mismatches_max; empty means none was found

    bool operator==(const VerifyDone&) const = default;
};

constexpr std::size_t mismatches_max = 256;

struct ActivateDone {
    WallMicros activated_micros = 0;

    bool operator==(const ActivateDone&) const = default;
};

struct ValidateDone {
    std::string check;

    bool operator==(const ValidateDone&) const = default;
};

struct DeactivateDone {
    bool was_active = false;
    std::uint64_t bytes_written = 0;  ///< on the target's disks since activation

    bool operator==(const DeactivateDone&) const = default;
};

struct ReleaseDone {
    WallMicros released_micros = 0;

    bool operator==(const ReleaseDone&) const = default;
};

struct CleanupDone {
    bool operator==(const CleanupDone&) const = default;
};

struct DataDeleted {
    bool operator==(const DataDeleted&) const = default;
};

/// The step did not happen, or not fully; `error` says what is kept and what to do next.
struct StepFailed {
    Error error;

    bool operator==(const StepFailed&) const = default;
};

using ReportBody =
    std::variant<PreflightDone, MirrorDone, DataStateNow, GenerationGone, FenceDone, FenceDeclined,
                 FenceBreach, FenceBrokenByRoot, DrainDone, VerifyDone, ActivateDone, ValidateDone,
                 DeactivateDone, ReleaseDone, CleanupDone, DataDeleted, StepFailed>;

/// An agent's durable statement about an effect. `report_id` makes a resend recognisable: it becomes
/// the command id on the orchestrator.
struct Report {
    Uuid report_id;
    EffectId effect;
    ReportBody body;

    bool operator==(const Report&) const = default;
};

// ---- telemetry: never logged, may be lost ----

struct DiskProgress {
    std::uint64_t size_bytes = 0;
    std::uint64_t mirrored_bytes = 0;
    std::uint64_t backlog_bytes = 0;

    bool operator==(const DiskProgress&) const = default;
};

struct Progress {
    JobId job;
    Side side = Side::source;
    DataState state = DataState::idle;
    std::vector<DiskProgress> disks;
    std::uint64_t bytes_changed = 0;       ///< taken from the tracker since the mirror completed
    std::uint64_t bytes_sent_mirror = 0;   ///< payload sent while mirroring
    std::uint64_t bytes_sent_sync = 0;     ///< payload sent after it
    std::uint64_t bytes_zero_skipped = 0;  ///< zero ranges not sent as data
    std::uint64_t bytes_resumed = 0;       ///< already durable at the last reconnect, not sent again
    std::uint64_t passes = 0;
    std::uint64_t tracker_losses = 0;    ///< events the audit found missing, repaired
    std::uint64_t rate_bytes_per_s = 0;  ///< over the last second or so
    std::uint64_t bytes_written_since_activation = 0;  ///< target only
    std::string detail;                                ///< last error in words, empty when well

    bool operator==(const Progress&) const = default;
};

[[nodiscard]] std::string_view name_of(Side side);
[[nodiscard]] std::string_view name_of(HookStep step);
[[nodiscard]] std::string_view name_of(EffectKind kind);
[[nodiscard]] std::string_view name_of(DataState state);
[[nodiscard]] std::string_view name_of(Severity severity);
[[nodiscard]] std::string_view name_of(Errc code);
[[nodiscard]] std::optional<HookStep> hook_step_from(std::string_view name);

}  // namespace drover
