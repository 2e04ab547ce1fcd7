#include "agent/source_job.h"

#include "agent/disk_wait.h"
#include "agent/preflight.h"
#include "base/log.h"
#include "base/mutation.h"

namespace drover::agent {
namespace {

constexpr std::int64_t seal_wait_ms_max = 30'000;
constexpr std::int64_t fence_watch_ms = 1'000;

Error not_replicating() {
    return Error(Errc::conflict, "not_replicating", "this host does not replicate this job",
                 "the source is as it was", "start the job, wait until it is in sync, then retry");
}

Error not_fenced() {
    return Error(Errc::not_found, "not_fenced", "no fence with this token stands on this host",
                 "nothing was changed", "look at drover-agent status");
}

Error unsupported(const Effect& effect) {
    return Error(
        Errc::unsupported, "effect_unsupported",
        "a source agent of this version does not do " + std::string(name_of(effect.id.kind)),
        "the source is as it was", "update drover-agent");
}

}  // namespace

SourceJob::SourceJob(const JobId& job, const AgentParts& parts, ReplicaFactory& replicas,
                     PeerNetwork& peers, JobEvents& events)
    : job_(job),
      parts_(parts),
      replicas_(replicas),
      events_(events),
      fencer_(parts),
      receiver_(job, parts, replicas, events, fencer_),
      directory_(parts.paths.job(job, Side::source)),
      dialled_(std::make_shared<PeerDialler>(peers)) {}

SourceJob::~SourceJob() {
    drop_replica();
}

// ---- the copy ----

/// Needs nothing but the marker: the fence must hold whatever becomes of the rest.
Result<> SourceJob::secure() {
    TRY(auto marker, parts_.fences.of_job(job_));
    if (!marker || !marker->is_held()) return {};
    wait_for_disks(parts_.host, marker->work().disks);
    auto hidden = fencer_.hide(marker->work());
    // No reason to leave the disks unguarded, which is the fence.
    if (!hidden) log::warn("fence", hidden.error().text(), "job=" + marker->effect.job_name);
    TRY_VOID(hold(*marker));
    // Writable only while this process writes what comes back.
    if (marker->state == FenceState::reversing)
        for (const std::string& disk : marker->work().disks)
            TRY_VOID(parts_.host.set_read_only(disk, true));
    return {};
}

Result<> SourceJob::start() {
    TRY(record_, load_replicate(directory_));
    if (record_) {
        const std::lock_guard lock(mutex_);
        replicate_id_ = record_->effect.id;
    }
    TRY(const auto marker, parts_.fences.of_job(job_));
    if (marker && marker->state == FenceState::releasing) finish_release(*marker);
    report_trouble(reconcile());
    return receiver_.start();
}

/// A release that a crash or a failing hook cut short: the source's service comes first. What fails
/// again stays `releasing` for the next attempt.
void SourceJob::finish_release(const FenceMarker& marker) {
    if (marker.broken_by_root)
        events_.observed(marker.effect.id, FenceBrokenByRoot{"root, before a restart"});
    auto opened = fencer_.open_up(marker, marker.work().post_release_hook);
    if (!opened) log::error("fence", opened.error().text(), "job=" + marker.effect.job_name);
}

Result<> SourceJob::want(const Effect& effect) {
    if (effect.id.kind == EffectKind::hold_fence) {
        hold_ = effect;
        hold_missed_ = false;
        return watch_fence();
    }
    if (effect.id.kind != EffectKind::replicate) return unsupported(effect);
    if (std::get<ReplicateWork>(effect.work).reverse) return receiver_.want(effect);
    if (record_ && effect.id.seq < record_->effect.id.seq) return {};
    if (!record_ || !record_->wanted || !(record_->effect == effect)) {
        const ReplicateRecord wanted{true, effect};
        TRY_VOID(store_replicate(directory_, wanted));
        record_ = wanted;
    }
    {
        const std::lock_guard lock(mutex_);
        replicate_id_ = effect.id;
    }
    last_trouble_.clear();
    report_trouble(reconcile());
    return {};
}

Result<> SourceJob::withdraw(const EffectId& effect) {
    if (effect.kind == EffectKind::hold_fence) hold_.reset();
    TRY(const bool was_reverse, receiver_.withdraw(effect));
    if (was_reverse || effect.kind != EffectKind::replicate || !record_ || !record_->wanted)
        return {};
    // Of an older one, or of the way back, whose record may be gone already.
    if (!(record_->effect.id == effect)) return {};
    const ReplicateRecord unwanted{false, record_->effect};
    TRY_VOID(store_replicate(directory_, unwanted));
    record_ = unwanted;
    drop_replica();
    return {};
}

Result<> SourceJob::reconcile() {
    if (!record_ || !record_->wanted) return {};
    dialled_->set(record_->work());
    TRY(const Replica open, ensure_replica());
    const ReplicateWork& work = record_->work();
    open->update(work.ticket, work.mode, work.limits, work.overwrite_acknowledged);
    return {};
}

Result<SourceJob::Replica> SourceJob::ensure_replica() {
    {
        const std::lock_guard lock(mutex_);
        if (replica_ && !stopped_) return replica_;
    }
    drop_replica();
    if (!record_) return not_replicating();
    return open_replica();
}

Result<std::vector<replicator::SourceDisk>> SourceJob::open_disks() {
    const Ticket& ticket = record_->work().ticket;
    std::vector<replicator::SourceDisk> disks;
    for (std::size_t i = 0; i < ticket.disks.size(); ++i) {
        const std::string& path = ticket.disks[i].source;
        TRY(auto device, parts_.host.open_disk(path, replicator::Access::read_only));
        replicator::TrackerOptions options;
        options.job = job_;
        options.disk = static_cast<std::uint32_t>(i);
        options.state_directory = directory_;
        options.boot_id = parts_.host.identity().boot_id;
        options.allow_ebpf = parts_.config.allow_ebpf;
        std::string why_not_ebpf;
        TRY(auto tracker, parts_.host.attach_tracker(*device, options, &why_not_ebpf));
        // Not before: a tracker of another size is another generation, so that a disk which has
        // its size back later is compared. What it gave up meanwhile no write has said.
        const std::uint64_t size = device->facts().size_bytes;
        if (i < ticket.sizes_bytes.size() && size != ticket.sizes_bytes[i])
            return Error(Errc::conflict, "source_resized",
                         path + " has " + std::to_string(size) + " bytes, the plan says " +
                             std::to_string(ticket.sizes_bytes[i]),
                         "both disks; nothing is copied", "restore the size, or plan the job anew");
        if (!why_not_ebpf.empty())
            log::info("source", "scan tracker: " + why_not_ebpf,
                      "job=" + ticket.job_name + " disk=" + path);
        replicator::SourceDisk disk{std::move(device), std::move(tracker)};
        if (ticket.disks[i].skip_free_space)
            disk.free_space = [this](replicator::BlockDevice& of) {
                return parts_.host.free_space(of);
            };
        disks.push_back(std::move(disk));
    }
    return disks;
}

Result<SourceJob::Replica> SourceJob::open_replica() {
    const ReplicateWork& work = record_->work();
    if (work.ticket.source_agent != parts_.identity.name)
        return Error(Errc::denied, "ticket_not_yours",
                     "the ticket is for source " + work.ticket.source_agent,
                     "nothing was read or written", "correct the plan");
    TRY_VOID(make_directory_durably(directory_));
    dialled_->set(work);
    replicator::SourceConfig config;
    config.ticket = work.ticket;
    TRY(config.disks, open_disks());
    config.state_directory = directory_;
    config.boot_id = parts_.host.identity().boot_id;
    config.mode = work.mode;
    config.limits = work.limits;
    config.backlog_bytes_max = work.backlog_bytes_max;
    config.overwrite_acknowledged = work.overwrite_acknowledged;
    config.compression = parts_.config.compression;
    config.streams = parts_.config.streams;
    config.pacing.walk_bytes_per_s = std::uint64_t{parts_.config.walk_mib_per_s} << 20;
    config.dial = [dialled = dialled_] { return dialled->dial(); };
    TRY(auto opened, replicas_.open_source(std::move(config), *this));
    const std::lock_guard lock(mutex_);
    replica_ = std::move(opened);
    stopped_ = false;
    return replica_;
}

/// The replica ends outside the lock: its thread may be waiting for it in an observer call.
void SourceJob::drop_replica() {
    Replica ended;
    {
        const std::lock_guard lock(mutex_);
        ended.swap(replica_);
        stopped_ = false;
    }
}

void SourceJob::cancel(std::uint64_t seq) {
    Replica ended;
    {
        const std::lock_guard lock(mutex_);
        cancelled_below_ = std::max(cancelled_below_, seq);
        ended = replica_;
        stopped_ = replica_ != nullptr;
    }
    if (ended) ended->stop();
}

/// A standing effect that cannot be served is reported once per cause, and tried again.
void SourceJob::report_trouble(const Result<>& outcome) {
    if (outcome) {
        last_trouble_.clear();
        return;
    }
    reopen_at_ = parts_.clock.steady_ms() + reopen_interval_ms;
    if (outcome.error().text() == last_trouble_) return;
    last_trouble_ = outcome.error().text();
    log::warn("source", last_trouble_, "job=" + record_->effect.job_name);
    events_.observed(replicate_id(), StepFailed{outcome.error()});
}

EffectId SourceJob::replicate_id() const {
    const std::lock_guard lock(mutex_);
    return replicate_id_;
}

void SourceJob::mirror_done(const MirrorDone& done) {
    events_.observed(replicate_id(), done);
}

void SourceJob::data_state(const DataStateNow& now) {
    events_.observed(replicate_id(), now);
}

void SourceJob::generation_gone(const GenerationGone& gone) {
    events_.observed(replicate_id(), gone);
}

void SourceJob::progress(const Progress& progress) {
    events_.progress(progress);
}

// ---- the steps of a cutover ----

Result<ReportBody> SourceJob::run(const Effect& effect, bool recovered) {
    if (const auto* work = std::get_if<PreflightWork>(&effect.work))
        return ReportBody(preflight_source(parts_, *work));
    if (const auto* work = std::get_if<DrainWork>(&effect.work)) return drain(effect.id, *work);
    if (const auto* work = std::get_if<VerifyWork>(&effect.work)) return verify(effect.id, *work);
    if (const auto* work = std::get_if<CompareWork>(&effect.work)) return compare(effect.id, *work);
    if (const auto* work = std::get_if<CleanupWork>(&effect.work)) return cleanup(*work);
    if (std::holds_alternative<ReleaseWork>(effect.work)) return release(effect);
    if (!std::holds_alternative<FenceWork>(effect.work)) return unsupported(effect);
    auto open = ensure_replica();
    // Whatever an interrupted fence left behind is looked at even if the copy cannot be opened.
    if (recovered) return fencer_.finish_interrupted(effect, open ? open->get() : nullptr);
    if (!open) return open.error();
    return fencer_.fence(effect, **open);
}

Result<std::optional<ReportBody>> SourceJob::probe(const Effect& effect) {
    if (!std::holds_alternative<FenceWork>(effect.work)) return std::optional<ReportBody>();
    TRY(const Replica open, ensure_replica());
    return fencer_.probe(effect, open.get());
}

/// The replica for a step that waits for the peer, unless a newer step has overtaken it.
Result<SourceJob::Replica> SourceJob::replica_for(const EffectId& effect) {
    TRY(Replica open, ensure_replica());
    // After that: a cancel() from now on finds the replica and stops it.
    const std::lock_guard lock(mutex_);
    if (effect.seq < cancelled_below_)
        return Error(Errc::cancelled, "step_overtaken", "a newer step of the job has begun",
                     "everything that the target acknowledged", "nothing has to be done");
    return open;
}

/// Checked again afterwards: a drain of a disk that somebody writes is worth nothing.
Result<ReportBody> SourceJob::drain(const EffectId& effect, const DrainWork& work) {
    TRY_VOID(fencer_.check(job_, work.token));
    TRY(const Replica open, replica_for(effect));
    TRY(const DrainDone done, open->drain(work.repair));
    TRY_VOID(fencer_.check(job_, work.token));
    return ReportBody(done);
}

Result<ReportBody> SourceJob::verify(const EffectId& effect, const VerifyWork& work) {
    TRY_VOID(fencer_.check(job_, work.token));
    TRY(const Replica open, replica_for(effect));
    TRY(VerifyDone done, work.compare ? open->verify() : open->prove());
    TRY_VOID(fencer_.check(job_, work.token));
    return ReportBody(std::move(done));
}

/// What came back stays or is undone as a whole, before anything else is done to the fence.
Result<ReportBody> SourceJob::release(const Effect& effect) {
    const auto& work = std::get<ReleaseWork>(effect.work);
    TRY_VOID(receiver_.settle(work.token, work.keep_reverse ? Settle::keep : Settle::undo));
    return fencer_.release(effect);
}

/// Takes as long as the disks are large: meanwhile the fence is watched here, as tick() would.
Result<ReportBody> SourceJob::compare(const EffectId& effect, const CompareWork& work) {
    TRY_VOID(fencer_.check(job_, work.token));
    TRY(const Replica open, replica_for(effect));
    for (;;) {
        TRY(auto done, open->compare(fence_watch_ms));
        if (done) {
            TRY_VOID(fencer_.check(job_, work.token));
            return ReportBody(std::move(*done));
        }
        auto watched = watch_fence();
        if (!watched) log::error("fence", watched.error().text());
    }
}

Result<ReportBody> SourceJob::cleanup(const CleanupWork& work) {
    TRY(const auto marker, parts_.fences.of_job(job_));
    if (marker && !work.keep_fence)
        return Error(Errc::conflict, "fence_stands",
                     "a fence of this job stands and clean-up was not told to keep it",
                     "the fence and the copy", "roll the job back, then clean up again");
    if (record_) {
        auto open = ensure_replica();
        if (open) (*open)->forget();
        // Without its disks there is no tracker left to detach.
        if (!open) log::warn("source", "cleaned up without its disks: " + open.error().text());
    }
    drop_replica();
    record_.reset();
    // The disks have to be one image or the other before the journal goes that holds the rest.
    if (marker) TRY_VOID(receiver_.settle(marker->work().token, Settle::as_it_is));
    TRY_VOID(receiver_.remove());
    if (!marker) TRY_VOID(parts_.host.end_guard({job_, Side::source}));
    TRY_VOID(remove_job_directory(directory_));
    return ReportBody(CleanupDone{});
}

// ---- the fence while it stands ----

/// Re-establishes what the marker says; a disk that was open in between counts as breached.
Result<> SourceJob::hold(FenceMarker& marker) {
    if (DROVER_MUTANT("fence_not_held_again")) return {};
    auto was_open = fencer_.reestablish(marker);
    if (was_open && !*was_open) return {};
    if (!was_open) log::error("fence", was_open.error().text(), "job=" + marker.effect.job_name);
    return report_breach(marker, 1);
}

/// Once per fence: the orchestrator never takes it back.
Result<> SourceJob::report_breach(FenceMarker& marker, std::uint64_t completions) {
    if (marker.breached) return {};
    log::error("fence", "breached: a fenced disk may have been written",
               "job=" + marker.effect.job_name);
    // The report first: killed in between, it is made twice rather than never.
    events_.observed(hold_ ? hold_->id : marker.effect.id, FenceBreach{completions});
    marker.breached = true;
    return parts_.fences.store(marker);
}

Result<> SourceJob::watch_fence() {
    TRY(auto marker, parts_.fences.of_job(job_));
    if (!marker) {
        if (!hold_ || hold_missed_) return {};
        hold_missed_ = true;
        const FenceToken token = std::get<HoldFenceWork>(hold_->work).token;
        if (!parts_.journal.is_tombstoned(token)) events_.observed(hold_->id, FenceBreach{0});
        return {};
    }
    if (!marker->is_held()) return {};
    TRY_VOID(hold(*marker));
    const bool is_ours = marker->state == FenceState::reversing;
    TRY(const std::uint64_t completions,
        is_ours ? fencer_.foreign_users(*marker) : fencer_.completions(*marker));
    return completions == 0 ? Result<>() : report_breach(*marker, completions);
}

void SourceJob::tick() {
    auto watched = watch_fence();
    if (!watched) log::error("fence", watched.error().text());
    const bool missing = record_ && record_->wanted && [this] {
        const std::lock_guard lock(mutex_);
        return !replica_ || stopped_;
    }();
    if (missing && parts_.clock.steady_ms() >= reopen_at_) report_trouble(reconcile());
    receiver_.tick();
}

Result<replicator::SealedPoint> SourceJob::seal_point() {
    Replica open;
    {
        const std::lock_guard lock(mutex_);
        open = replica_;
    }
    if (!record_ || !record_->wanted || !open)
        return Error(Errc::not_found, "no_such_source", "the source does not replicate this job",
                     "nothing was frozen", "look at drover-agent status");
    if (record_->work().mode != ReplicateMode::transfer)
        return replicator::points_not_possible("job " + record_->effect.job_name +
                                               " is paused, or in its cutover");
    const FreezePlan plan{record_->disks(Side::source), parts_.config.freeze_hooks,
                          std::int64_t{1000} * parts_.config.freeze_limit_s,
                          std::int64_t{1000} * parts_.config.hook_timeout_s};
    return open->seal_point(parts_.host.freezer(plan), seal_wait_ms_max);
}

Result<> SourceJob::break_fence(const FenceToken& token, const std::string& by) {
    TRY(auto marker, parts_.fences.of_job(job_));
    if (!marker || marker->work().token != token) return not_fenced();
    TRY_VOID(parts_.journal.tombstone(marker->work().token));
    TRY_VOID(receiver_.settle(token, Settle::as_it_is));
    TRY(marker, parts_.fences.find(token));
    if (!marker) return not_fenced();
    if (!marker->broken_by_root) {
        events_.observed(hold_ ? hold_->id : marker->effect.id, FenceBrokenByRoot{by});
        marker->broken_by_root = true;
        marker->state = FenceState::releasing;
        TRY_VOID(parts_.fences.store(*marker));
    }
    const Hook hook = marker->work().post_release_hook;
    return fencer_.open_up(*marker, hook);
}

Result<> SourceJob::remove_fence(const FenceToken& token) {
    TRY(auto marker, parts_.fences.of_job(job_));
    if (!marker || marker->work().token != token) return not_fenced();
    TRY(const auto record, load_replicate(directory_));
    if (record)
        return Error(Errc::conflict, "job_not_finished",
                     "job " + marker->effect.job_name +
                         " is not committed: its way back needs "
                         "this fence",
                     "the fence",
                     "commit or roll back the job first; to break the fence in an "
                     "emergency: drover-agent release");
    TRY_VOID(parts_.journal.tombstone(token));
    // No hook: the workload runs on the target now and must not be started here.
    return fencer_.open_up(*marker, {});
}

}  // namespace drover::agent
