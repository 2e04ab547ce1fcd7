#include "agent/target_job.h"

#include "agent/disk_wait.h"
#include "agent/journal_place.h"
#include "agent/preflight.h"
#include "base/file.h"
#include "base/log.h"

#include <algorithm>

namespace drover::agent {
namespace {

constexpr std::uint64_t wipe_step_bytes = 64U << 20;

Error unsupported(const Effect& effect) {
    return Error(
        Errc::unsupported, "effect_unsupported",
        "a target agent of this version does not do " + std::string(name_of(effect.id.kind)),
        "the target is as it was", "update drover-agent");
}

Error unknown_job() {
    return Error(Errc::conflict, "job_unknown_here",
                 "this agent's state directory knows nothing of this job's disks",
                 "the disks are as they were",
                 "if the state directory was replaced, look at the disks by hand before going on");
}

}  // namespace

TargetJob::TargetJob(const JobId& job, const AgentParts& parts, ReplicaFactory& replicas,
                     PeerNetwork& peers, JobEvents& events)
    : job_(job),
      parts_(parts),
      replicas_(replicas),
      events_(events),
      changes_(parts, job),
      activator_(parts, changes_),
      sender_(job, parts, replicas, peers, events, changes_),
      test_(parts, job),
      directory_(parts.paths.job(job, Side::target)) {}

TargetJob::Replica TargetJob::replica() const {
    const std::lock_guard lock(mutex_);
    return replica_;
}

std::shared_ptr<replicator::PeerServer> TargetJob::server() const {
    const std::lock_guard lock(mutex_);
    if (replica_) return replica_;
    return held_;
}

void TargetJob::set_replica(Replica replica) {
    const std::lock_guard lock(mutex_);
    replica_.swap(replica);
}

Result<> TargetJob::close_replica() {
    set_replica(nullptr);
    end_comparison();
    return events_.want_listener(job_, false);
}

/// Its sessions end here, not with the last who holds it: they use the change map.
void TargetJob::end_comparison() {
    Held ended;
    {
        const std::lock_guard lock(mutex_);
        ended.swap(held_);
    }
    if (ended) ended->end();
}

Result<TargetJobFacts> TargetJob::facts() const {
    if (!record_) return unknown_job();
    return TargetJobFacts{job_, record_->effect.job_name, record_->disks(Side::target),
                          record_->work().ticket.serial};
}

// ---- the copy ----

/// A target that must be down stays down.
Result<> TargetJob::secure() {
    TRY(record_, load_replicate(directory_));
    if (!record_) return {};
    TRY(const TargetJobFacts job, facts());
    auto down = activator_.keep_down_if_due(job);
    if (!down && down.error().code() == Errc::not_found) {
        wait_for_disks(parts_.host, job.disks);
        down = activator_.keep_down_if_due(job);
    }
    is_down_due_ = !down;
    return down;
}

Result<> TargetJob::start() {
    if (const auto job = facts()) activator_.watch_changes(*job);
    if (record_) report_trouble(reconcile());
    return sender_.start();
}

Result<> TargetJob::want(const Effect& effect) {
    if (effect.id.kind != EffectKind::replicate) return unsupported(effect);
    if (std::get<ReplicateWork>(effect.work).reverse) return sender_.want(effect);
    if (record_ && effect.id.seq < record_->effect.id.seq) return {};
    if (!record_ || !record_->wanted || !(record_->effect == effect)) {
        const ReplicateRecord wanted{true, effect};
        TRY_VOID(store_replicate(directory_, wanted));
        record_ = wanted;
    }
    last_trouble_.clear();
    report_trouble(reconcile());
    return {};
}

Result<> TargetJob::withdraw(const EffectId& effect) {
    TRY(const bool was_reverse, sender_.withdraw(effect));
    if (was_reverse || effect.kind != EffectKind::replicate || !record_ || !record_->wanted)
        return {};
    if (effect.seq < record_->effect.id.seq) return {};
    const ReplicateRecord unwanted{false, record_->effect};
    TRY_VOID(store_replicate(directory_, unwanted));
    record_ = unwanted;
    // The guard stays: the disks are ours until Activate or Cleanup.
    return close_replica();
}

/// False while the disks belong, or last belonged, to the target's users under this same ticket:
/// then replication is withheld, and that is no fault.
Result<bool> TargetJob::may_replicate() const {
    TRY(const auto activation, load_activation(parts_.paths, job_));
    if (!activation) return true;
    return activation->state == ActivationState::deactivated &&
           record_->work().ticket.serial > activation->ticket_serial;
}

Result<> TargetJob::reconcile() {
    if (!record_ || !record_->wanted) return {};
    if (record_->work().mode == ReplicateMode::compare) return serve_comparison();
    end_comparison();
    TRY(const bool may, may_replicate());
    if (!may) return {};
    const ReplicateWork& work = record_->work();
    TRY_VOID(events_.want_listener(job_, true));
    if (const Replica open = replica()) {
        open->update(work.ticket, work.overwrite_acknowledged);
        return {};
    }
    TRY_VOID(take_disks());
    TRY_VOID(drop_changes());
    TRY(const Replica opened, open_replica());
    return {};
}

/// Copied to again, the disks hold nothing any more that somebody could want back.
Result<> TargetJob::drop_changes() {
    TRY_VOID(sender_.remove());
    TRY(auto activation, load_activation(parts_.paths, job_));
    if (!activation || activation->changes.empty()) return {};
    changes_.forget(record_->disks(Side::target));
    activation->changes.clear();
    return store_activation(parts_.paths, job_, *activation);
}

/// Reads only, and only while the disks are in their users' hands under this very ticket.
Result<> TargetJob::serve_comparison() {
    const Ticket& ticket = record_->work().ticket;
    TRY(const auto activation, load_activation(parts_.paths, job_));
    const bool is_active = activation && activation->state == ActivationState::active &&
                           activation->ticket_serial == ticket.serial;
    if (!is_active) {
        end_comparison();
        return {};
    }
    TRY_VOID(events_.want_listener(job_, true));
    if (server()) return {};
    std::vector<std::unique_ptr<replicator::BlockDevice>> disks;
    for (const std::string& path : record_->disks(Side::target)) {
        TRY(auto device, parts_.host.open_disk(path, replicator::Access::read_only));
        disks.push_back(std::move(device));
    }
    Held held =
        std::make_shared<replicator::HeldTarget>(ticket, std::move(disks), changes_, parts_.clock);
    const std::lock_guard lock(mutex_);
    held_ = std::move(held);
    return {};
}

Result<> TargetJob::check_disk(const std::string& path, std::size_t index, bool owned) {
    const std::uint64_t needed = record_->work().ticket.sizes_bytes.at(index);
    TRY_VOID(check_not_own(parts_.host, path));
    TRY(const Exposure exposed, check_exposed(parts_.exposures, parts_.host, path));
    if (exposed.size_bytes < needed)
        return Error(Errc::invalid, "target_too_small",
                     path + " has " + std::to_string(exposed.size_bytes) +
                         " bytes, the source disk " + std::to_string(needed),
                     "both disks; nothing was written",
                     "provide a target disk of at least the source's size");
    TRY_VOID(check_unused(parts_.host, path));
    if (owned || exposed.override_not_blank) return {};
    return parts_.host.check_blank(path);
}

/// Under guard before it is looked at, so that nothing changes between the look and the first
/// write.
Result<> TargetJob::take_disks() {
    const std::vector<std::string> disks = record_->disks(Side::target);
    if (record_->work().ticket.sizes_bytes.size() != disks.size())
        return Error(Errc::invalid, "ticket_mismatch", "the ticket lacks the disks' sizes",
                     "nothing was written", "plan the job anew");
    TRY(const bool owned, owns_disks(directory_, disks, parts_.host));
    for (const std::string& disk : disks)
        TRY_VOID(check_exposed(parts_.exposures, parts_.host, disk));
    TRY_VOID(check_of_no_other_job(parts_.paths, job_, disks, parts_.host));
    TRY_VOID(parts_.host.hold_guard({job_, Side::target}, disks));
    for (std::size_t i = 0; i < disks.size(); ++i) {
        auto fit = check_disk(disks[i], i, owned);
        if (fit) continue;
        TRY_VOID(parts_.host.end_guard({job_, Side::target}));
        return fit.error();
    }
    return owned ? Result<>() : store_owned(directory_, disks, parts_.host);
}

Result<TargetJob::Replica> TargetJob::open_replica() {
    const ReplicateWork& work = record_->work();
    if (work.ticket.target_agent != parts_.identity.name)
        return Error(Errc::denied, "ticket_not_yours",
                     "the ticket is for target " + work.ticket.target_agent, "nothing was written",
                     "correct the plan");
    replicator::TargetConfig config;
    config.ticket = work.ticket;
    for (const std::string& path : record_->disks(Side::target)) {
        TRY_VOID(check_exposed(parts_.exposures, parts_.host, path));
        TRY(auto device, parts_.host.open_disk(path, replicator::Access::read_write));
        config.disks.push_back(std::move(device));
    }
    config.state_directory = directory_;
    config.overwrite_acknowledged = work.overwrite_acknowledged;
    auto place = journal_place(parts_.config, record_->disks(Side::target));
    // Unfit for good is direct mode, as preflight has said; all else may pass.
    if (!place && place.error().code() != Errc::unsupported) return place.error();
    if (place) config.journal = std::move(*place);
    if (!place) log::warn("target", place.error().text(), "job=" + record_->effect.job_name);
    TRY(auto opened, replicas_.open_target(std::move(config)));
    Replica shared = std::move(opened);
    set_replica(shared);
    return shared;
}

/// A standing effect that cannot be served is reported once per cause, and tried again.
void TargetJob::report_trouble(const Result<>& outcome) {
    if (outcome) {
        last_trouble_.clear();
        return;
    }
    reopen_at_ = parts_.clock.steady_ms() + reopen_interval_ms;
    if (outcome.error().text() == last_trouble_) return;
    last_trouble_ = outcome.error().text();
    log::warn("target", last_trouble_, "job=" + record_->effect.job_name);
    events_.observed(record_->effect.id, StepFailed{outcome.error()});
}

void TargetJob::tick() {
    if (!record_) return;
    if (is_down_due_) {
        const auto job = facts();
        is_down_due_ = !job || !activator_.keep_down_if_due(*job);
    }
    if (record_->wanted && !server() && parts_.clock.steady_ms() >= reopen_at_)
        report_trouble(reconcile());
    tell_points();
    sender_.tick();
    if (const auto job = facts()) activator_.watch_changes(*job);
    auto activation = load_activation(parts_.paths, job_);
    if (!activation || !*activation || (*activation)->state != ActivationState::active) return;
    auto bytes = activator_.bytes_since(**activation, record_->disks(Side::target));
    if (!bytes) return;
    Progress progress;
    progress.job = job_;
    progress.side = Side::target;
    progress.bytes_written_since_activation = *bytes;
    events_.progress(std::move(progress));
}

/// Nothing, as long as there never was a journal to tell of.
void TargetJob::tell_points() {
    const Replica open = replica();
    if (!open) return;
    const replicator::TargetProgress now = open->progress();
    const bool has_news =
        !now.points.empty() || now.journal_lag_bytes > 0 || now.journal_budget_bytes > 0;
    if (!has_news && !has_told_points_) return;
    has_told_points_ = has_news;
    Progress progress;
    progress.job = job_;
    progress.side = Side::target;
    progress.journal_lag_bytes = now.journal_lag_bytes;
    progress.journal_used_bytes = now.journal_used_bytes;
    progress.journal_budget_bytes = now.journal_budget_bytes;
    for (const replicator::BatchMark& point : now.points)
        progress.points.push_back({point.batch, point.taken_micros, point.kind});
    events_.progress(std::move(progress));
}

Result<> TargetJob::restore_point(std::uint64_t point, const std::string& by) {
    const Replica open = replica();
    if (!record_ || !record_->wanted || !open)
        return Error(Errc::not_found, "no_such_target", "the target does not replicate this job",
                     "nothing was changed", "look at drover-agent status");
    // A source that goes on would overwrite what was taken back.
    if (record_->work().mode != ReplicateMode::track_only)
        return Error(Errc::conflict, "job_not_paused",
                     "job " + record_->effect.job_name + " replicates", "nothing was changed",
                     "drover job pause " + record_->effect.job_name + ", then try again");
    TRY_VOID(open->restore_point(point));
    const std::string what =
        by + " took the target's disks back to point " + std::to_string(point) + " by hand";
    log::warn("target", what, "job=" + record_->effect.job_name);
    events_.observed(record_->effect.id, GenerationGone{0, what});
    return {};
}

// ---- the steps of a cutover ----

Result<ReportBody> TargetJob::run(const Effect& effect, bool) {
    if (const auto* work = std::get_if<PreflightWork>(&effect.work)) {
        TRY(const bool owned, owns_disks(directory_, work->disks, parts_.host));
        return ReportBody(preflight_target(parts_, *work, owned));
    }
    if (std::holds_alternative<ActivateWork>(effect.work)) return activate(effect);
    if (std::holds_alternative<DeactivateWork>(effect.work)) return deactivate(effect);
    if (std::holds_alternative<ValidateWork>(effect.work)) return validate(effect);
    if (const auto* work = std::get_if<StartTestWork>(&effect.work)) return start_test(*work);
    if (const auto* work = std::get_if<RevertTestWork>(&effect.work)) return revert_test(*work);
    if (std::holds_alternative<CleanupWork>(effect.work)) return cleanup();
    if (const auto* work = std::get_if<DeleteDataWork>(&effect.work)) return delete_data(*work);
    if (const auto* work = std::get_if<ReverseDrainWork>(&effect.work))
        return sender_.drain(effect.id, work->token);
    if (const auto* work = std::get_if<ReverseVerifyWork>(&effect.work))
        return sender_.verify(effect.id, work->token);
    return unsupported(effect);
}

Result<std::optional<ReportBody>> TargetJob::probe(const Effect& effect) {
    if (!std::holds_alternative<ActivateWork>(effect.work)) return std::optional<ReportBody>();
    return activator_.probe(effect);
}

Result<ReportBody> TargetJob::activate(const Effect& effect) {
    TRY(const TargetJobFacts job, facts());
    auto promote = [this]() -> Result<> {
        Replica open = replica();
        if (!open) {
            TRY(open, open_replica());
        }
        TRY_VOID(open->promote());
        open.reset();
        return close_replica();
    };
    return activator_.activate(effect, job, promote);
}

/// A state directory that knows nothing of the job may be a new one on a live target: then silence
/// would be a lie, and a person has to look.
Result<ReportBody> TargetJob::deactivate(const Effect& effect) {
    TRY_VOID(parts_.journal.tombstone(std::get<DeactivateWork>(effect.work).token));
    TRY(const TargetJobFacts job, facts());
    end_comparison();
    return activator_.deactivate(effect, job);
}

/// With no hook all we know is that the disks can be read, at their beginning and at their end.
Result<ReportBody> TargetJob::validate(const Effect& effect) {
    const Hook& hook = std::get<ValidateWork>(effect.work).hook;
    TRY(const TargetJobFacts job, facts());
    TRY(const auto activation, load_activation(parts_.paths, job_));
    if (!hook.empty()) {
        const FenceToken token = activation ? activation->token : FenceToken();
        TRY_VOID(parts_.host.run_hook({hook, HookStep::validate, job.job_name, job.disks, token}));
        return ReportBody(ValidateDone{"hook " + hook.name + " succeeded"});
    }
    for (const std::string& path : job.disks) {
        TRY(auto device, parts_.host.open_disk(path, replicator::Access::read_only));
        Bytes block(device->facts().sector_bytes);
        const std::uint64_t size = device->facts().size_bytes;
        if (size < block.size()) continue;
        TRY_VOID(device->read(0, block));
        TRY_VOID(device->read((size - block.size()) / block.size() * block.size(), block));
    }
    return ReportBody(ValidateDone{"the disks can be read; no validation hook is configured"});
}

Result<TargetJob::Replica> TargetJob::replica_opened() {
    if (Replica open = replica()) return open;
    return open_replica();
}

Result<ReportBody> TargetJob::start_test(const StartTestWork& work) {
    TRY(const TargetJobFacts job, facts());
    TRY(StartTestDone done, test_.start(work, job, [this] { return replica_opened(); }));
    return ReportBody(std::move(done));
}

Result<ReportBody> TargetJob::revert_test(const RevertTestWork& work) {
    TRY(const TargetJobFacts job, facts());
    TRY_VOID(test_.revert(work.test_stop_hook, job, [this] { return replica_opened(); }));
    return ReportBody(RevertTestDone{});
}

/// Before anything of the job is forgotten.
Result<> TargetJob::end_test_of_job() {
    TRY(const bool is_open, test_.is_open());
    if (!is_open) return {};
    TRY(const TargetJobFacts job, facts());
    return test_.abandon(job);
}

Result<ReportBody> TargetJob::cleanup() {
    TRY_VOID(end_test_of_job());
    TRY(const auto activation, load_activation(parts_.paths, job_));
    const bool handed_over = activation && activation->state == ActivationState::active;
    if (const Replica open = replica()) open->forget();
    TRY_VOID(close_replica());
    if (record_) {
        TRY_VOID(sender_.remove());
        if (activation) changes_.forget(record_->disks(Side::target));
        for (const std::string& disk : record_->disks(Side::target)) {
            auto exposure = parts_.exposures.find(disk);
            if (!exposure) continue;  // taken back by root already
            // A disk in production must not stay open to the next job, nor an override.
            exposure->override_not_blank = false;
            TRY_VOID(handed_over ? parts_.exposures.remove(disk)
                                 : parts_.exposures.store(*exposure));
        }
    }
    record_.reset();
    TRY_VOID(parts_.host.end_guard({job_, Side::target}));
    TRY_VOID(remove_journal());
    TRY_VOID(remove_job_directory(directory_));
    return ReportBody(CleanupDone{});
}

Result<ReportBody> TargetJob::delete_data(const DeleteDataWork& work) {
    TRY(const auto activation, load_activation(parts_.paths, job_));
    if (activation && activation->state != ActivationState::deactivated)
        return Error(Errc::conflict, "target_active", "the target is in the hands of its users",
                     "all data on the target", "roll back first; deleting live data is refused");
    TRY_VOID(end_test_of_job());
    for (const std::string& disk : work.disks) {
        TRY_VOID(check_not_own(parts_.host, disk));
        TRY_VOID(check_exposed(parts_.exposures, parts_.host, disk));
        TRY_VOID(check_unused(parts_.host, disk));
    }
    TRY_VOID(check_of_no_other_job(parts_.paths, job_, work.disks, parts_.host));
    TRY_VOID(sender_.remove());
    if (activation) changes_.forget(work.disks);
    TRY_VOID(close_replica());
    TRY_VOID(parts_.host.hold_guard({job_, Side::target}, work.disks));
    for (const std::string& disk : work.disks) TRY_VOID(wipe(disk));
    TRY_VOID(parts_.host.end_guard({job_, Side::target}));
    TRY_VOID(remove_journal());
    TRY_VOID(remove_job_directory(directory_));
    record_.reset();
    return ReportBody(DataDeleted{});
}

/// It lies outside of the job's directory, and no replica may be open to know of it.
Result<> TargetJob::remove_journal() {
    const std::filesystem::path& directory = parts_.config.journal_directory;
    if (directory.empty()) return {};
    return remove_file_durably(replicator::journal_path(directory, job_));
}

Result<> TargetJob::wipe(const std::string& path) {
    TRY(auto device, parts_.host.open_disk(path, replicator::Access::read_write));
    const std::uint64_t size = device->facts().size_bytes;
    for (std::uint64_t at = 0; at < size; at += wipe_step_bytes)
        TRY_VOID(device->write_zeroes(at, std::min(wipe_step_bytes, size - at)));
    return device->flush();
}

}  // namespace drover::agent
