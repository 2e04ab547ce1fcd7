/// The fence of a source: set in steps, each undone when a later one fails, and proved before
/// it is reported. Blocking procedures; one at a time per job (the executor's worker sees to it).
///
///   settle ─ hook ─ unmount, swapoff ─ nobody left ─ hidden ─ guard ─ read-only ─ marker ─
///      └─ FenceDeclined                                          no completion ─► proof
///                             any failure: writable, guard ended, shown, hook, marker gone ◄┘
///
/// Hidden from udev before the guard holds, shown again only after it ended: whenever the guard is
/// lost, by a reboot above all, nothing assembles or mounts the disks before it is back.
///
/// The marker is the truth about a fence: what has one is held after a crash or a reboot, what has
/// none was never reported and is undone.
#pragma once

#include "agent/parts.h"
#include "base/result.h"
#include "replicator/source_replica.h"

#include <optional>
#include <string>

namespace drover::agent {

class Fencer {
  public:
    explicit Fencer(const AgentParts& parts)
        : parts_(parts) {}

    /// FenceDone or FenceDeclined. After any error the source is back in service, or the error's
    /// `kept` says what is missing. Errors: denied ("token_tombstoned"), conflict
    /// ("fence_other_token").
    [[nodiscard]] Result<ReportBody> fence(const Effect& effect,
                                           replicator::SourceReplica& replica);

    /// After a crash in the middle of fence(): completed if the marker stands and can be proved,
    /// otherwise undone and reported as "fence_interrupted". `replica` may be null.
    [[nodiscard]] Result<ReportBody> finish_interrupted(const Effect& effect,
                                                        replicator::SourceReplica* replica);

    /// FenceDone if the fence of this token stands and can be proved now; nullopt if there is none.
    [[nodiscard]] Result<std::optional<ReportBody>> probe(const Effect& effect,
                                                          replicator::SourceReplica* replica);

    /// Back into service. Every step may be repeated, so an interrupted one is simply called again.
    [[nodiscard]] Result<ReportBody> release(const Effect& effect);

    /// The steps of release() for a marker that is `releasing` already, or is to become so. Errors:
    /// conflict ("fence_reversing") for one whose disks may be half-way between two images.
    [[nodiscard]] Result<> open_up(const FenceMarker& marker, const Hook& post_release_hook);

    /// Keeps udev off the disks of a fence; nothing for those that are hidden already.
    [[nodiscard]] Result<> hide(const FenceWork& work);

    /// Guards and read-only flags of a marker that is_held(); adopts what still holds. True if
    /// something could have written since: a filesystem was mounted again.
    [[nodiscard]] Result<bool> reestablish(FenceMarker& marker);

    /// Of a marker that is `reversing`: how many disks somebody else has come to use. Our own
    /// writes say nothing about others', but nobody can write who has no disk open.
    [[nodiscard]] Result<std::uint64_t> foreign_users(const FenceMarker& marker);

    /// What the disks' write counters say now, for the marker.
    [[nodiscard]] Result<std::vector<std::uint64_t>> write_marks(
        const std::vector<std::string>& disks);

    /// Writes that completed on the fenced disks since the marker; 0 if none did.
    [[nodiscard]] Result<std::uint64_t> completions(const FenceMarker& marker);

    /// Success if `token` is fenced here and nothing wrote since. Errors: conflict ("not_fenced"),
    /// denied ("fence_breached").
    [[nodiscard]] Result<> check(const JobId& job, const FenceToken& token);

  private:
    [[nodiscard]] Result<FenceMarker> close(const Effect& effect,
                                            replicator::SourceReplica& replica);
    [[nodiscard]] Result<> take_off(const FenceWork& work);
    [[nodiscard]] Result<FenceMarker> prove(FenceMarker marker, replicator::SourceReplica& replica);
    [[nodiscard]] Result<ReportBody> signed_proof(const FenceMarker& marker);
    [[nodiscard]] Result<> undo(const Effect& effect);
    [[nodiscard]] Result<> restore_service(const Effect& effect, const Hook& hook);
    [[nodiscard]] Result<> run_hook(const Effect& effect, HookStep step, const Hook& hook);

    AgentParts parts_;
};

}  // namespace drover::agent
