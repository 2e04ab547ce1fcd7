#include "agent/executor.h"

#include "agent/world.h"
#include "base/log.h"
#include "base/mutation.h"
#include "schemas/codec.h"

namespace drover::agent {
namespace {

/// Observations wait for nothing, so they do not queue behind a job's long steps.
constexpr const char* observations_lane = "observations";

std::string lane_of(const JobId& job, Side side) {
    return job.hex() + "-" + std::string(name_of(side));
}

Error mismatch(const EffectId& id) {
    return Error(Errc::denied, "effect_digest_mismatch",
                 "effect " + effect_text(id) + " came with other contents than before",
                 "nothing was executed again; the first outcome stands",
                 "two orchestrators, or a rewritten log: look at droverd before going on");
}

Error stale(const EffectId& id) {
    return Error(
        Errc::denied, "stale_effect",
        "effect " + effect_text(id) + " is older than what this agent did last for the job",
        "nothing was changed", "nothing has to be done; the newer effect counts");
}

/// A job's name is free again after its commit, which leaves its fence standing.
Error ambiguous(const std::string& job_name, const std::vector<FenceMarker>& markers) {
    std::string tokens;
    for (const FenceMarker& marker : markers)
        tokens += (tokens.empty() ? "" : ", ") + marker.work().token.hex();
    return Error(Errc::conflict, "fence_ambiguous",
                 std::to_string(markers.size()) + " fences of jobs named " + job_name +
                     " stand on this host: " + tokens,
                 "all of them",
                 "name the one to break with --token; drover-agent status shows them");
}

/// What waits for its peer and leaves nothing half-done on this host gives way to a newer step. To
/// a standing effect only a comparison during the hold does: it lasts for hours, and nothing of the
/// hold waits for it.
bool gives_way(EffectKind older, EffectKind newer) {
    if (is_standing(newer)) return older == EffectKind::compare;
    return !is_ownership(older) || older == EffectKind::reverse_drain;
}

/// Every failure that a person will read says what is safe and what to do.
Error explained(const Error& error) {
    return Error(
        error.code(), error.id(), error.detail(),
        error.kept().empty() ? "the data on both sides; the step was not completed" : error.kept(),
        error.next().empty() ? "correct the cause, then retry the step" : error.next());
}

}  // namespace

Executor::Executor(const AgentParts& parts, ReplicaFactory& replicas, PeerNetwork& peers,
                   Workers& workers, Random& random, ExecutorOutput& output)
    : parts_(parts),
      replicas_(replicas),
      peers_(peers),
      workers_(workers),
      random_(random),
      output_(output) {}

void Executor::check(const Result<>& journalled) {
    if (!journalled) output_.failed(journalled.error());
}

std::shared_ptr<SourceJob> Executor::source_job(const JobId& id) {
    const std::lock_guard lock(mutex_);
    auto& found = sources_[id];
    JobEvents& events = *this;
    if (!found) found = std::make_shared<SourceJob>(id, parts_, replicas_, peers_, events);
    return found;
}

std::shared_ptr<TargetJob> Executor::target_job(const JobId& id) {
    const std::lock_guard lock(mutex_);
    auto& found = targets_[id];
    JobEvents& events = *this;
    if (!found) found = std::make_shared<TargetJob>(id, parts_, replicas_, peers_, events);
    return found;
}

std::shared_ptr<SideJob> Executor::job(const JobId& id, Side side) {
    if (side == Side::source) return source_job(id);
    return target_job(id);
}

std::shared_ptr<replicator::PeerServer> Executor::find_target(const Ticket& ticket) {
    std::shared_ptr<TargetJob> found;
    std::shared_ptr<SourceJob> way_back;
    {
        const std::lock_guard lock(mutex_);
        const auto target = targets_.find(ticket.job);
        if (target != targets_.end()) found = target->second;
        const auto source = sources_.find(ticket.job);
        if (source != sources_.end()) way_back = source->second;
    }
    std::shared_ptr<replicator::PeerServer> server = found ? found->server() : nullptr;
    if (!server && way_back) server = way_back->reverse_replica();
    return server;
}

Result<> Executor::start() {
    TRY(const auto remembered, list_jobs(parts_.paths));
    std::set<JobSide> jobs;
    for (const JobDirectory& known : remembered) jobs.emplace(known.job, known.side);
    TRY(const auto fences, parts_.fences.own());
    for (const FenceMarker& marker : fences) jobs.emplace(marker.effect.id.job, Side::source);
    TRY(const auto foreign, parts_.fences.foreign());
    for (const FenceMarker& marker : foreign)
        log::warn("fence", "a marker of another host is ignored",
                  "job=" + marker.effect.job_name + " host=" + marker.host.id);
    {
        const std::lock_guard lock(mutex_);
        unsecured_ = jobs;
    }
    for (const JobSide& key : jobs) {
        workers_.post(lane_of(key.first, key.second),
                      [this, key, opened = job(key.first, key.second)] {
                          secure(key, *opened);
                          auto started = opened->start();
                          if (!started)
                              log::error("agent", started.error().text(), "job=" + key.first.hex());
                      });
    }
    // On a source an interrupted step is settled at once: either the fence is complete, or service
    // comes back. An interrupted Activate waits until it is asked for again: meanwhile the
    // orchestrator may have given the source back.
    for (const JournalEntry& entry : parts_.journal.unfinished())
        if (is_ownership(entry.effect.id.kind) && entry.effect.id.side == Side::source)
            run(entry.effect, true);
    return {};
}

/// A fence that cannot be had has said so; it must not keep the whole host from starting.
void Executor::secure(const JobSide& key, SideJob& side_job) {
    auto done = side_job.secure();
    if (!done) log::error("fence", done.error().text(), "job=" + key.first.hex());
    {
        const std::lock_guard lock(mutex_);
        unsecured_.erase(key);
    }
    secured_.notify_all();
}

std::vector<JobId> Executor::wait_for_fences(std::int64_t limit_ms) {
    std::unique_lock lock(mutex_);
    secured_.wait_for(lock, limit_ms, [this] { return unsecured_.empty(); });
    std::vector<JobId> left;
    for (const JobSide& key : unsecured_) left.push_back(key.first);
    return left;
}

// ---- effects in ----

Result<> Executor::acceptable(const Effect& effect) const {
    const EffectId& id = effect.id;
    const bool has_role =
        id.side == Side::source ? parts_.config.is_source : parts_.config.is_target;
    if (!has_role)
        return Error(Errc::unsupported, "role_missing",
                     "this agent is not configured as a " + std::string(name_of(id.side)),
                     "nothing was changed", "add the role to agent.toml, or name another agent");
    if (id.seq <= parts_.journal.closed_seq(id.job, id.side)) return stale(id);
    if (is_ownership(id.kind) && id.seq < parts_.journal.ownership_seq(id.job, id.side))
        return stale(id);
    return {};
}

void Executor::wanted(const EffectWanted& wanted) {
    const Effect& effect = wanted.effect;
    if (effect_digest(effect) != wanted.digest) return refuse(effect.id, mismatch(effect.id));
    const auto entry = parts_.journal.find(effect.id);
    if (entry && !DROVER_MUTANT("effect_run_again")) {
        if (entry->digest != wanted.digest) return refuse(effect.id, mismatch(effect.id));
        return wanted_again(*entry);
    }
    auto accepted = acceptable(effect);
    if (!accepted) return refuse(effect.id, accepted.error());
    if (is_standing(effect.id.kind)) return wanted_standing(effect);
    auto journalled = parts_.journal.start(effect, wanted.digest);
    if (!journalled) return check(journalled);
    output_.taken(effect.id);
    cancel_superseded(effect.id);
    run(effect, false);
}

void Executor::wanted_standing(const Effect& effect) {
    const auto* copy = std::get_if<ReplicateWork>(&effect.work);
    if (copy != nullptr && copy->mode != ReplicateMode::compare) cancel_superseded(effect.id);
    workers_.post(lane_of(effect.id.job, effect.id.side),
                  [this, effect, target = job(effect.id.job, effect.id.side)] {
                      auto standing = target->want(effect);
                      if (!standing) return refuse(effect.id, standing.error());
                      output_.taken(effect.id);
                  });
}

/// The same effect once more: answered from the journal where that is the truth.
void Executor::wanted_again(const JournalEntry& entry) {
    const EffectId& id = entry.effect.id;
    output_.taken(id);
    if (!entry.report) {
        const std::lock_guard lock(mutex_);
        if (running_.contains(id)) return;
    }
    if (!entry.report) return run(entry.effect, true);
    const bool failed = std::holds_alternative<StepFailed>(entry.report->body);
    // Both can be repeated from any point, and the world may have changed: a target that comes back
    // after its stop was confirmed has to be stopped again, by its hook.
    const bool repeatable = id.kind == EffectKind::deactivate || id.kind == EffectKind::release;
    if (failed && repeatable) return run(entry.effect, true);
    if (failed && is_ownership(id.kind)) return probe(entry);
    output_.report(*entry.report);
}

/// A newer step does not wait behind an older one that waits for the peer: the older one can only
/// matter to a state that the orchestrator has left.
void Executor::cancel_superseded(const EffectId& effect) {
    bool older_runs = false;
    {
        const std::lock_guard lock(mutex_);
        for (const EffectId& id : running_)
            older_runs = older_runs || (id.job == effect.job && id.side == effect.side &&
                                        id.seq < effect.seq && gives_way(id.kind, effect.kind));
    }
    if (older_runs) job(effect.job, effect.side)->cancel(effect.seq);
}

void Executor::run(const Effect& effect, bool recovered) {
    {
        const std::lock_guard lock(mutex_);
        running_.insert(effect.id);
    }
    workers_.post(lane_of(effect.id.job, effect.id.side),
                  [this, effect, recovered, target = job(effect.id.job, effect.id.side)] {
                      finish(effect, target->run(effect, recovered));
                  });
}

void Executor::finish(const Effect& effect, Result<ReportBody> outcome) {
    // Cut short by our own end: the outcome is unknown, and the next process finds that out.
    if (!outcome && outcome.error().code() == Errc::cancelled && stopping_) return;
    Report report;
    report.report_id = random_.uuid();
    report.effect = effect.id;
    report.body =
        outcome ? std::move(*outcome) : ReportBody(StepFailed{explained(outcome.error())});
    if (!outcome) log::warn("agent", outcome.error().text(), "effect=" + effect_text(effect.id));
    auto journalled =
        DROVER_MUTANT("outcome_not_journalled") ? Result<>() : parts_.journal.finish(report);
    if (journalled && outcome && effect.id.kind == EffectKind::cleanup)
        journalled = parts_.journal.close(effect.id.job, effect.id.side, effect.id.seq);
    {
        const std::lock_guard lock(mutex_);
        running_.erase(effect.id);
    }
    if (!journalled) return check(journalled);
    output_.report(report);
}

/// A failure was reported, but the world may have come further since, for example by a crash
/// recovery.
void Executor::probe(const JournalEntry& entry) {
    const EffectId id = entry.effect.id;
    workers_.post(lane_of(id.job, id.side), [this, entry, target = job(id.job, id.side)] {
        auto found = target->probe(entry.effect);
        if (found && *found) return finish(entry.effect, std::move(**found));
        if (!found)
            log::warn("agent", found.error().text(), "probe=" + effect_text(entry.effect.id));
        output_.report(*entry.report);
    });
}

void Executor::refuse(const EffectId& effect, const Error& error) {
    log::error("agent", error.text(), "effect=" + effect_text(effect));
    const Report report{random_.uuid(), effect, StepFailed{explained(error)}};
    auto journalled = parts_.journal.observe(report);
    if (!journalled) return check(journalled);
    output_.report(report);
}

void Executor::withdrawn(const EffectWithdrawn& withdrawn) {
    const EffectId& id = withdrawn.id;
    if (!is_standing(id.kind)) return;  // one-shots run to their end
    // What it does may be what the lane is waiting for.
    job(id.job, id.side)->withdrawing(id);
    workers_.post(lane_of(id.job, id.side), [id, target = job(id.job, id.side)] {
        auto done = target->withdraw(id);
        if (!done) log::error("agent", done.error().text(), "effect=" + effect_text(id));
    });
}

void Executor::acknowledged(const Uuid& report_id) {
    check(parts_.journal.acknowledge(report_id));
}

Result<WorldFound> Executor::world() const {
    return find_world(parts_);
}

void Executor::tick() {
    std::map<JobSide, std::shared_ptr<SideJob>> due;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [id, source] : sources_) due.emplace(JobSide{id, Side::source}, source);
        for (const auto& [id, target] : targets_) due.emplace(JobSide{id, Side::target}, target);
        // One that is still waiting for its lane is not queued twice.
        std::erase_if(due, [&](const auto& entry) { return !ticking_.insert(entry.first).second; });
    }
    for (const auto& [key, side_job] : due) {
        workers_.post(lane_of(key.first, key.second), [this, key = key, side_job = side_job] {
            side_job->tick();
            const std::lock_guard lock(mutex_);
            ticking_.erase(key);
        });
    }
}

