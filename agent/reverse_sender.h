/// The way back on the target (ADR 0023), once it is down and under guard: sends the fenced source
/// what the change map says that the users wrote, and nothing else. Blocking; one at a time, on the
/// job's worker, but for cancel() and withdrawing().
#pragma once

#include "agent/activation.h"
#include "agent/change_map.h"
#include "agent/job_record.h"
#include "agent/peer_dialler.h"
#include "agent/replicas.h"
#include "agent/side_job.h"
#include "base/threads.h"

#include <memory>
#include <optional>
#include <string>

namespace drover::agent {

class ReverseSender final : private replicator::SourceObserver {
  public:
    static constexpr SteadyMillis reopen_interval_ms = 5'000;

    /// `changes` outlives it. While this sends, the map's trackers are here.
    ReverseSender(const JobId& job, const AgentParts& parts, ReplicaFactory& replicas,
                  PeerNetwork& peers, JobEvents& events, ChangeMap& changes);
    ~ReverseSender() override;

    /// In a new process: what was wanted is wanted.
    [[nodiscard]] Result<> start();
    /// The standing effect with ReplicateWork::reverse.
    [[nodiscard]] Result<> want(const Effect& effect);
    /// False if the effect is none of this.
    [[nodiscard]] Result<bool> withdraw(const EffectId& effect);
    /// About once a second.
    void tick();

    /// Waits for the source. Done: it holds durably what was written here, read back there. Errors:
    /// conflict ("changes_unknown", "target_not_fenced"), invalid ("reverse_over_budget"),
    /// cancelled, others of the replica.
    [[nodiscard]] Result<ReportBody> drain(const EffectId& effect, const FenceToken& token);
    /// By induction: after a pass from an exact audit, both ends agree that nothing is left that is
    /// not durable and read back on the source, which held the fence point. Errors: as of drain();
    /// conflict "proof_incomplete" and the like.
    [[nodiscard]] Result<ReportBody> verify(const EffectId& effect, const FenceToken& token);

    /// From any thread: steps with an older cause wait no longer.
    void cancel(std::uint64_t seq);
    void withdrawing(const EffectId& effect);

    /// Forgets the way back. The change map is not touched.
    [[nodiscard]] Result<> remove();

  private:
    using Replica = std::shared_ptr<replicator::SourceReplica>;

    struct Drained {
        Replica replica;
        DrainDone done;
    };

    void mirror_done(const MirrorDone&) override {}

    void data_state(const DataStateNow&) override {}

    void generation_gone(const GenerationGone&) override {}

    void progress(const Progress&) override {}

    [[nodiscard]] Result<> reconcile();
    [[nodiscard]] Result<Replica> ensure_replica();
    [[nodiscard]] Result<Replica> open_replica();
    [[nodiscard]] Result<std::vector<replicator::SourceDisk>> open_disks(
        const Activation& activation);
    [[nodiscard]] Result<Activation> check_down() const;
    [[nodiscard]] Result<Drained> drain_now(const EffectId& effect, const FenceToken& token);
    void drop_replica();
    void report_trouble(const Result<>& outcome);

    const JobId job_;
    AgentParts parts_;
    ReplicaFactory& replicas_;
    JobEvents& events_;
    ChangeMap& changes_;
    const std::filesystem::path directory_;
    /// Shared with the replica's thread, which dials.
    std::shared_ptr<PeerDialler> dialler_;
    std::optional<ReplicateRecord> record_;
    SteadyMillis reopen_at_ = 0;
    std::string last_trouble_;

    mutable Mutex mutex_;  ///< guards what the other threads see
    Replica replica_;
    EffectId wanted_id_;
    EffectId withdrawing_;  ///< until withdraw(), which may wait behind a step: none begins now
    std::uint64_t cancelled_below_ = 0;  ///< steps with an older cause wait for nothing
    bool stopped_ = false;               ///< cancel() ended the replica: it has to be opened anew
};

}  // namespace drover::agent
