/// The source's side of a job: replica, fence, drain, comparison, release.
#pragma once

#include "agent/fence.h"
#include "agent/job_record.h"
#include "agent/peer_dialler.h"
#include "agent/replicas.h"
#include "agent/reverse_receiver.h"
#include "agent/side_job.h"
#include "base/threads.h"

#include <memory>

namespace drover::agent {

class SourceJob final : public SideJob, private replicator::SourceObserver {
  public:
    static constexpr SteadyMillis reopen_interval_ms = 5'000;

    SourceJob(const JobId& job, const AgentParts& parts, ReplicaFactory& replicas,
              PeerNetwork& peers, JobEvents& events);
    ~SourceJob() override;

    [[nodiscard]] Result<> secure() override;
    [[nodiscard]] Result<> start() override;
    [[nodiscard]] Result<> want(const Effect& effect) override;
    [[nodiscard]] Result<> withdraw(const EffectId& effect) override;
    [[nodiscard]] Result<ReportBody> run(const Effect& effect, bool recovered) override;
    [[nodiscard]] Result<std::optional<ReportBody>> probe(const Effect& effect) override;
    void tick() override;
    void cancel(std::uint64_t seq) override;

    /// Local root breaks the fence: the token dies, the report is journalled, the disks open.
    [[nodiscard]] Result<> break_fence(const FenceToken& token, const std::string& by);
    /// Local root ends the fence that a committed job left behind.
    [[nodiscard]] Result<> remove_fence(const FenceToken& token);

    /// Local root's word: a point at this moment, with the filesystems on the job's disks frozen.
    /// Errors: not_found ("no_such_source"), those of SourceReplica::seal_point().
    [[nodiscard]] Result<replicator::SealedPoint> seal_point();

    /// For the listener, from any thread: null while nothing may come back from the target.
    [[nodiscard]] std::shared_ptr<replicator::TargetReplica> reverse_replica() const {
        return receiver_.replica();
    }

  private:
    using Replica = std::shared_ptr<replicator::SourceReplica>;

    void mirror_done(const MirrorDone& done) override;
    void data_state(const DataStateNow& now) override;
    void generation_gone(const GenerationGone& gone) override;
    void progress(const Progress& progress) override;

    [[nodiscard]] Result<> reconcile();
    [[nodiscard]] Result<Replica> open_replica();
    [[nodiscard]] Result<Replica> ensure_replica();
    [[nodiscard]] Result<std::vector<replicator::SourceDisk>> open_disks();
    void drop_replica();
    void report_trouble(const Result<>& outcome);
    [[nodiscard]] Result<Replica> replica_for(const EffectId& effect);
    [[nodiscard]] Result<ReportBody> drain(const EffectId& effect, const DrainWork& work);
    [[nodiscard]] Result<ReportBody> verify(const EffectId& effect, const VerifyWork& work);
    [[nodiscard]] Result<ReportBody> release(const Effect& effect);
    [[nodiscard]] Result<ReportBody> compare(const EffectId& effect, const CompareWork& work);
    [[nodiscard]] Result<ReportBody> cleanup(const CleanupWork& work);
    void finish_release(const FenceMarker& marker);
    [[nodiscard]] Result<> hold(FenceMarker& marker);
    [[nodiscard]] Result<> report_breach(FenceMarker& marker, std::uint64_t completions);
    [[nodiscard]] Result<> watch_fence();
    [[nodiscard]] EffectId replicate_id() const;

    const JobId job_;
    AgentParts parts_;
    ReplicaFactory& replicas_;
    JobEvents& events_;
    Fencer fencer_;
    ReverseReceiver receiver_;
    const std::filesystem::path directory_;
    /// Shared with the replica's thread, which dials.
    std::shared_ptr<PeerDialler> dialled_;
    std::optional<ReplicateRecord> record_;
    std::optional<Effect> hold_;  ///< the HoldFence effect, while it is wanted
    bool hold_missed_ = false;    ///< its fence was not there, and that was reported
    SteadyMillis reopen_at_ = 0;
    std::string last_trouble_;  ///< reported once, not at every retry

    mutable Mutex mutex_;  ///< guards what the other threads see
    Replica replica_;
    std::uint64_t cancelled_below_ = 0;  ///< steps with an older cause wait for nothing
    bool stopped_ = false;               ///< cancel() ended the replica: it has to be opened anew
    EffectId replicate_id_;
};

}  // namespace drover::agent
