/// What a job is, and what agents find out about it: the plan, disks, proofs, data states.
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

using JobId = Uuid;
/// Names the fence of one run of one job; random, never reused.
using FenceToken = Uuid;
/// Made when a tracker is attached to the disks of a job; a new one means "compare everything".
using Generation = Uuid;

enum class Side : std::uint8_t { source = 0, target = 1 };

struct DiskPair {
    std::string source;  ///< path on the source host: a whole block device or an image file
    std::string target;  ///< path on the target host, exposed there by root
    /// The first copy leaves out what mounted filesystems hold free. Not part of what a ticket
    /// signs: it is the source's business alone.
    bool skip_free_space = false;

    bool operator==(const DiskPair&) const = default;
};

/// The steps at which a local hook may run. A hook is a root-owned file that the agent's own
/// configuration names; the plan holds only its name.
enum class HookStep : std::uint8_t {
    pre_fence = 0,       ///< source: stop the workload
    post_release = 1,    ///< source: start it again after a rollback
    post_activate = 2,   ///< target: start the workload
    validate = 3,        ///< target: is it healthy?
    pre_deactivate = 4,  ///< target: stop it for a rollback
    test_start = 5,      ///< target: start the workload on a test's overlay, away from users
    test_stop = 6        ///< target: stop it again
};

/// When the whole disks are compared, beside the proof by induction that every cutover needs.
enum class Comparison : std::uint8_t {
    before_release = 0,  ///< the target is not released before both sides have been compared
    during_hold = 1,     ///< released on induction; compared while the source is still fenced
    never = 2,           ///< released on induction; no certificate
    automatic = 3  ///< before_release for small disks, else during_hold where that is possible
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
    std::uint64_t backlog_bytes_max = 4U
                                      << 20;  ///< above it a job is not in sync and is not fenced
    Comparison comparison = Comparison::before_release;

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

/// SHA-256 Merkle roots of one disk, as both ends computed them from what they read; and what they
/// do not speak of. The three figures add up to the disk, or all are 0: not compared at all.
struct DiskProof {
    Hash source_root;
    Hash target_root;
    std::uint64_t bytes = 0;          ///< compared
    std::uint64_t skipped_bytes = 0;  ///< free space that was never copied, on the plan's word
    std::uint64_t written_bytes = 0;  ///< changed by the target's users: rests on induction alone

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

[[nodiscard]] std::string_view name_of(Side side);
[[nodiscard]] std::string_view name_of(HookStep step);
[[nodiscard]] std::string_view name_of(Comparison comparison);
[[nodiscard]] std::string_view name_of(DataState state);
[[nodiscard]] std::string_view name_of(Severity severity);
[[nodiscard]] std::string_view name_of(Errc code);
[[nodiscard]] std::optional<HookStep> hook_step_from(std::string_view name);
/// "before_release", or "before-release" as in the API.
[[nodiscard]] std::optional<Comparison> comparison_from(std::string_view name);

}  // namespace drover