void Executor::stop() {
    stopping_ = true;
    std::vector<std::shared_ptr<SideJob>> jobs;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [id, source] : sources_) jobs.push_back(source);
        for (const auto& [id, target] : targets_) jobs.push_back(target);
    }
    for (const auto& side_job : jobs) side_job->cancel(UINT64_MAX);
    peers_.stop_listening();
}

// ---- what jobs say by themselves ----

void Executor::observed(const EffectId& effect, ReportBody body) {
    // What ends the trust in a fence is durable before the caller goes on: it may open the disks.
    const bool breaks_trust = std::holds_alternative<FenceBreach>(body) ||
                              std::holds_alternative<FenceBrokenByRoot>(body);
    if (breaks_trust) return journal_observation(effect, std::move(body));
    workers_.post(observations_lane,
                  [this, effect, body = std::move(body)] { journal_observation(effect, body); });
}

void Executor::journal_observation(const EffectId& effect, ReportBody body) {
    Report report;
    report.report_id = random_.uuid();
    report.effect = effect;
    report.body = std::move(body);
    if (auto* failed = std::get_if<StepFailed>(&report.body))
        failed->error = explained(failed->error);
    auto journalled = parts_.journal.observe(report);
    if (!journalled) return check(journalled);
    output_.report(report);
}

