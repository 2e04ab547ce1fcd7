// Rules about what agents do and say, and about what they are told.
#include "agent/fence_store.h"
#include "agent/state_store.h"
#include "simulations/invariants.h"
#include "statemachine/decide.h"

#include <algorithm>

namespace drover::sim {
namespace {

using statemachine::Phase;

std::string text_of(const EffectId& id) {
    return std::string(name_of(id.kind)) + " of event " + std::to_string(id.seq);
}

/// Steps on the way ahead; the way back is never withheld.
bool goes_ahead(EffectKind kind) {
    switch (kind) {
        case EffectKind::preflight:
        case EffectKind::fence:
        case EffectKind::drain:
        case EffectKind::verify:
        case EffectKind::activate:
        case EffectKind::validate:
        case EffectKind::start_test:
        case EffectKind::reverse_drain:
        case EffectKind::reverse_verify:
            return true;
        default:
            return false;
    }
}

/// What is reported once an effect is done, as opposed to failures and observations.
bool is_outcome(const ReportBody& body) {
    return std::holds_alternative<FenceDone>(body) || std::holds_alternative<DrainDone>(body) ||
           std::holds_alternative<VerifyDone>(body) || std::holds_alternative<ActivateDone>(body) ||
           std::holds_alternative<ValidateDone>(body) ||
           std::holds_alternative<DeactivateDone>(body) ||
           std::holds_alternative<ReleaseDone>(body) || std::holds_alternative<CleanupDone>(body) ||
           std::holds_alternative<PreflightDone>(body) ||
           std::holds_alternative<StartTestDone>(body) ||
           std::holds_alternative<RevertTestDone>(body) ||
           std::holds_alternative<ReverseDrainDone>(body) ||
           std::holds_alternative<ReverseVerifyDone>(body);
}

/// Released, or fenced in vain and back as before.
bool claims_service(const ReportBody& body) {
    if (std::holds_alternative<ReleaseDone>(body)) return true;
    const auto* failed = std::get_if<StepFailed>(&body);
    return failed != nullptr && failed->error.kept().starts_with("the source is back in service");
}

/// Two copies that went on in the same way, each with a start at a clock that was set back, are the
/// same log as far as the agent has seen it.
bool lacks_witness(const eventlog::EventLog& log, const Machine& machine) {
    const auto witness = agent::load_witness(agent::StatePaths{machine.state_root()});
    if (!witness || witness->seq == 0) return false;
    const auto hash = log.hash_at(witness->seq);
    return !hash || !(*hash == witness->hash);
}

}  // namespace

/// Later than the last one: whoever was before is refused.
void Invariants::check_epoch(const OrchestratorHost& server) {
    const eventlog::Epoch epoch = server.volume->head().epoch;
    if (epoch <= last_epoch_)
        world_.violate("epochs only rise",
                       "epoch " + std::to_string(epoch) + " after " + std::to_string(last_epoch_));
    last_epoch_ = epoch;
}

void Invariants::check_wanted(const OrchestratorHost& from, const std::string& machine,
                              const EffectWanted& wanted) {
    const EffectId& id = wanted.effect.id;
    const SimulatedJob* job = world_.job_of(machine);
    if (job == nullptr)
        return world_.violate("one name is one host",
                              text_of(id) + " was sent to " + machine + ", a copy of a machine");
    const bool to_source = machine == job->source_machine->name;
    const Machine& host = to_source ? *job->source_machine : *job->target_machine;
    if (from.volume != world_.volume && lacks_witness(*from.volume, host))
        world_.violate("an older copy of the log moves nobody",
                       text_of(id) + " was sent to " + machine);
    const orchestrator::JobEntry* entry = from.core()->state().find(id.job);
    if (entry == nullptr) return;
    const statemachine::Job& known = entry->job;
    const bool keeps = known.rollback && !known.reverse_verified &&
                       known.rollback->mode == statemachine::RollbackMode::keep;
    if (id.kind == EffectKind::release && keeps && !known.release_pending)
        world_.violate("what comes back is proved, or given up by a person, before the release",
                       text_of(id) + " was sent for job " + known.spec.name);
    if (!goes_ahead(id.kind)) return;
    if (entry->job.paused || entry->job.parked || entry->job.quarantined)
        world_.violate("paused and parked withhold the steps ahead",
                       text_of(id) + " was sent for job " + entry->job.spec.name);
}

/// An agent forgets what is acknowledged, so it must not be news any more.
void Invariants::check_ack(const OrchestratorHost& from, const std::string& machine,
                           const ReportAck& ack) {
    const auto said = reports_.find(ack.report_id);
    if (said == reports_.end()) return;
    const Report report = said->second;
    reports_.erase(said);
    const orchestrator::JobEntry* entry = from.core()->state().find(report.effect.job);
    const auto answer = from.volume->find_answer(ack.report_id);
    if (entry == nullptr || !answer || answer->has_value()) return;
    statemachine::Command command;
    command.command_id = ack.report_id;
    command.actor = "agent:" + machine;
    command.wish = statemachine::ReportReceived{report};
    const auto decision =
        statemachine::decide(entry->job, command, {from.clock.wall_micros(), FenceToken()});
    const auto* accepted = std::get_if<statemachine::Accepted>(&decision);
    if (accepted != nullptr && !accepted->events.empty())
        world_.violate(
            "an acknowledged report is never lost",
            "the outcome of " + text_of(report.effect) + " from " + machine + " is in no log");
}

void Invariants::on_report(const AgentHost& host, const Report& report) {
    check_claim(host, report);
    if (!is_outcome(report.body)) return;
    reports_[report.report_id] = report;
    const auto [known, is_new] =
        outcomes_.try_emplace({host.options.name, report.effect}, report.report_id);
    if (!is_new && known->second != report.report_id)
        world_.violate("an effect is done once, then its outcome is repeated",
                       host.options.name + " did " + text_of(report.effect) + " again");
}

/// Said for the first time; from the journal it is said again when it may not be so any more.
void Invariants::check_claim(const AgentHost& host, const Report& report) {
    SimulatedJob* job = world_.job_of(host.machine.name);
    if (job == nullptr || !claims_service(report.body)) return;
    if (!claims_.insert(report.report_id).second) return;
    const Workload* workload = job->source_machine->workload(job->name);
    if (workload == nullptr || !workload->running)
        world_.violate("the source is in service when its agent says so",
                       text_of(report.effect) + " of " + host.options.name);
}

/// Before `event` moves the job on: what it takes to get there.
void Invariants::check_conditions(SimulatedJob& job, const statemachine::Event& event) {
    const statemachine::Job* state = world_.state_of(job);
    if (state == nullptr) return;
    if (std::holds_alternative<statemachine::SourceFenced>(event) && job.phase == Phase::fencing)
        job.fenced_at = world_.scheduler.now();
    if (std::holds_alternative<statemachine::TargetVerified>(event)) check_verified(job, *state);
    const bool may_be_breached = job.fence_disturbed || job.disk_vanished;
    if (std::holds_alternative<statemachine::FenceBreached>(event) && !may_be_breached)
        world_.violate("a fence is breached only by a write", "job " + job.name);
    const auto* back = std::get_if<statemachine::RollbackStarted>(&event);
    const bool loses = back != nullptr && back->mode == statemachine::RollbackMode::discard &&
                       state->activate_derived && back->acknowledged_loss.empty();
    if (loses)
        world_.violate("what a rollback loses is acknowledged first",
                       "job " + job.name + " by " + back->by);
    const auto* given_up = std::get_if<statemachine::ReverseAbandoned>(&event);
    if (given_up != nullptr && given_up->acknowledged_loss.empty())
        world_.violate("what a rollback loses is acknowledged first",
                       "job " + job.name + " by " + given_up->by);
    if (std::holds_alternative<statemachine::ReverseVerified>(event)) check_taken_back(job);
}

/// What happened after the verification began, it need not have seen.
void Invariants::check_verified(SimulatedJob& job, const statemachine::Job& state) {
    job.verified_from = job.phase_since;
    job.verified_by_induction = state.verifies_by_induction;
    if (state.deadline_passed)
        world_.violate("an outage beyond its limit is rolled back", "job " + job.name);
    if (job.disturbed_at > job.fenced_at && job.disturbed_at < job.verified_from)
        world_.violate("a write to a fenced disk voids its fence",
                       "job " + job.name + " was verified all the same");
    if (job.damaged_at >= job.verified_from || job.disturbed_at >= job.verified_from) return;
    if (is_beyond_induction(job)) return;
    for (const DiskPair& pair : job.spec.disks) {
        const std::vector<Version>& source = job.source_machine->find(pair.source)->now();
        const std::vector<Version>& target = job.target_machine->find(pair.target)->now();
        if (!std::equal(source.begin(), source.end(), target.begin()))
            world_.violate(job.verified_by_induction ? "what is proved by induction is equal"
                                                     : "what was verified is equal",
                           "job " + job.name + ": " + pair.target + " differs");
    }
}

/// The fence is proved, not set.
void Invariants::check_fence(SimulatedJob& job) {
    for (const DiskPair& pair : job.spec.disks) {
        const Disk& disk = *job.source_machine->find(pair.source);
        if (disk.guard.empty() || disk.mounted)
            world_.violate("a fence holds every disk exclusively",
                           "job " + job.name + ": " + pair.source +
                               (disk.mounted ? " is mounted" : " has no guard"));
    }
}

/// When an agent is up, what it fenced is fenced.
void Invariants::check_fence_is_back(SimulatedJob& job) {
    if (world_.scheduler.running_process() != job.source->process()) return;
    const Machine& machine = *job.source_machine;
    const agent::FenceStore fences(agent::StatePaths{machine.state_root()}.fences(),
                                   machine.identity);
    if (!job.id) return;
    const auto marker = fences.of_job(*job.id);
    if (!marker || !*marker || !(*marker)->is_held()) return;
    // One guard holds all of them: while one is gone it cannot be set, and that is reported.
    for (const DiskPair& pair : job.spec.disks)
        if (!job.source_machine->find(pair.source)->present) return;
    for (const DiskPair& pair : job.spec.disks) {
        const Disk& disk = *job.source_machine->find(pair.source);
        if (disk.present && disk.guard.empty())
            world_.violate("a fence is back when its agent is",
                           "job " + job.name + ": " + pair.source + " has no guard");
    }
}

}  // namespace drover::sim
