#include "agent/reverse_receiver.h"

#include "agent/journal_place.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mutation.h"
#include "base/sha256.h"

namespace drover::agent {
namespace {

constexpr const char* kept_fenced = "the source as it was fenced, and all data on the target";

Error refused(Errc code, const char* id, const std::string& why, const std::string& next) {
    return Error(code, id, why, kept_fenced, next);
}

Error kept() {
    return Error(Errc::conflict, "reverse_kept",
                 "the disks hold what the target's users wrote, and nothing else any more",
                 "the disks; they stay fenced", "release them as they are");
}

}  // namespace

Generation fence_point_of(const FenceToken& token) {
    const Hash hash = sha256(as_bytes("drover fence point " + token.hex()));
    return *Generation::from(ByteView(hash.data).first(16));
}

Result<replicator::JournalPlace> reverse_journal_place(const Config& config,
                                                       const std::vector<std::string>& disks) {
    TRY(auto place, journal_place(config, disks));
    if (!place)
        return refused(Errc::unsupported, "reverse_no_journal",
                       "this host has no place for a journal of what comes back",
                       "set journal.directory in agent.toml, on a disk that is not of the job");
    place->duty = replicator::JournalDuty::first_point;
    place->points_max = 1;
    return std::move(*place);
}

ReverseReceiver::ReverseReceiver(const JobId& job, const AgentParts& parts,
                                 ReplicaFactory& replicas, JobEvents& events, Fencer& fencer)
    : job_(job),
      parts_(parts),
      replicas_(replicas),
      events_(events),
      fencer_(fencer),
      directory_(parts.paths.job(job, Side::source) / "reverse") {}

std::shared_ptr<replicator::TargetReplica> ReverseReceiver::replica() const {
    const std::lock_guard lock(mutex_);
    return replica_;
}

Result<> ReverseReceiver::start() {
    TRY(record_, load_replicate(directory_));
    report_trouble(reconcile());
    return {};
}

Result<> ReverseReceiver::want(const Effect& effect) {
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

/// The record stays: undoing needs it.
Result<bool> ReverseReceiver::withdraw(const EffectId& effect) {
    if (!record_ || !(record_->effect.id == effect)) return false;
    const ReplicateRecord unwanted{false, record_->effect};
    TRY_VOID(store_replicate(directory_, unwanted));
    record_ = unwanted;
    TRY_VOID(close());
    return true;
}

void ReverseReceiver::tick() {
    const bool is_due = record_ && record_->wanted && !replica();
    if (is_due && parts_.clock.steady_ms() >= reopen_at_) report_trouble(reconcile());
}

void ReverseReceiver::report_trouble(const Result<>& outcome) {
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

// ---- taking it in ----

Result<> ReverseReceiver::reconcile() {
    if (!record_ || !record_->wanted) return {};
    TRY(auto marker, parts_.fences.of_job(job_));
    // On its way back into service, or there already: this is about to be withdrawn.
    const bool is_over = !marker || !marker->is_held() || marker->reverse == ReverseState::kept;
    if (is_over) return {};
    const ReplicateWork& work = record_->work();
    if (const Replica opened = replica()) {
        opened->update(work.ticket, false);
        return {};
    }
    TRY_VOID(check_allowed(*marker));
    TRY(Replica opened, open(*marker));
    {
        const std::lock_guard lock(mutex_);
        replica_ = std::move(opened);
    }
    return events_.want_listener(job_, true);
}

Result<> ReverseReceiver::check_allowed(const FenceMarker& marker) const {
    const Ticket& ticket = record_->work().ticket;
    if (ticket.target_agent != parts_.identity.name)
        return refused(Errc::denied, "ticket_not_yours", "the ticket is for " + ticket.target_agent,
                       "correct the plan");
    const std::vector<std::string> disks = record_->disks(Side::target);
    if (disks != marker.work().disks || ticket.sizes_bytes.size() != disks.size())
        return refused(Errc::invalid, "ticket_mismatch",
                       "the ticket names other disks than the fence", "abandon the way back");
    return check_untouched(marker);
}

/// While it is reversing the writes are ours, and a user is one too many.
Result<> ReverseReceiver::check_untouched(const FenceMarker& marker) const {
    TRY(const std::uint64_t others, marker.state == FenceState::fenced
                                        ? fencer_.completions(marker)
                                        : fencer_.foreign_users(marker));
    if (others == 0 && !marker.breached) return {};
    return refused(Errc::denied, "fence_breached",
                   "a fenced disk was opened or written by somebody else: what it holds is not "
                   "known",
                   "find the writer, then abandon the way back with the loss acknowledged");
}

/// From the marker on nobody mistakes our writes for another's, nor the disks for the image that
/// was fenced. After a reboot another disk may have the path.
Result<ReverseReceiver::Replica> ReverseReceiver::open(FenceMarker& marker) {
    for (const std::string& disk : marker.work().disks)
        TRY_VOID(check_reverse_exposed(parts_.paths, parts_.host, disk));
    const GuardName guard{job_, Side::source};
    TRY(const bool is_held, parts_.host.guard_held(guard, marker.work().disks));
    if (!is_held)
        return refused(Errc::unavailable, "fence_open", "the fence's guard is not there yet",
                       "nothing has to be done; it is tried again");
    if (marker.state == FenceState::fenced && !DROVER_MUTANT("reverse_unmarked")) {
        marker.state = FenceState::reversing;
        TRY_VOID(parts_.fences.store(marker));
        parts_.step("reverse.marker");
    }
    TRY_VOID(set_read_only(marker, false));
    parts_.step("reverse.writable");
    auto opened = open_replica(marker);
    if (!opened) {
        TRY_VOID(set_read_only(marker, true));
        return opened.error();
    }
    parts_.step("reverse.journal");
    if (marker.reverse != ReverseState::begun) {
        marker.reverse = ReverseState::begun;
        TRY_VOID(parts_.fences.store(marker));
        parts_.step("reverse.begun");
    }
    return std::move(*opened);
}

Result<ReverseReceiver::Replica> ReverseReceiver::open_replica(const FenceMarker& marker) {
    replicator::TargetConfig config;
    config.ticket = record_->work().ticket;
    for (const std::string& path : marker.work().disks) {
        TRY(auto device, parts_.host.open_disk(path, replicator::Access::read_write));
        config.disks.push_back(std::move(device));
    }
    config.state_directory = directory_;
    TRY(config.journal, reverse_journal_place(parts_.config, marker.work().disks));
    config.fence_point = replicator::FencePoint{fence_point_of(marker.work().token),
                                                marker.reverse == ReverseState::begun};
    TRY(auto opened, replicas_.open_target(std::move(config)));
    return Replica(std::move(opened));
}

Result<> ReverseReceiver::set_read_only(const FenceMarker& marker, bool read_only) {
    for (const std::string& disk : marker.work().disks)
        TRY_VOID(parts_.host.set_read_only(disk, read_only));
    return {};
}

/// Nothing comes any more; what came stays as it is.
Result<> ReverseReceiver::close() {
    Replica ended;
    {
        const std::lock_guard lock(mutex_);
        ended.swap(replica_);
    }
    TRY_VOID(events_.want_listener(job_, false));
    if (!ended) return {};
    ended.reset();
    TRY(const auto marker, parts_.fences.of_job(job_));
    return marker && marker->is_held() ? set_read_only(*marker, true) : Result<>();
}

// ---- one image or the other ----

Result<> ReverseReceiver::settle(const FenceToken& token, Settle how) {
    TRY(auto marker, parts_.fences.find(token));
    if (!marker || marker->state == FenceState::releasing) return {};
    const bool is_kept = marker->reverse == ReverseState::kept;
    const bool has_journal = marker->reverse == ReverseState::begun;
    if (how == Settle::keep && !is_kept && !has_journal)
        return refused(Errc::conflict, "reverse_not_done",
                       "nothing that the target's users wrote has come to this host",
                       "retry the way back, or abandon it with the loss acknowledged");
    if (marker->state == FenceState::fenced && how == Settle::undo && is_kept) return kept();
    if (marker->state == FenceState::fenced) return record_ ? remove() : Result<>();
    // Without a journal nothing was written yet.
    if (!has_journal) return end(std::move(*marker), false);
    if (how == Settle::keep) TRY_VOID(check_untouched(*marker));
    if (!record_) {
        TRY(record_, load_replicate(directory_));
    }
    if (!record_)
        return replicator::first_point_lost("the job's record in " + directory_.native() +
                                            " is gone");
    Replica opened = replica();
    if (opened) TRY_VOID(set_read_only(*marker, false));  // a guard that came back set it
    if (!opened) {
        TRY(opened, open(*marker));
    }
    // An earlier settle(keep) may have come so far that there is no way back from it.
    const bool keeps = how == Settle::keep || opened->progress().promoted;
    if (keeps) TRY_VOID(opened->promote());
    if (!keeps && !DROVER_MUTANT("abandon_keeps_bytes")) TRY_VOID(opened->restore_point(0));
    parts_.step("reverse.settled");
    opened.reset();
    TRY_VOID(end(std::move(*marker), keeps));
    return keeps && how == Settle::undo ? kept() : Result<>();
}

/// The disks are whole and durable: from here on every completion is another's again.
Result<> ReverseReceiver::end(FenceMarker marker, bool keeps) {
    TRY_VOID(close());
    TRY_VOID(set_read_only(marker, true));
    parts_.step("reverse.read_only");
    TRY(marker.write_marks, fencer_.write_marks(marker.work().disks));
    marker.host.boot_id = parts_.fences.host().boot_id;
    marker.state = FenceState::fenced;
    marker.reverse = keeps ? ReverseState::kept : ReverseState::none;
    TRY_VOID(parts_.fences.store(marker));
    parts_.step("reverse.fenced");
    return remove();
}

Result<> ReverseReceiver::remove() {
    TRY_VOID(close());
    record_.reset();
    const std::filesystem::path& journals = parts_.config.journal_directory;
    if (!journals.empty())
        TRY_VOID(remove_file_durably(
            replicator::journal_path(journals, job_, replicator::JournalDuty::first_point)));
    return remove_job_directory(directory_);
}

}  // namespace drover::agent
