/// The way back on the source (ADR 0023): what the target's users wrote comes to the fenced disks,
/// into a journal that keeps what they held when they were fenced.
///
///   fenced ─► reversing ─► journal made ─► writes ─┬─ settle(keep) ─► fenced, kept
///                                                  └─ settle(undo) ─► fenced, as it was
///
/// The marker says `reversing` before the disks are writable, and until they are whole again: no
/// release begins in between. The guard holds them all the time. Blocking; one at a time, on the
/// job's worker, but for replica().
#pragma once

#include "agent/fence.h"
#include "agent/job_record.h"
#include "agent/replicas.h"
#include "agent/side_job.h"
#include "base/threads.h"

#include <memory>
#include <optional>
#include <string>

namespace drover::agent {

/// What becomes of a fence's disks. as_it_is: kept if that was decided already, else undone.
enum class Settle : std::uint8_t { keep, undo, as_it_is };

class ReverseReceiver {
  public:
    static constexpr SteadyMillis reopen_interval_ms = 5'000;

    ReverseReceiver(const JobId& job, const AgentParts& parts, ReplicaFactory& replicas,
                    JobEvents& events, Fencer& fencer);

    /// In a new process: what was begun goes on.
    [[nodiscard]] Result<> start();
    /// The standing effect with ReplicateWork::reverse.
    [[nodiscard]] Result<> want(const Effect& effect);
    /// False if the effect is none of this.
    [[nodiscard]] Result<bool> withdraw(const EffectId& effect);
    /// About once a second.
    void tick();

    /// Before a release, and before anything is forgotten: the disks are brought to one image or
    /// the other, durably, and the marker is `fenced` again. Success if there is nothing to settle.
    /// May be repeated after a crash. Errors: those of the journal and of reopened disks; conflict
    /// ("reverse_not_done", "reverse_kept"), denied ("fence_breached": nothing may be kept).
    [[nodiscard]] Result<> settle(const FenceToken& token, Settle how);
    /// Forgets the way back with all its files. Only once it is settled.
    [[nodiscard]] Result<> remove();

    /// For the listener, from any thread: null while nothing may come back.
    [[nodiscard]] std::shared_ptr<replicator::TargetReplica> replica() const;

  private:
    using Replica = std::shared_ptr<replicator::TargetReplica>;

    [[nodiscard]] Result<> reconcile();
    [[nodiscard]] Result<> check_allowed(const FenceMarker& marker) const;
    [[nodiscard]] Result<> check_untouched(const FenceMarker& marker) const;
    [[nodiscard]] Result<Replica> open(FenceMarker& marker);
    [[nodiscard]] Result<Replica> open_replica(const FenceMarker& marker);
    [[nodiscard]] Result<> set_read_only(const FenceMarker& marker, bool read_only);
    [[nodiscard]] Result<> close();
    [[nodiscard]] Result<> end(FenceMarker marker, bool keeps);
    void report_trouble(const Result<>& outcome);

    const JobId job_;
    AgentParts parts_;
    ReplicaFactory& replicas_;
    JobEvents& events_;
    Fencer& fencer_;
    const std::filesystem::path directory_;
    std::optional<ReplicateRecord> record_;
    SteadyMillis reopen_at_ = 0;
    std::string last_trouble_;

    mutable Mutex mutex_;
    /// Shared with the listener's threads, which hand links to it.
    Replica replica_;
};

/// The name under which both ends know what the source held when it was fenced.
[[nodiscard]] Generation fence_point_of(const FenceToken& token);

/// Where the journal of the way back lies. Errors: unsupported ("reverse_no_journal"), those of
/// journal_place().
[[nodiscard]] Result<replicator::JournalPlace> reverse_journal_place(
    const Config& config, const std::vector<std::string>& disks);

}  // namespace drover::agent
