/// Handing a target over to its users, and taking it back. Blocking procedures; one at a time per
/// job.
///
///   activating ─(generation void)─► promoted ─(guard ended, hook)─► active
///        └──────────────┴──────────────────┴─(hook, unmount, guard)─► deactivated
///
/// The record is durable before the target's disks are let go, so that after a crash nobody
/// mistakes a disk that took writes for a copy.
#pragma once

#include "agent/change_map.h"
#include "agent/parts.h"
#include "base/result.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace drover::agent {

enum class ActivationState : std::uint8_t { activating, promoted, active, deactivated };

[[nodiscard]] std::string activation_text(ActivationState state);

struct Activation {
    ActivationState state = ActivationState::activating;
    FenceToken token;
    std::uint32_t run = 0;
    std::uint64_t ticket_serial = 0;    ///< of the replication that was handed over
    std::string boot_id;                ///< in which the baseline means something
    std::vector<std::string> baseline;  ///< HostOps::bytes_written per disk; "" where uncounted
    WallMicros activated_micros = 0;
    std::uint64_t bytes_written = 0;  ///< known once deactivated
    /// Of the change map's trackers, per disk; empty: what the users wrote is not known.
    std::vector<std::string> changes;
    std::string changes_lost;         ///< why it is not known; empty otherwise
    std::uint64_t changed_bytes = 0;  ///< known once deactivated
    bool changes_known = false;       ///< likewise

    bool operator==(const Activation&) const = default;
};

/// STATE/jobs/JOB-target/activation. Errors: corrupt, io.
[[nodiscard]] Result<std::optional<Activation>> load_activation(const StatePaths& paths,
                                                                const JobId& job);
[[nodiscard]] Result<> store_activation(const StatePaths& paths, const JobId& job,
                                        const Activation& activation);

/// Checks a fence proof against the effect that carries it: signature by a certificate of our
/// authority whose identity is the source agent, same job and token. Errors: denied
/// ("proof_refused").
[[nodiscard]] Result<> check_fence_proof(const Effect& effect, const std::string& authority_pem,
                                         WallMicros now_micros);

/// What the procedures need to know of the job besides the effect.
struct TargetJobFacts {
    JobId job;
    std::string job_name;
    std::vector<std::string> disks;
    std::uint64_t ticket_serial = 0;
};

class Activator {
  public:
    Activator(const AgentParts& parts, ChangeMap& changes)
        : parts_(parts),
          changes_(changes) {}

    /// Durably voids the copy's generation and closes the disks.
    using Promote = std::function<Result<>()>;

    /// `promote` is called at most once, and not at all where an earlier attempt came further. Also
    /// completes an activation that a crash or a failing hook interrupted.
    [[nodiscard]] Result<ReportBody> activate(const Effect& effect, const TargetJobFacts& job,
                                              const Promote& promote);

    /// ActivateDone if this token is active here now; nullopt otherwise.
    [[nodiscard]] Result<std::optional<ReportBody>> probe(const Effect& effect);

    [[nodiscard]] Result<ReportBody> deactivate(const Effect& effect, const TargetJobFacts& job);

    /// At agent start: a handed-over target whose token is dead, and one whose handing over was
    /// interrupted, is kept down until the orchestrator says what to do.
    [[nodiscard]] Result<> keep_down_if_due(const TargetJobFacts& job);

    /// Takes up the change map of this record and looks at it; a loss is recorded, so that nobody
    /// believes it later.
    void watch_changes(const TargetJobFacts& job);

    /// Bytes written by the target's users since activation, as far as the kernel counts them.
    [[nodiscard]] Result<std::uint64_t> bytes_since(const Activation& activation,
                                                    const std::vector<std::string>& disks);

  private:
    [[nodiscard]] Result<Activation> begin(const Effect& effect, const TargetJobFacts& job);
    [[nodiscard]] Result<> hand_over(const Effect& effect, const TargetJobFacts& job);
    [[nodiscard]] Result<> take_back(const TargetJobFacts& job);
    [[nodiscard]] Result<> check_allowed(const Effect& effect, const TargetJobFacts& job);
    [[nodiscard]] Result<> set_baseline(Activation& activation,
                                        const std::vector<std::string>& disks);

    void attach_changes(Activation& activation, const TargetJobFacts& job);
    [[nodiscard]] Result<> lose_changes(Activation& activation, const TargetJobFacts& job,
                                        const Error& why);
    [[nodiscard]] Result<> settle_changes(Activation& activation, const TargetJobFacts& job);

    AgentParts parts_;
    ChangeMap& changes_;
};

}  // namespace drover::agent
