/// Reports: what an agent says happened. And telemetry, which is never logged and may be lost.
#pragma once

#include "schemas/effect.h"

namespace drover {

/// What a state of all disks of a job is worth: what a power cut would have left; with the
/// filesystems at rest; with the applications at rest too, by their hooks.
enum class PointKind : std::uint8_t { crash = 0, filesystem = 1, application = 2 };

[[nodiscard]] std::string_view name_of(PointKind kind);  ///< "crash-consistent", …

struct PreflightDone {
    std::vector<Finding> findings;
    std::vector<DiskFacts> disks;
    std::vector<std::string> capabilities;  ///< for example "track.ebpf", "test.overlay"
    std::map<HookStep, Hash> hook_digests;  ///< SHA-256 of each hook's file
    Endpoint endpoint;                      ///< of the target, or of a source for the way back
    std::string journal_mode;               ///< target only: "direct" or "journal"

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
    /// Of all that was ever written to the target's disks for this copy: read back from them, found
    /// to differ then and sent again, and not read back (because the target cannot).
    std::uint64_t bytes_read_back = 0;
    std::uint64_t bytes_differed = 0;
    std::uint64_t bytes_unverified = 0;

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
    bool changes_known = false;  ///< the change map has been exact since before the first mount
    std::uint64_t changed_bytes = 0;  ///< by that map

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

struct StartTestDone {
    std::uint64_t point = 0;  ///< of the journal; what the overlay was made of
    PointKind point_kind = PointKind::crash;
    WallMicros taken_micros = 0;
    std::string overlay;             ///< "reflink", "qcow2" or "dm-snapshot"
    std::vector<std::string> disks;  ///< what the workload was given, in the job's order

    bool operator==(const StartTestDone&) const = default;
};

struct RevertTestDone {
    bool operator==(const RevertTestDone&) const = default;
};

struct ReverseDrainDone {
    std::uint64_t batch = 0;
    std::uint64_t bytes = 0;

    bool operator==(const ReverseDrainDone&) const = default;
};

struct ReverseVerifyDone {
    std::vector<DiskProof> disks;
    std::vector<ByteRange> mismatches;  ///< at most mismatches_max; empty means none was found

    bool operator==(const ReverseVerifyDone&) const = default;
};

struct CompareDone {
    std::vector<DiskProof> disks;
    std::vector<ByteRange> mismatches;  ///< at most mismatches_max; empty means none was found
    /// What DiskProof::written_bytes counts, in order; at most mismatches_max: neighbours are joined
    /// over what lies between until they are no more.
    std::vector<ByteRange> written;

    bool operator==(const CompareDone&) const = default;
};

/// The step did not happen, or not fully; `error` says what is kept and what to do next.
struct StepFailed {
    Error error;

    bool operator==(const StepFailed&) const = default;
};

using ReportBody =
    std::variant<PreflightDone, MirrorDone, DataStateNow, GenerationGone, FenceDone, FenceDeclined,
                 FenceBreach, FenceBrokenByRoot, DrainDone, VerifyDone, ActivateDone, ValidateDone,
                 DeactivateDone, ReleaseDone, CleanupDone, DataDeleted, StepFailed, StartTestDone,
                 RevertTestDone, ReverseDrainDone, ReverseVerifyDone, CompareDone>;

/// An agent's durable statement about an effect. `report_id` makes a resend recognisable: it
/// becomes the command id on the orchestrator.
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

/// A state of all disks of a job that its target can be taken back to.
struct PointMark {
    std::uint64_t batch = 0;  ///< names it
    WallMicros taken_micros = 0;
    PointKind kind = PointKind::crash;

    bool operator==(const PointMark&) const = default;
};

constexpr std::size_t points_max = 64;

struct Progress {
    JobId job;
    Side side = Side::source;
    DataState state = DataState::idle;
    std::vector<DiskProgress> disks;
    std::uint64_t bytes_changed = 0;       ///< taken from the tracker since the mirror completed
    std::uint64_t bytes_sent_mirror = 0;   ///< payload sent while mirroring
    std::uint64_t bytes_sent_sync = 0;     ///< payload sent after it
    std::uint64_t bytes_zero_skipped = 0;  ///< zero ranges not sent as data
    std::uint64_t bytes_resumed = 0;  ///< already durable at the last reconnect, not sent again
    std::uint64_t passes = 0;
    std::uint64_t tracker_losses = 0;                  ///< events the audit found missing, repaired
    std::uint64_t rate_bytes_per_s = 0;                ///< over the last second or so
    std::uint64_t bytes_written_since_activation = 0;  ///< target only
    std::string detail;                                ///< last error in words, empty when well
    std::uint64_t bytes_unverified = 0;      ///< durable on the target, not read back there yet
    std::uint64_t bytes_read_back = 0;       ///< by the target, of what it wrote
    std::uint64_t bytes_differed = 0;        ///< of those, and sent again; stays 0 on good hardware
    std::uint64_t walk_rounds = 0;           ///< complete rounds of the comparison while in sync
    std::uint64_t walk_alarms = 0;           ///< ranges that differed unexplained; must stay 0
    std::uint64_t journal_lag_bytes = 0;     ///< target only: durable there, not on its disks yet
    std::vector<PointMark> points;           ///< target only: the way back, oldest first
    std::uint64_t bytes_on_wire = 0;         ///< frames with their headers, payloads as compressed
    std::uint64_t bytes_skipped = 0;         ///< source only: free space that is left out
    std::uint64_t bytes_compared = 0;        ///< source only: of the comparison that runs
    std::uint64_t journal_used_bytes = 0;    ///< target only
    std::uint64_t journal_budget_bytes = 0;  ///< target only; 0: there is no journal

    bool operator==(const Progress&) const = default;
};

}  // namespace drover
