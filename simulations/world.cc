#include "simulations/world.h"

#include "base/assert.h"
#include "base/sha256.h"
#include "simulations/invariants.h"
#include "simulations/operator.h"
#include "statemachine/outstanding.h"

#include <algorithm>

namespace drover::sim {
namespace {

constexpr Micros second = 1'000'000;
constexpr Micros minute = 60 * second;
/// After the last fault every job must come to its end within this.
constexpr Micros patience = 12 * 60 * minute;

Uuid lineage_of(Dice& dice) {
    Uuid lineage;
    for (auto& byte : lineage.data) byte = static_cast<std::uint8_t>(dice.next());
    return lineage;
}

/// What a reader of a timeline wants to know beyond the event's name.
std::string detail_of(const statemachine::Event& event) {
    if (const auto* parked = std::get_if<statemachine::Parked>(&event))
        return " at " + std::string(name_of(parked->step)) + ": " + parked->error.text();
    if (const auto* state = std::get_if<statemachine::DataStateChanged>(&event))
        return " to " + std::string(name_of(state->state));
    if (const auto* lost = std::get_if<statemachine::GenerationLost>(&event))
        return ": " + lost->cause;
    if (const auto* failed = std::get_if<statemachine::PreflightFailed>(&event))
        return ": " + failed->findings.front().id + " " + failed->findings.front().detail;
    if (const auto* back = std::get_if<statemachine::RollbackStarted>(&event))
        return " by " + back->cause;
    if (const auto* no = std::get_if<statemachine::CommandRejected>(&event))
        return ": " + no->action + ", " + no->id;
    return {};
}

std::uint64_t rotate(std::uint64_t value, int by) {
    return (value << by) | (value >> (64 - by));
}

}  // namespace

World::World(const Options& drawn, bool tracing)
    : options(drawn),
      scheduler(drawn.seed ^ 0x5c4edULL, drawn.shuffle),
      dice(drawn.seed),
      network(drawn.weather, dice.fork(1)),
      volume(std::make_shared<eventlog::MemoryLog>(lineage_of(dice))),
      tracing_(tracing),
      operator_(std::make_unique<Operator>(*this, dice.fork(2))),
      invariants_(std::make_unique<Invariants>(*this)) {
    reset_versions();
    environment.on_step = [this](std::string_view name) { on_step(name); };
    if (tracing_)
        environment.on_log = [this](std::string_view line) {
            note("process " + std::to_string(scheduler.running_process()), std::string(line));
        };
    environment.on_attempt = [this](std::string_view operation, std::string_view path) {
        return on_attempt(operation, path);
    };
    if (options.sync_time_max > 0)
        environment.sync_time = [this] { return dice.between(0, options.sync_time_max); };
    server =
        std::make_unique<OrchestratorHost>("server-machine", volume, network, dice.fork(3).next());
    server->on_fact = [this](const eventlog::Record& record, const orchestrator::Fact& fact) {
        on_fact(record, fact);
    };
    server->on_send = [this](const std::string& machine, const OrchestratorMessage& message) {
        invariants_->on_send(*server, machine, message);
    };
    server->on_started = [this] { on_started(*server); };
    jobs.resize(options.jobs);
    for (std::uint32_t index = 0; index < options.jobs; ++index) build_job(index);
    calm_at = options.wave_time + 16 * minute;
}

World::~World() {
    // Processes end before the world that they live in.
    for (SimulatedJob& job : jobs) {
        job.source->kill(never);
        job.target->kill(never);
    }
    for (const auto& agent : other_agents) agent->kill(never);
    for (const auto& other : other_servers) other->kill(never);
    server->kill(never);
}

void World::build_job(std::uint32_t index) {
    Dice own = dice.fork(1000 + index);
    SimulatedJob& job = jobs[index];
    job.index = index;
    job.name = "job-" + std::to_string(index);
    const std::string source = "s" + std::to_string(index);
    const std::string target = "t" + std::to_string(index);
    job.source_machine = std::make_unique<Machine>(source, own.fork(1));
    job.target_machine = std::make_unique<Machine>(target, own.fork(2));
    job_of_machine_[source] = index;
    job_of_machine_[target] = index;
    job_of_name_[job.name] = index;
    job.spec.name = job.name;
    job.spec.source_agent = source;
    job.spec.target_agent = target;
    std::vector<std::string> sources;
    std::vector<std::string> targets;
    for (std::uint32_t i = 0; i < options.disks; ++i) {
        const std::string letter(1, static_cast<char>('a' + i));
        sources.push_back("/dev/" + source + letter);
        targets.push_back("/dev/" + target + letter);
        Disk& disk = job.source_machine->add_disk(sources.back(), options.blocks);
        for (std::uint64_t block = 0; block < options.blocks; ++block)
            if (!own.one_in(4)) disk.write(block, next_version());
        disk.flush();
        disk.io_time = options.io_time_max;
        // Larger is fine.
        const std::uint64_t spare = own.one_in(3) ? own.below(4) : 0;
        job.target_machine->add_disk(targets.back(), options.blocks + spare).io_time =
            options.io_time_max;
        job.spec.disks.push_back({sources.back(), targets.back()});
    }
    job.spec.hooks = {{HookStep::pre_fence, "stop-" + job.name},
                      {HookStep::post_release, "start-" + job.name},
                      {HookStep::post_activate, "start-" + job.name},
                      {HookStep::validate, "check-" + job.name},
                      {HookStep::pre_deactivate, "stop-" + job.name}};
    Workload& here = job.source_machine->workloads[job.name];
    here = {job.name, sources, false, false};
    (void)job.source_machine->start(here);
    job.target_machine->workloads[job.name] = {job.name, targets, false, true};
    for (const Side side : {Side::source, Side::target}) {
        Machine& machine = side == Side::source ? *job.source_machine : *job.target_machine;
        machine.on_user_write = [this, &job, side](Disk& disk, std::uint64_t, Version) {
            if (side == Side::source) invariants_->on_source_changed(job);
            invariants_->on_user_write(job, side, disk);
        };
    }
    invariants_->on_source_changed(job);
    AgentOptions agent;
    agent.server = server_name;
    // A target gives a source up that was silent for an hour.
    agent.pacing = {options.idle_pause_ms, 3'600'000, 1'500'000};
    agent.pacing.walk_round_ms_min = 20 * options.idle_pause_ms;
    agent.tick_min = options.tick_min;
    agent.tick_max = options.tick_max;
    agent.name = source;
    agent.journal_bytes = std::uint64_t{options.reverse_blocks} * replicator::block_bytes;
    job.source = std::make_unique<AgentHost>(*job.source_machine, network, agent, own.next());
    agent.name = target;
    agent.journal_bytes = std::uint64_t{options.journal_blocks} * replicator::block_bytes;
    job.target = std::make_unique<AgentHost>(*job.target_machine, network, agent, own.next());
    for (AgentHost* host : {job.source.get(), job.target.get()})
        host->on_report = [this, host](const Report& report) {
            invariants_->on_report(*host, report);
        };
    job.target->on_acknowledged = [this, &job](std::uint64_t batch) {
        invariants_->on_acknowledged(job, batch);
    };
    job.source->on_acknowledged = [this, &job](std::uint64_t batch) {
        invariants_->on_taken_back(job, batch);
    };
    draw_script(options, own, job);
}

/// The token first; once that is answered, the certificate.
void World::enrol(const AgentHost& host, const Hash& token, orchestrator::RegistryWish wish,
                  const Hash& id) {
    const bool is_token = std::holds_alternative<orchestrator::CreateToken>(wish);
    const orchestrator::RegistryCommand command{*Uuid::from(ByteView(id.data).first(16)),
                                                "operator:ann", std::move(wish)};
    operator_->ask({command, id}, [this, &host, token, is_token, command,
                                   id](const Result<orchestrator::Answer>& answer) {
        if (!answer)
            return scheduler.after(10 * second, [this, &host, token, command, id] {
                enrol(host, token, command.wish, id);
            });
        if (!is_token) return;
        const std::string& name = host.options.name;
        enrol(host, token, orchestrator::Enrol{name, token, token, {}}, sha256(token.view()));
    });
}

/// Every agent gets its certificate before the wave, as in life.
void World::enrol_all() {
    for (SimulatedJob& job : jobs) {
        for (AgentHost* host : {job.source.get(), job.target.get()}) {
            host->enrol();
            const Hash token = sha256(as_bytes(host->options.name));
            enrol(*host, token, orchestrator::CreateToken{host->options.name, token, 7 * 86'400},
                  token);
        }
        expose_disks(job);
        Dice own = dice.fork(500'000 + job.index);
        const Micros start = 3 * second + own.between(0, second);
        scheduler.at(start, [&job] { job.source->start(); });
        scheduler.at(start, [&job] { job.target->start(); });
        scheduler.at(5 * second + own.between(0, options.churn_every),
                     [this, &job] { churn(job); });
        operator_->look_after(job, 5 * second);
    }
}

void World::strike(const Fault& fault) {
    note("world", text_of(fault));
    mix(fault.index);
    ++coverage.faults[std::string(name_of(fault.kind))];
    faults_done_.insert(fault.index);
    inject(*this, fault);
}

/// The job has just entered its phase.
void World::strike_on_phase(const SimulatedJob& job) {
    if (scheduler.now() > calm_at) return;
    for (auto fault = faults_on_phase_.begin(); fault != faults_on_phase_.end();) {
        if (fault->job != job.index || fault->phase != job.phase) {
            ++fault;
            continue;
        }
        scheduler.after(fault->at, [this, struck = *fault] { strike(struck); });
        fault = faults_on_phase_.erase(fault);
    }
}

Outcome World::run() {
    server->start();
    enrol_all();
    const std::vector<Fault> faults = draw_faults(options);
    for (const Fault& fault : faults) {
        if (fault.phase)
            faults_on_phase_.push_back(fault);
        else
            scheduler.at(fault.at, [this, fault] { strike(fault); });
    }
    const Micros end = std::max(options.day, calm_at) + patience;
    while (!violation_ && scheduler.now() < end) {
        scheduler.run_until(std::min(end, scheduler.now() + minute));
        if (all_over() && scheduler.now() >= options.day && scheduler.now() >= calm_at) break;
    }
    if (!violation_ && !all_over()) {
        const auto stuck = std::find_if(jobs.begin(), jobs.end(),
                                        [](const SimulatedJob& job) { return !job.done; });
        const statemachine::Job* state = state_of(*stuck);
        std::string detail = "job " + stuck->name + " is not over";
        if (state != nullptr) {
            detail += ": " + std::string(name_of(state->phase));
            if (state->parked) detail += ", parked: " + state->parked->error.text();
            for (const Effect& effect : statemachine::outstanding(*state))
                detail += "; wants " + std::string(name_of(effect.id.kind)) + " of " + effect.agent;
        }
        violate("every job comes to its end once faults stop", detail);
    }
    if (!violation_) invariants_->check_end();

    Outcome outcome;
    outcome.violation = violation_;
    mix(scheduler.steps());
    const Hash head = volume->head().hash;
    Bytes all(head.data.begin(), head.data.end());
    put_u64(all, trace_state_[0]);
    put_u64(all, trace_state_[1]);
    outcome.trace_hash = sha256(all);
    outcome.steps = scheduler.steps();
    outcome.facts = facts_;
    for (const SimulatedJob& job : jobs) {
        outcome.jobs_committed += job.phase == statemachine::Phase::committed ? 1 : 0;
        outcome.jobs_cancelled += job.phase == statemachine::Phase::cancelled ? 1 : 0;
    }
    outcome.simulated = scheduler.now();
    outcome.coverage = coverage;
    outcome.trace = std::move(trace_);
    outcome.faults_done = faults_done_;
    return outcome;
}

bool World::all_over() const {
    return std::all_of(jobs.begin(), jobs.end(), [](const SimulatedJob& job) { return job.done; });
}

void World::mix(std::uint64_t value) {
    trace_state_[0] = rotate(trace_state_[0] ^ value, 27) * 0x9fb21c651e98df25ULL;
    trace_state_[1] = rotate(trace_state_[1] + trace_state_[0], 31) ^ value;
}

void World::note(const std::string& who, const std::string& what) {
    if (tracing_) trace_.push_back({scheduler.now(), scheduler.steps(), who, what});
}

void World::violate(const std::string& rule, const std::string& detail) {
    if (violation_) return;
    violation_ = Violation{rule, detail, scheduler.steps(), scheduler.now()};
    note("world", "VIOLATION: " + rule + ": " + detail);
    scheduler.stop();
}

SimulatedJob* World::job_of(const std::string& machine) {
    const auto found = job_of_machine_.find(machine);
    return found == job_of_machine_.end() ? nullptr : &jobs[found->second];
}

const statemachine::Job* World::state_of(const SimulatedJob& job) const {
    if (!job.id) return nullptr;
    const auto in = [&](const OrchestratorHost& host) -> const statemachine::Job* {
        if (host.volume != volume || host.core() == nullptr) return nullptr;
        const orchestrator::JobEntry* entry = host.core()->state().find(*job.id);
        return entry == nullptr || !entry->job.exists ? nullptr : &entry->job;
    };
    // Whoever owns the log knows most; one that lost it may run on for a while.
    const statemachine::Job* known = in(*server);
    for (const auto& other : other_servers) {
        const statemachine::Job* state = other->is_running() ? in(*other) : nullptr;
        if (state != nullptr && (known == nullptr || state->version > known->version))
            known = state;
    }
    return known;
}

/// What became durable in the last moment of an earlier process is seen only now.
void World::on_started(const OrchestratorHost& orchestrator) {
    invariants_->on_started(orchestrator);
    for (const auto& [id, entry] : orchestrator.core()->state().jobs) {
        const auto named = job_of_name_.find(entry.job.spec.name);
        if (named == job_of_name_.end()) continue;
        SimulatedJob& job = jobs[named->second];
        if (!job.id) job.id = id;
        job_of_id_[id] = job.index;
        if (job.id == id) job.phase = entry.job.phase;
        operator_->look_after(job, second);
    }
}

void World::on_fact(const eventlog::Record& record, const orchestrator::Fact& fact) {
    ++facts_;
    mix(static_cast<std::uint64_t>(scheduler.now()));
    for (std::size_t i = 0; i < 32; i += 8) mix(get_u64(record.hash.view(), i));
    take_in(record, fact);
    // Last: it may end the process that runs.
    if (hooks.on_fact) hooks.on_fact(facts_, fact);
}

void World::take_in(const eventlog::Record& record, const orchestrator::Fact& fact) {
    const auto* event = std::get_if<statemachine::Event>(&fact);
    if (event == nullptr) return invariants_->on_fact(record, fact);
    if (const auto* planned = std::get_if<statemachine::JobPlanned>(event)) {
        const auto named = job_of_name_.find(planned->spec.name);
        if (named != job_of_name_.end()) {
            jobs[named->second].id = record.stream.id;
            job_of_id_[record.stream.id] = named->second;
        }
    }
    const auto known = job_of_id_.find(record.stream.id);
    if (known == job_of_id_.end()) return invariants_->on_fact(record, fact);
    SimulatedJob& job = jobs[known->second];
    const std::string name(name_of(kind_of(*event)));
    ++coverage.transitions[{std::string(name_of(job.phase)), name}];
    if (tracing_) {
        std::string what = "event " + std::to_string(record.seq) + " " + name;
        what += detail_of(*event);
        note("job " + job.name, what);
    }
    coverage.add_errors(*event);
    const statemachine::Phase before = job.phase;
    invariants_->on_fact(record, fact);
    ++coverage.phases[std::string(name_of(job.phase))];
    const bool is_new = std::holds_alternative<statemachine::JobPlanned>(*event);
    if (job.phase != before || is_new) {
        strike_on_phase(job);
        operator_->phase_entered(job);
    }
    operator_->look_after(job, second + static_cast<Micros>(facts_ % 3) * second / 2);
}

/// Found once per process: an id is never used again.
SimulatedJob* World::job_of_process(ProcessId process) {
    const auto [known, is_new] = job_of_process_.try_emplace(process, nullptr);
    if (!is_new) return known->second;
    const auto job = std::find_if(jobs.begin(), jobs.end(), [process](const SimulatedJob& each) {
        return each.source->process() == process || each.target->process() == process;
    });
    if (job != jobs.end()) known->second = &*job;
    return known->second;
}

void World::on_step(std::string_view name) {
    const ProcessId process = scheduler.running_process();
    if (process == no_process) return;
    if (!coverage.steps.contains(name)) coverage.steps.emplace(name);
    if (hooks.on_step) hooks.on_step(name);
    if (options.race_one_in != 0 && name == "disk.read") race(process);
    if (name.starts_with("host.") || name.starts_with("agent.")) {
        if (SimulatedJob* job = job_of_process(process)) invariants_->on_step(*job, name);
    }
    const bool has_journals = options.journal_blocks != 0 || options.reverse_blocks != 0;
    if (has_journals &&
        (name.starts_with("journal.") || name == "disk.written" || name == "disk.flushed")) {
        SimulatedJob* job = job_of_process(process);
        if (job != nullptr && job->target->process() == process && options.journal_blocks != 0)
            invariants_->on_target_step(*job, name);
        if (job != nullptr && job->source->process() == process)
            invariants_->on_source_step(*job, name);
    }
    if (step_kills_.empty()) return;
    const auto kill = step_kills_.find(process);
    if (kill == step_kills_.end() || !name.starts_with(kill->second.prefix)) return;
    if (--kill->second.left > 0) return;
    ++coverage.crash_points[std::string(name)];
    note("world", "killed at " + std::string(name));
    const auto now = std::move(kill->second.kill);
    step_kills_.erase(kill);
    now();
}

void World::kill_at_step(ProcessId process, std::uint64_t steps, std::function<void()> kill,
                         std::string prefix) {
    step_kills_[process] = {std::max<std::uint64_t>(steps, 1), std::move(kill), std::move(prefix)};
}

void World::power_lost(const AgentHost& host) {
    invariants_->on_power_lost(host);
}

Result<> World::on_attempt(std::string_view operation, std::string_view path) {
    for (auto trouble = troubles_.begin(); trouble != troubles_.end(); ++trouble) {
        if (!operation.starts_with(trouble->second.operation)) continue;
        if (!path.starts_with(trouble->second.path)) continue;
        const Error error = trouble->second.error;
        if (trouble->second.once) troubles_.erase(trouble);
        note("world", std::string(operation) + " of " + std::string(path) + " fails");
        return error;
    }
    return {};
}

void World::adopt_server(OrchestratorHost& other) {
    other.clock.offset_micros = server->clock.offset_micros;
    other.on_send = [this, &other](const std::string& machine, const OrchestratorMessage& message) {
        invariants_->on_send(other, machine, message);
    };
    if (other.volume != volume) return;
    other.on_started = [this, &other] { on_started(other); };
    other.on_fact = [this](const eventlog::Record& record, const orchestrator::Fact& fact) {
        on_fact(record, fact);
    };
}

std::uint64_t World::add_trouble(Trouble trouble) {
    troubles_[next_trouble_] = std::move(trouble);
    return next_trouble_++;
}

void World::end_trouble(std::uint64_t id) {
    troubles_.erase(id);
}

}  // namespace drover::sim
