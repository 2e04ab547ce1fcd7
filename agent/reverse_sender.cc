#include "agent/reverse_sender.h"

#include "agent/reverse_receiver.h"
#include "base/log.h"
#include "replicator/prefix_disk.h"
#include "replicator/source_state.h"

namespace drover::agent {
namespace {

constexpr const char* kept_both =
    "all data on the target, which is down; the source as it was fenced";

Error not_wanted() {
    return Error(Errc::conflict, "not_replicating", "nothing is to come back from this host now",
                 kept_both, "retry the step; or abandon the way back");
}

}  // namespace

ReverseSender::ReverseSender(const JobId& job, const AgentParts& parts, ReplicaFactory& replicas,
                             PeerNetwork& peers, JobEvents& events, ChangeMap& changes)
    : job_(job),
      parts_(parts),
      replicas_(replicas),
      events_(events),
      changes_(changes),
      directory_(parts.paths.job(job, Side::target) / "reverse"),
      dialler_(std::make_shared<PeerDialler>(peers)) {}

ReverseSender::~ReverseSender() {
    drop_replica();
}

Result<> ReverseSender::start() {
    TRY(record_, load_replicate(directory_));
    if (record_) {
        const std::lock_guard lock(mutex_);
        wanted_id_ = record_->effect.id;
    }
    report_trouble(reconcile());
    return {};
}

Result<> ReverseSender::want(const Effect& effect) {
    if (record_ && effect.id.seq < record_->effect.id.seq) return {};
    if (!record_ || !record_->wanted || !(record_->effect == effect)) {
        const ReplicateRecord wanted{true, effect};
        TRY_VOID(store_replicate(directory_, wanted));
        record_ = wanted;
    }
    {
        const std::lock_guard lock(mutex_);
        wanted_id_ = effect.id;
    }
    last_trouble_.clear();
    report_trouble(reconcile());
    return {};
}

Result<bool> ReverseSender::withdraw(const EffectId& effect) {
    if (!record_ || !(record_->effect.id == effect)) return false;
    const ReplicateRecord unwanted{false, record_->effect};
    TRY_VOID(store_replicate(directory_, unwanted));
    record_ = unwanted;
    drop_replica();
    const std::lock_guard lock(mutex_);
    if (withdrawing_ == effect) withdrawing_ = EffectId();
    return true;
}

void ReverseSender::tick() {
    const bool missing = record_ && record_->wanted && [this] {
        const std::lock_guard lock(mutex_);
        return !replica_ || stopped_;
    }();
    if (missing && parts_.clock.steady_ms() >= reopen_at_) report_trouble(reconcile());
}

void ReverseSender::report_trouble(const Result<>& outcome) {
    if (outcome) {
        last_trouble_.clear();
        return;
    }
    reopen_at_ = parts_.clock.steady_ms() + reopen_interval_ms;
    if (outcome.error().text() == last_trouble_) return;
    last_trouble_ = outcome.error().text();
    log::warn("reverse", last_trouble_, "job=" + record_->effect.job_name);
    events_.observed(record_->effect.id, StepFailed{outcome.error()});
}

Result<> ReverseSender::reconcile() {
    if (!record_ || !record_->wanted) return {};
    TRY(const Replica open, ensure_replica());
    const ReplicateWork& work = record_->work();
    dialler_->set(work);
    open->update(work.ticket, work.mode, work.limits, false);
    return {};
}

Result<ReverseSender::Replica> ReverseSender::ensure_replica() {
    {
        const std::lock_guard lock(mutex_);
        if (replica_ && !stopped_) return replica_;
    }
    drop_replica();
    if (!record_ || !record_->wanted) return not_wanted();
    return open_replica();
}

/// Its users are gone, and the guard keeps everybody else away.
Result<Activation> ReverseSender::check_down() const {
    TRY(const auto activation, load_activation(parts_.paths, job_));
    const std::vector<std::string> disks =
        record_ ? record_->disks(Side::source) : std::vector<std::string>();
    TRY(const bool is_held, parts_.host.guard_held({job_, Side::target}, disks));
    if (activation && activation->state == ActivationState::deactivated && is_held)
        return *activation;
    return Error(Errc::conflict, "target_not_fenced",
                 "the target's disks are not held by its guard", kept_both,
                 "make sure that nobody uses the target's disks, then retry");
}

Result<std::vector<replicator::SourceDisk>> ReverseSender::open_disks(
    const Activation& activation) {
    const std::vector<std::string> paths = record_->disks(Side::source);
    if (!activation.changes_known || activation.changes.empty())
        return replicator::changes_unknown(activation.changes_lost);
    // Those that were attached by this very process know as much, but cannot show it.
    changes_.let_go();
    auto resumed = changes_.resume(activation.changes, activation.boot_id, paths);
    if (!resumed && resumed.error().id() == "change_map_lost")
        return replicator::changes_unknown(resumed.error().detail());
    if (!resumed) return resumed.error();
    std::vector<std::unique_ptr<replicator::ChangeTracker>> trackers = changes_.take();
    const std::vector<std::uint64_t>& sizes = record_->work().ticket.sizes_bytes;
    if (sizes.size() != paths.size() || trackers.size() != paths.size())
        return Error(Errc::invalid, "ticket_mismatch", "the ticket names another number of disks",
                     kept_both, "abandon the way back");
    std::vector<replicator::SourceDisk> disks;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        TRY(auto device, parts_.host.open_disk(paths[i], replicator::Access::read_only));
        TRY(auto disk,
            replicator::prefix_of({std::move(device), std::move(trackers[i])}, sizes[i]));
        disks.push_back(std::move(disk));
    }
    return disks;
}

