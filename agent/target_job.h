/// The target's side of a job: disk guard, replica, activation, deactivation.
#pragma once

#include "agent/activation.h"
#include "agent/job_record.h"
#include "agent/replicas.h"
#include "agent/reverse_sender.h"
#include "agent/side_job.h"
#include "agent/test_run.h"
#include "base/threads.h"

#include <memory>

namespace drover::agent {

class TargetJob final : public SideJob {
  public:
    static constexpr SteadyMillis reopen_interval_ms = 5'000;

    TargetJob(const JobId& job, const AgentParts& parts, ReplicaFactory& replicas,
              PeerNetwork& peers, JobEvents& events);

    ~TargetJob() override { end_comparison(); }

    [[nodiscard]] Result<> secure() override;
    [[nodiscard]] Result<> start() override;
    [[nodiscard]] Result<> want(const Effect& effect) override;
    [[nodiscard]] Result<> withdraw(const EffectId& effect) override;
    [[nodiscard]] Result<ReportBody> run(const Effect& effect, bool recovered) override;
    [[nodiscard]] Result<std::optional<ReportBody>> probe(const Effect& effect) override;
    void tick() override;

    void cancel(std::uint64_t seq) override { sender_.cancel(seq); }

    void withdrawing(const EffectId& effect) override { sender_.withdrawing(effect); }

    /// Local root's word: takes the disks of a paused job back to a point of the journal. The job
    /// hears that its target holds an older state. Errors: conflict ("job_not_paused"), not_found
    /// ("no_such_point", "no_such_target"), io.
    [[nodiscard]] Result<> restore_point(std::uint64_t point, const std::string& by);

    /// For the listener, from any thread: null while nothing of the job is wanted here.
    [[nodiscard]] std::shared_ptr<replicator::PeerServer> server() const;

  private:
    using Replica = std::shared_ptr<replicator::TargetReplica>;
    using Held = std::shared_ptr<replicator::HeldTarget>;

    [[nodiscard]] Replica replica() const;
    [[nodiscard]] Result<> serve_comparison();
    void end_comparison();
    [[nodiscard]] Result<> reconcile();
    [[nodiscard]] Result<bool> may_replicate() const;
    [[nodiscard]] Result<> drop_changes();
    [[nodiscard]] Result<> take_disks();
    [[nodiscard]] Result<> check_disk(const std::string& path, std::size_t index, bool owned);
    [[nodiscard]] Result<Replica> open_replica();
    [[nodiscard]] Result<Replica> replica_opened();
    void set_replica(Replica replica);
    [[nodiscard]] Result<> close_replica();
    void report_trouble(const Result<>& outcome);
    void tell_points();
    [[nodiscard]] Result<TargetJobFacts> facts() const;
    [[nodiscard]] Result<ReportBody> activate(const Effect& effect);
    [[nodiscard]] Result<ReportBody> deactivate(const Effect& effect);
    [[nodiscard]] Result<ReportBody> validate(const Effect& effect);
    [[nodiscard]] Result<ReportBody> start_test(const StartTestWork& work);
    [[nodiscard]] Result<ReportBody> revert_test(const RevertTestWork& work);
    [[nodiscard]] Result<> end_test_of_job();
    [[nodiscard]] Result<ReportBody> cleanup();
    [[nodiscard]] Result<ReportBody> delete_data(const DeleteDataWork& work);
    [[nodiscard]] Result<> remove_journal();
    [[nodiscard]] Result<> wipe(const std::string& path);

    const JobId job_;
    AgentParts parts_;
    ReplicaFactory& replicas_;
    JobEvents& events_;
    ChangeMap changes_;  ///< while the disks are their users'
    Activator activator_;
    ReverseSender sender_;
    TestRun test_;
    const std::filesystem::path directory_;
    std::optional<ReplicateRecord> record_;
    SteadyMillis reopen_at_ = 0;
    bool is_down_due_ = false;  ///< a target that must be down could not be taken back yet
    std::string last_trouble_;
    bool has_told_points_ = false;

    mutable Mutex mutex_;
    // Shared with the listener's threads, which hand links to them. At most one is there.
    Replica replica_;
    Held held_;  ///< while the disks are their users' and are compared
};

}  // namespace drover::agent