void Executor::progress(Progress progress) {
    output_.progress(progress);
}

Result<> Executor::want_listener(const JobId& job, bool wanted) {
    // Deciding and doing are one step: two lanes must not overtake each other in between.
    const std::lock_guard listening(listener_mutex_);
    bool any = false;
    {
        const std::lock_guard lock(mutex_);
        if (wanted)
            listening_.insert(job);
        else
            listening_.erase(job);
        any = !listening_.empty();
    }
    if (any) return peers_.listen([this](const Ticket& ticket) { return find_target(ticket); });
    peers_.stop_listening();
    return {};
}

// ---- local root ----

void Executor::break_fence(const FenceOrder& order, Done done) {
    auto markers = parts_.fences.own();
    if (!markers) return done(markers.error());
    std::erase_if(*markers, [&](const FenceMarker& marker) {
        const bool other_token = order.token && marker.work().token != *order.token;
        return marker.effect.job_name != order.job_name || other_token;
    });
    if (markers->empty())
        return done(Error(Errc::not_found, "not_fenced",
                          "no such fence of job " + order.job_name + " stands on this host",
                          "nothing was changed", "look at drover-agent status"));
    if (markers->size() > 1) return done(ambiguous(order.job_name, *markers));
    const JobId id = markers->front().effect.id.job;
    const FenceToken token = markers->front().work().token;
    workers_.post(lane_of(id, Side::source), [source = source_job(id), token, by = order.by, done] {
        done(source->break_fence(token, by));
    });
}