Result<ReverseSender::Replica> ReverseSender::open_replica() {
    const ReplicateWork& work = record_->work();
    if (work.ticket.source_agent != parts_.identity.name)
        return Error(Errc::denied, "ticket_not_yours",
                     "the ticket is for " + work.ticket.source_agent, kept_both,
                     "correct the plan");
    TRY(const Activation activation, check_down());
    TRY_VOID(make_directory_durably(directory_));
    dialler_->set(work);
    replicator::SourceConfig config;
    config.ticket = work.ticket;
    TRY(config.disks, open_disks(activation));
    config.state_directory = directory_;
    config.boot_id = parts_.host.identity().boot_id;
    config.mode = work.mode;
    config.limits = work.limits;
    config.compression = parts_.config.compression;
    config.pacing.walk_bytes_per_s = 0;
    config.fence_point = fence_point_of(activation.token);
    config.dial = [dialler = dialler_] { return dialler->dial(); };
    TRY(auto opened, replicas_.open_source(std::move(config), *this));
    const std::lock_guard lock(mutex_);
    replica_ = std::move(opened);
    stopped_ = false;
    return replica_;
}

/// The replica ends outside the lock: its thread may be waiting for it.
void ReverseSender::drop_replica() {
    Replica ended;
    {
        const std::lock_guard lock(mutex_);
        ended.swap(replica_);
        stopped_ = false;
    }
}

void ReverseSender::cancel(std::uint64_t seq) {
    Replica ended;
    {
        const std::lock_guard lock(mutex_);
        cancelled_below_ = std::max(cancelled_below_, seq);
        ended = replica_;
        stopped_ = replica_ != nullptr;
    }
    if (ended) ended->stop();
}

void ReverseSender::withdrawing(const EffectId& effect) {
    Replica ended;
    {
        const std::lock_guard lock(mutex_);
        if (effect.seq > withdrawing_.seq) withdrawing_ = effect;
        if (!(wanted_id_ == effect) || !replica_) return;
        ended = replica_;
        stopped_ = true;
    }
    ended->stop();
}

// ---- the steps of a rollback that keeps ----

/// Checked again afterwards: what others wrote meanwhile would not be in it.
Result<ReverseSender::Drained> ReverseSender::drain_now(const EffectId& effect,
                                                        const FenceToken& token) {
    TRY(const Activation activation, check_down());
    if (activation.token != token)
        return Error(Errc::conflict, "target_not_fenced", "the target is down under another token",
                     kept_both, "abandon the way back");
    TRY(const Replica open, ensure_replica());
    {
        // After that: a cancel() or withdrawing() from now on finds the replica and stops it.
        const std::lock_guard lock(mutex_);
        if (effect.seq < cancelled_below_ || withdrawing_ == wanted_id_)
            return Error(Errc::cancelled, "step_overtaken", "a newer step of the job has begun",
                         kept_both, "nothing has to be done");
    }
    TRY(const DrainDone done, open->drain({}));
    TRY_VOID(check_down());
    return Drained{open, done};
}

Result<ReportBody> ReverseSender::drain(const EffectId& effect, const FenceToken& token) {
    TRY(const Drained drained, drain_now(effect, token));
    parts_.step("reverse.drained");
    return ReportBody(ReverseDrainDone{drained.done.batch, drained.done.bytes});
}

Result<ReportBody> ReverseSender::verify(const EffectId& effect, const FenceToken& token) {
    TRY(const Drained drained, drain_now(effect, token));
    TRY(VerifyDone proof, drained.replica->prove());
    TRY_VOID(check_down());
    return ReportBody(ReverseVerifyDone{std::move(proof.disks), {}});
}

Result<> ReverseSender::remove() {
    drop_replica();
    record_.reset();
    return remove_job_directory(directory_);
}

}  // namespace drover::agent
