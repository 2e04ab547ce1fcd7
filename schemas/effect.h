/// Effects: the work that the state of a job wants done, now, by one agent.
#pragma once

#include "schemas/plan.h"

#include <array>
#include <compare>
#include <variant>

namespace drover {

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
    reverse_verify = 18,
    compare = 19
};

/// A desired state: a newer one replaces the older without restarting work, and it can be
/// withdrawn.
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
    std::array<std::uint8_t, 16>
        cause_hash{};  ///< first 16 bytes of the causing event's chain hash

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
    connected = 2,   ///< fenced: keep the session for Drain and Verify, no passes by itself
    compare = 3      ///< the target is active: both sides only read, for Compare
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
    /// The way back: the ticket names the target as source. What its users wrote goes into a
    /// journal on the fenced source.
    bool reverse = false;

    bool operator==(const ReplicateWork&) const = default;
};

/// A hook to run, as the approved plan has it.
struct Hook {
    std::string name;  ///< as the agent's configuration names it; empty: none
    Hash sha256;       ///< of its file when the plan was checked: another file is not run

    [[nodiscard]] bool empty() const { return name.empty(); }

    bool operator==(const Hook&) const = default;
};

struct FenceWork {
    FenceToken token;
    std::uint32_t run = 0;
    std::vector<std::string> disks;
    std::uint64_t backlog_bytes_max = 0;
    Hook pre_fence_hook;
    Hook post_release_hook;  ///< run if the fence has to be undone on the spot

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
    bool compare = true;  ///< the whole disks; else only that the proof by induction holds

    bool operator==(const VerifyWork&) const = default;
};

struct ActivateWork {
    FenceToken token;
    FenceProof proof;
    std::string source_agent;  ///< whose certificate must have signed the proof
    Hook post_activate_hook;

    bool operator==(const ActivateWork&) const = default;
};

struct ValidateWork {
    Hook hook;  ///< empty: the disks are readable and that is all we know

    bool operator==(const ValidateWork&) const = default;
};

struct DeactivateWork {
    FenceToken token;
    Hook pre_deactivate_hook;
    bool keep_changes = false;  ///< a reverse delta follows: keep the change map and the guard

    bool operator==(const DeactivateWork&) const = default;
};

struct ReleaseWork {
    FenceToken token;
    Hook post_release_hook;
    /// The disks hold what the target's users wrote, proved. Else what a reverse delta may have
    /// brought is undone first: the source is released as it was fenced.
    bool keep_reverse = false;

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

/// The workload on an overlay of the newest point. Nothing is applied to the target's disks from
/// here until the test is reverted; batches go to the journal.
struct StartTestWork {
    Hook test_start_hook;
    Hook test_stop_hook;  ///< run if the test has to be undone on the spot

    bool operator==(const StartTestWork&) const = default;
};

struct RevertTestWork {
    Hook test_stop_hook;

    bool operator==(const RevertTestWork&) const = default;
};

/// To the target, which is fenced: sends the source what its users wrote, as one batch.
struct ReverseDrainWork {
    FenceToken token;

    bool operator==(const ReverseDrainWork&) const = default;
};

struct ReverseVerifyWork {
    FenceToken token;

    bool operator==(const ReverseVerifyWork&) const = default;
};

/// To the source while the target is active: compares what the target's users have not written.
struct CompareWork {
    FenceToken token;

    bool operator==(const CompareWork&) const = default;
};

using EffectWork = std::variant<PreflightWork, ReplicateWork, FenceWork, HoldFenceWork, DrainWork,
                                VerifyWork, ActivateWork, ValidateWork, DeactivateWork, ReleaseWork,
                                CleanupWork, DeleteDataWork, WakeAtWork, StartTestWork,
                                RevertTestWork, ReverseDrainWork, ReverseVerifyWork, CompareWork>;

[[nodiscard]] EffectKind kind_of(const EffectWork& work);

/// Work wanted of one agent. Which agent: `agent` (empty for wake_at).
struct Effect {
    EffectId id;
    std::string agent;
    std::string job_name;
    EffectWork work;

    bool operator==(const Effect&) const = default;
};

[[nodiscard]] std::string_view name_of(EffectKind kind);

}  // namespace drover