void Executor::remove_fence(const FenceToken& token, Done done) {
    auto marker = parts_.fences.find(token);
    if (!marker) return done(marker.error());
    if (!*marker)
        return done(Error(Errc::not_found, "not_fenced",
                          "no fence with this token stands on this host", "nothing was changed",
                          "look at drover-agent status"));
    const JobId id = (*marker)->effect.id.job;
    workers_.post(lane_of(id, Side::source),
                  [source = source_job(id), token, done] { done(source->remove_fence(token)); });
}

Result<JobId> Executor::replicating(const std::string& name, Side side,
                                    std::string_view missing) const {
    TRY(const auto jobs, list_jobs(parts_.paths));
    for (const JobDirectory& known : jobs) {
        if (known.side != side) continue;
        TRY(const auto record, load_replicate(parts_.paths.job(known.job, side)));
        if (record && record->wanted && record->effect.job_name == name) return known.job;
    }
    return Error(Errc::not_found, std::string(missing),
                 "this host is the " + std::string(name_of(side)) + " of no job " + name,
                 "nothing was changed", "look at drover-agent status");
}

void Executor::restore_point(const PointOrder& order, Done done) {
    const auto job = replicating(order.job_name, Side::target, "no_such_target");
    if (!job) return done(job.error());
    workers_.post(lane_of(*job, Side::target), [target = target_job(*job), order, done] {
        done(target->restore_point(order.point, order.by));
    });
}

void Executor::seal_point(const std::string& job_name, Sealed sealed) {
    const auto job = replicating(job_name, Side::source, "no_such_source");
    if (!job) return sealed(job.error());
    workers_.post(lane_of(*job, Side::source),
                  [source = source_job(*job), sealed] { sealed(source->seal_point()); });
}

}  // namespace drover::agent
