#include "orchestrator/engine.h"

#include "base/assert.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mutation.h"
#include "orchestrator/engine_batch.h"
#include "statemachine/codec.h"
#include "statemachine/evolve.h"
#include "statemachine/outstanding.h"
#include "statemachine/state_digest.h"

#include <algorithm>
#include <utility>

namespace drover::orchestrator {

namespace {

/// More than any one command makes; a bound so that a batch always fits an append.
constexpr std::size_t events_per_command_max = 64;
/// With the state digest that may follow them.
constexpr std::size_t appended_per_command_max = events_per_command_max + 1;

constexpr const char* nothing_changed = "nothing was changed";

Error volume_full_error() {
    return Error(Errc::unavailable, "log_volume_full",
                 "the volume of the event log has too little free space to take commands",
                 "running replications go on; everything acknowledged is safe",
                 "free space on the log's volume; droverd resumes by itself");
}

Error not_found_error(const JobRef& ref) {
    const auto* name = std::get_if<std::string>(&ref);
    const std::string shown = name ? printable(*name, 63) : uuid_text(std::get<JobId>(ref));
    return Error(Errc::not_found, "job_not_found", "there is no job " + shown, nothing_changed,
                 "list the jobs with `drover job list`");
}

Error conflict_error() {
    return Error(Errc::conflict, "idempotency_conflict",
                 "this command id was used for another request", nothing_changed,
                 "use a new id for a new request");
}

/// The event that led to this command: what its effect was derived from.
eventlog::Seq cause_of(const statemachine::Wish& wish) {
    if (const auto* report = std::get_if<statemachine::ReportReceived>(&wish)) {
        return report->report.effect.seq;
    }
    if (const auto* timer = std::get_if<statemachine::TimerElapsed>(&wish))
        return timer->effect.seq;
    return 0;
}

bool is_from_person(const statemachine::Command& command) {
    return command.actor.starts_with("operator:");
}

Result<std::vector<eventlog::NewEvent>> encode_events(
    const std::vector<statemachine::Event>& events, const statemachine::Command& command) {
    if (events.size() > events_per_command_max) {
        return Error(Errc::invalid, "event_too_large", "one command made too many events",
                     nothing_changed);
    }
    std::vector<eventlog::NewEvent> encoded;
    for (const statemachine::Event& event : events) {
        eventlog::NewEvent out;
        out.kind = static_cast<std::uint16_t>(kind_of(event));
        out.command_id = command.command_id;
        out.actor = command.actor;
        out.cause = cause_of(command.wish);
        out.payload = statemachine::encode_event(event);
        if (out.payload.size() > eventlog::payload_bytes_max) {
            return Error(Errc::invalid, "event_too_large",
                         "the fact would take " + std::to_string(out.payload.size()) + " bytes",
                         nothing_changed, "shorten the texts of the request");
        }
        encoded.push_back(std::move(out));
    }
    return encoded;
}

/// Applies `events` to a scratch copy as they will stand in the log, except for their hashes, which
/// only the log knows: no command of the same batch can name an effect that they cause.
Result<> evolve_scratch(statemachine::Job& job, const std::vector<statemachine::Event>& events,
                        eventlog::Seq first_seq, WallMicros wall_micros) {
    for (std::size_t i = 0; i < events.size(); ++i) {
        TRY_VOID(statemachine::evolve(job, events[i], {first_seq + i, Hash{}, wall_micros}));
    }
    return {};
}

/// Of the state that the last `added` events led to, if one of them is a digest_every-th.
std::optional<StateDigest> digest_due(const statemachine::Job& job, std::size_t added) {
    constexpr std::uint32_t every = statemachine::digest_every;
    if (job.version / every == (job.version - added) / every) return std::nullopt;
    const auto digest = statemachine::state_digest(job, statemachine::digest_version);
    DROVER_ASSERT(digest.has_value());
    return StateDigest{job.id, job.version, statemachine::digest_version, *digest};
}

/// Holds its disks: not at its end, or its clean-up is not done, or only withheld for now.
bool holds_disks(const statemachine::Job& job) {
    const bool is_withheld = job.reconciling || job.quarantined;
    return job.exists && (!statemachine::is_final(job.phase) || is_withheld ||
                          !statemachine::outstanding(job).empty());
}

/// The disk that both jobs want, or an empty string.
std::string shared_disk(const JobSpec& one, const JobSpec& other) {
    const auto uses = [&other](const std::string& agent, const std::string& path) {
        return std::any_of(other.disks.begin(), other.disks.end(), [&](const DiskPair& disk) {
            return (other.source_agent == agent && disk.source == path) ||
                   (other.target_agent == agent && disk.target == path);
        });
    };
    for (const DiskPair& disk : one.disks) {
        if (uses(one.source_agent, disk.source)) return one.source_agent + ":" + disk.source;
        if (uses(one.target_agent, disk.target)) return one.target_agent + ":" + disk.target;
    }
    return {};
}

Result<> check_shares_no_disk(const JobSpec& spec, const statemachine::Job& other) {
    const std::string disk = shared_disk(spec, other.spec);
    if (disk.empty()) return {};
    return Error(Errc::conflict, "disk_in_other_job",
                 "disk " + printable(disk, 200) + " belongs to job " + other.spec.name,
                 nothing_changed, "end that job first, or leave the disk out");
}

Result<> check_legal(const JobEntry& entry) {
    if (!entry.illegal) return {};
    return Error(Errc::conflict, "job_history_not_legal", entry.illegal->detail(),
                 entry.illegal->kept(), entry.illegal->next());
}

Result<> check_version(const JobCommand& wanted, const statemachine::Job& job) {
    if (!wanted.expected_version || *wanted.expected_version == job.version) return {};
    return Error(Errc::conflict, "version_mismatch",
                 "the job is at version " + std::to_string(job.version), nothing_changed,
                 "read the job again and decide anew");
}

/// Whether `wish` may be decided otherwise because of `fact`.
bool may_matter(const SystemFact& fact, const RegistryWish& wish) {
    // How many tokens there may be depends on all of them.
    if (std::holds_alternative<CreateToken>(wish)) return true;
    const auto* enrol = std::get_if<Enrol>(&wish);
    const std::string& agent =
        enrol != nullptr ? enrol->agent : std::get<Describe>(wish).description.agent;
    const auto has_to_do_with = [&](const std::string& of, const Hash& token) {
        return of == agent || (enrol != nullptr && enrol->token_hash == token);
    };
    if (const auto* token = std::get_if<AgentTokenCreated>(&fact))
        return has_to_do_with(token->agent, token->token_hash);
    if (const auto* enrolled = std::get_if<AgentEnrolled>(&fact))
        return has_to_do_with(enrolled->agent, enrolled->token_hash);
    const auto* described = std::get_if<AgentDescribed>(&fact);
    return described != nullptr && described->agent == agent;
}

}  // namespace

Engine::Engine(eventlog::EventLog& log, Random& random, State state, eventlog::Epoch epoch,
               const EngineOptions& options)
    : log_(log),
      random_(random),
      state_(std::move(state)),
      epoch_(epoch),
      options_(options) {}

bool Engine::volume_full() const {
    return log_.free_bytes() < options_.reserve_bytes;
}

void Engine::submit(Submission submission, Completion completion) {
    if (queue_.size() >= commands_queued_max) {
        completion(Error(Errc::unavailable, "queue_full", "too many commands wait to be decided",
                         nothing_changed, "try again in a moment"));
        return;
    }
    const bool was_empty = queue_.empty();
    queue_.push_back({std::move(submission), std::move(completion)});
    if (was_empty && wake_) wake_();
}

Result<> Engine::step(WallMicros now) {
    if (queue_.empty()) return {};
    Batch batch;
    batch.now = now;
    batch.record_wall = std::max(now, log_.head().wall_micros);
    batch.volume_full = volume_full();
    batch.next_seq = log_.head().seq + 1;
    std::size_t taken = 0;
    while (!queue_.empty() && taken++ < commands_per_step_max &&
           batch.events + appended_per_command_max <= eventlog::events_per_append_max) {
        Pending pending = std::move(queue_.front());
        queue_.pop_front();
        ++counters_.commands;
        auto outcome = decide_one(batch, pending.submission);
        batch.outcomes.emplace_back(std::move(pending.completion), std::move(outcome));
    }
    const bool answers_early = DROVER_MUTANT("answer_before_append");
    if (!answers_early) TRY_VOID(commit(batch));
    for (auto& [completion, outcome] : batch.outcomes) completion(outcome);
    DROVER_CRASH_POINT("engine.answered");
    if (answers_early) TRY_VOID(commit(batch));
    return {};
}

Result<Answer> Engine::decide_one(Batch& batch, const Submission& submission) {
    const auto* wanted = std::get_if<JobCommand>(&submission.command);
    const Uuid& id = wanted ? wanted->command.command_id
                            : std::get<RegistryCommand>(submission.command).command_id;
    if (!submission.request_digest.is_zero() && !DROVER_MUTANT("repeat_applied_again")) {
        TRY(auto known, recorded(batch, id, submission.request_digest));
        if (known) {
            ++counters_.repeats;
            return *known;
        }
    }
    if (batch.volume_full) return volume_full_error();
    if (wanted) return decide_job(batch, *wanted, submission.request_digest);
    return decide_registry(batch, std::get<RegistryCommand>(submission.command),
                           submission.request_digest);
}

Result<std::optional<Answer>> Engine::recorded(const Batch& batch, const Uuid& id,
                                               const Hash& digest) {
    if (const auto found = batch.answered.find(id); found != batch.answered.end()) {
        if (found->second.first != digest) return conflict_error();
        return std::optional<Answer>(found->second.second);
    }
    TRY(auto stored, log_.find_answer(id));
    if (!stored) return std::optional<Answer>{};
    if (stored->request_digest != digest) return conflict_error();
    TRY(auto answer, decode_answer(stored->answer));
    return std::optional<Answer>(std::move(answer));
}

Result<JobId> Engine::resolve(const Batch& batch, const JobCommand& wanted) const {
    if (const auto* plan = std::get_if<statemachine::Plan>(&wanted.command.wish)) {
        return resolve_plan(batch, *plan);
    }
    if (const auto* id = std::get_if<JobId>(&wanted.job)) {
        if (batch.jobs.contains(*id) || state_.find(*id)) return *id;
        return not_found_error(wanted.job);
    }
    const std::string& name = std::get<std::string>(wanted.job);
    if (const auto planned = batch.names.find(name); planned != batch.names.end()) {
        return planned->second;
    }
    if (const JobEntry* entry = state_.find(name)) return entry->job.id;
    return not_found_error(wanted.job);
}

/// A name may be used again, and a disk may join another job, once the job that had it is over.
Result<JobId> Engine::resolve_plan(const Batch& batch, const statemachine::Plan& plan) const {
    const auto check = [&plan](const statemachine::Job& job) -> Result<> {
        if (!holds_disks(job)) return {};
        if (job.spec.name == plan.spec.name) {
            return Error(Errc::conflict, "job_name_taken",
                         "a job named " + job.spec.name + " exists and is not over",
                         nothing_changed, "choose another name, or end that job first");
        }
        return check_shares_no_disk(plan.spec, job);
    };
    const auto check_known = [&](const JobId& id) -> Result<> {
        return batch.jobs.contains(id) ? Result<>() : check(state_.jobs.at(id).job);
    };
    const auto named = state_.names.find(plan.spec.name);
    if (named != state_.names.end()) TRY_VOID(check_known(named->second));
    for (const std::string& agent : {plan.spec.source_agent, plan.spec.target_agent})
        for (const JobId& id : state_.jobs_with(agent)) TRY_VOID(check_known(id));
    for (const auto& [id, job] : batch.jobs) TRY_VOID(check(job));
    return random_.uuid();
}

/// Data of a job that is over is deleted only while its target disks are no other job's.
Result<> Engine::check_deletable(const Batch& batch, const statemachine::Job& job) const {
    JobSpec targets = job.spec;
    for (DiskPair& disk : targets.disks) disk.source.clear();
    const auto check = [&](const statemachine::Job& other) -> Result<> {
        if (other.id == job.id || !holds_disks(other)) return {};
        return check_shares_no_disk(targets, other);
    };
    for (const JobId& id : state_.jobs_with(targets.target_agent)) {
        if (!batch.jobs.contains(id)) TRY_VOID(check(state_.jobs.at(id).job));
    }
    for (const auto& [id, other] : batch.jobs) TRY_VOID(check(other));
    return {};
}

Result<Answer> Engine::decide_job(Batch& batch, const JobCommand& wanted, const Hash& digest) {
    TRY(const JobId id, resolve(batch, wanted));
    const JobEntry* entry = state_.find(id);
    if (entry) TRY_VOID(check_legal(*entry));
    statemachine::Job job;
    if (const auto scratch = batch.jobs.find(id); scratch != batch.jobs.end()) {
        job = scratch->second;
    } else if (entry) {
        job = entry->job;
    } else {
        job.id = id;
        job.lineage = state_.lineage;
    }
    TRY_VOID(check_version(wanted, job));
    if (std::holds_alternative<statemachine::DeleteData>(wanted.command.wish)) {
        TRY_VOID(check_deletable(batch, job));
    }
    const statemachine::DecideContext context{batch.now, random_.uuid()};
    auto decision = statemachine::decide(job, wanted.command, context);
    Answer answer;
    answer.job = id;
    std::vector<statemachine::Event> events;
    if (auto* rejected = std::get_if<statemachine::Rejected>(&decision)) {
        ++counters_.rejections;
        events = rejection_events(job, wanted.command, *rejected, batch.now);
        answer.rejected = std::move(*rejected);
    } else {
        events = std::move(std::get<statemachine::Accepted>(decision).events);
    }
    if (events.empty()) return answer;

    TRY(auto encoded, encode_events(events, wanted.command));
    if (const auto evolved = evolve_scratch(job, events, batch.next_seq, batch.record_wall);
        !evolved) {
        log::error("engine", "a decision was not legal; nothing of it is written",
                   "job=" + uuid_text(id) + " error=" + evolved.error().text());
        return evolved.error();
    }
    const auto state = digest_due(job, events.size());
    if (!job.spec.name.empty()) batch.names[job.spec.name] = id;
    batch.jobs[id] = std::move(job);
    batch.append(log_, {eventlog::StreamKind::job, id}, std::move(encoded),
                 wanted.command.command_id, digest, answer);
    if (state) batch.append_digest(log_, *state, wanted.command.command_id);
    return answer;
}

/// What `wish` is decided on: what stands, with what the batch has already decided.
const Registry& Engine::registry_for(Batch& batch, const RegistryWish& wish) const {
    const bool matters =
        std::any_of(batch.registry_facts.begin(), batch.registry_facts.end(),
                    [&](const SystemFact& fact) { return may_matter(fact, wish); });
    if (!matters) return state_.registry;
    if (!batch.registry) {
        batch.registry = state_.registry;
        for (const SystemFact& fact : batch.registry_facts)
            evolve(*batch.registry, fact, batch.record_wall);
    }
    return *batch.registry;
}

Result<Answer> Engine::decide_registry(Batch& batch, const RegistryCommand& wanted,
                                       const Hash& digest) {
    TRY(auto facts, decide(registry_for(batch, wanted.wish), wanted.wish, wanted.actor, batch.now));
    Answer answer;
    if (facts.empty()) return answer;
    DROVER_ASSERT(facts.size() == 1);
    const SystemFact& fact = facts.front();
    eventlog::NewEvent event = new_event(fact);
    event.command_id = wanted.command_id;
    event.actor = wanted.actor;
    if (event.payload.size() > eventlog::payload_bytes_max) {
        return Error(Errc::invalid, "event_too_large", "the fact is too large", nothing_changed);
    }
    batch.registry_facts.push_back(fact);
    if (batch.registry) evolve(*batch.registry, fact, batch.record_wall);
    batch.append(log_, stream_of(fact), {std::move(event)}, wanted.command_id, digest, answer);
    return answer;
}

std::vector<statemachine::Event> Engine::rejection_events(const statemachine::Job& job,
                                                          const statemachine::Command& command,
                                                          const statemachine::Rejected& rejected,
                                                          WallMicros now) {
    if (!job.exists || !is_from_person(command)) return {};
    RejectionWindow& window = rejections_[job.id];
    if (window.count == 0 || now < window.start_micros ||
        now - window.start_micros >= rejections_window_micros) {
        window = {now, 0};
    }
    if (window.count >= rejections_logged_max) return {};
    ++window.count;
    return {statemachine::CommandRejected{.by = command.actor,
                                          .action = std::string(action_of(command.wish)),
                                          .id = rejected.id,
                                          .detail = rejected.detail}};
}

Result<> Engine::commit(Batch& batch) {
    if (batch.appends.empty()) return {};
    DROVER_CRASH_POINT("engine.before_append");
    auto result = log_.append(batch.appends, epoch_, batch.now);
    DROVER_CRASH_POINT("engine.appended");
    if (result.outcome == eventlog::AppendOutcome::indeterminate &&
        DROVER_MUTANT("unclear_append_ignored"))
        result.outcome = eventlog::AppendOutcome::invalid;
    switch (result.outcome) {
        case eventlog::AppendOutcome::ok:
            break;
        case eventlog::AppendOutcome::invalid:
            // Nothing was written and the log is well: the callers are refused, the process goes
            // on.
            for (auto& [completion, outcome] : batch.outcomes) outcome = result.error;
            return {};
        case eventlog::AppendOutcome::conflict:       // somebody else wrote to our log
        case eventlog::AppendOutcome::fenced:         // a later orchestrator owns it
        case eventlog::AppendOutcome::indeterminate:  // only a new start can tell
            return result.error;
    }
    DROVER_ASSERT(result.records.size() == batch.events);
    ++counters_.appends;
    for (const eventlog::Record& record : result.records) TRY_VOID(publish(record));
    DROVER_CRASH_POINT("engine.published");
    return {};
}

Result<> Engine::publish(const eventlog::Record& record) {
    TRY(auto fact, decode_record_fact(record));
    apply(state_, record, fact);
    ++counters_.events;
    for (const Subscriber& subscriber : subscribers_) subscriber(record, fact);
    return {};
}

Result<> Engine::state_fact(const SystemFact& fact, WallMicros now) {
    eventlog::Append append;
    append.stream = stream_of(fact);
    append.expected_stream_seq = log_.stream_head(append.stream).seq;
    eventlog::NewEvent event = new_event(fact);
    event.actor = "system";
    append.events.push_back(std::move(event));
    DROVER_CRASH_POINT("engine.before_own_fact");
    const auto result = log_.append({&append, 1}, epoch_, now);
    DROVER_CRASH_POINT("engine.own_fact_appended");
    if (result.outcome != eventlog::AppendOutcome::ok) return result.error;
    for (const eventlog::Record& record : result.records) TRY_VOID(publish(record));
    return {};
}

Result<statemachine::Decision> Engine::dry_run(const JobCommand& command, WallMicros now) {
    const Batch empty;
    TRY(const JobId id, resolve(empty, command));
    statemachine::Job job;
    job.id = id;
    job.lineage = state_.lineage;
    if (const JobEntry* entry = state_.find(id)) {
        TRY_VOID(check_legal(*entry));
        job = entry->job;
    }
    TRY_VOID(check_version(command, job));
    if (std::holds_alternative<statemachine::DeleteData>(command.command.wish)) {
        TRY_VOID(check_deletable(empty, job));
    }
    return statemachine::decide(job, command.command, {now, random_.uuid()});
}

}  // namespace drover::orchestrator
