/// Effects in, reports out. Decides what an effect means here and now (new, a repeat, stale, dead,
/// interrupted), journals, and runs the work on the job's lane. No I/O but through its parts.
///
///   session ─ wanted ─► journal: known? ──► same report again, or probe, or still running
///                          └─ new ─► refuse stale ─► start ─► lane: SideJob::run ─► finish ─►
///                          report
///
/// Thread-safe. Calls return quickly (one journal write); outcomes come through ExecutorOutput.
#pragma once

#include "agent/control.h"
#include "agent/replicas.h"
#include "agent/side_job.h"
#include "agent/source_job.h"
#include "agent/target_job.h"
#include "agent/workers.h"
#include "base/random.h"
#include "base/threads.h"
#include "schemas/session.h"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace drover::agent {

/// Called from any thread.
class ExecutorOutput {
  public:
    virtual ~ExecutorOutput() = default;
    virtual void taken(const EffectId& effect) = 0;
    /// Durable already. Sent, and sent again, until acknowledged.
    virtual void report(const Report& report) = 0;
    virtual void progress(const Progress& progress) = 0;
    /// The journal failed: stop the process, begin again from what is on disk.
    virtual void failed(const Error& error) = 0;
};

class Executor final : private JobEvents {
  public:
    Executor(const AgentParts& parts, ReplicaFactory& replicas, PeerNetwork& peers,
             Workers& workers, Random& random, ExecutorOutput& output);

    /// Once, first: fences and standing effects of the jobs on disk come back without an
    /// orchestrator, and what a crash interrupted on a source is completed or undone.
    [[nodiscard]] Result<> start();
    /// Blocks until start() has looked at every fence, and at every target that must be down: it is
    /// closed, or its trouble was logged and reported. The jobs that are left when the time is
    /// over. What start() completes after that may run hooks, and is not waited for.
    [[nodiscard]] std::vector<JobId> wait_for_fences(std::int64_t limit_ms);

    void wanted(const EffectWanted& wanted);
    void withdrawn(const EffectWithdrawn& withdrawn);
    void acknowledged(const Uuid& report_id);
    /// What this host holds of every job, for an orchestrator whose log was restored. Errors: those
    /// of reading a record; then nothing is said, which keeps the jobs where they are.
    [[nodiscard]] Result<WorldFound> world() const;
    /// About once a second.
    void tick();
    /// Ends what waits for peers, so that the lanes come to rest. The world stays as it is.
    void stop();

    /// Local root: `done` is called on the job's lane. Without a token the job may have one fence
    /// only. Errors: not_found ("not_fenced"), conflict ("fence_ambiguous", "job_not_finished").
    using Done = std::function<void(Result<>)>;
    void break_fence(const FenceOrder& order, Done done);
    void remove_fence(const FenceToken& token, Done done);
    /// Errors: not_found ("no_such_target", "no_such_point"), conflict ("job_not_paused").
    void restore_point(const PointOrder& order, Done done);
    /// Errors: not_found ("no_such_source"), those of SourceReplica::seal_point().
    using Sealed = std::function<void(Result<replicator::SealedPoint>)>;
    void seal_point(const std::string& job_name, Sealed sealed);

  private:
    using JobSide = std::pair<JobId, Side>;

    void observed(const EffectId& effect, ReportBody body) override;
    void journal_observation(const EffectId& effect, ReportBody body);
    void progress(Progress progress) override;
    [[nodiscard]] Result<> want_listener(const JobId& job, bool wanted) override;

    [[nodiscard]] std::shared_ptr<SideJob> job(const JobId& id, Side side);
    [[nodiscard]] std::shared_ptr<SourceJob> source_job(const JobId& id);
    [[nodiscard]] std::shared_ptr<TargetJob> target_job(const JobId& id);
    /// The job of this name that replicates on this side. Errors: not_found (`missing`), io.
    [[nodiscard]] Result<JobId> replicating(const std::string& name, Side side,
                                            std::string_view missing) const;
    [[nodiscard]] std::shared_ptr<replicator::PeerServer> find_target(const Ticket& ticket);

    void secure(const JobSide& key, SideJob& side_job);
    void wanted_standing(const Effect& effect);
    void wanted_again(const JournalEntry& entry);
    void run(const Effect& effect, bool recovered);
    void probe(const JournalEntry& entry);
    void finish(const Effect& effect, Result<ReportBody> outcome);
    void refuse(const EffectId& effect, const Error& error);
    [[nodiscard]] Result<> acceptable(const Effect& effect) const;
    void cancel_superseded(const EffectId& effect);
    void check(const Result<>& journalled);

    AgentParts parts_;
    ReplicaFactory& replicas_;
    PeerNetwork& peers_;
    Workers& workers_;
    Random& random_;
    ExecutorOutput& output_;
    std::atomic<bool> stopping_ = false;

    Mutex mutex_;
    /// Shared: a lane may still run a job that tick() walks over.
    std::map<JobId, std::shared_ptr<SourceJob>> sources_;
    std::map<JobId, std::shared_ptr<TargetJob>> targets_;
    std::set<EffectId> running_;
    std::set<JobSide> ticking_;
    std::set<JobSide> unsecured_;  ///< not looked at yet since start()
    Condition secured_;
    Mutex listener_mutex_;  ///< held while the listener is started or stopped; taken first
    std::set<JobId> listening_;
};

}  // namespace drover::agent
