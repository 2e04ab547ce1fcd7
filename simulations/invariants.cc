#include "simulations/invariants.h"

#include "agent/state_store.h"
#include "simulations/operator.h"
#include "statemachine/outstanding.h"

namespace drover::sim {
namespace {

using statemachine::Phase;

Disk* disk_of(Machine& machine, const std::string& path) {
    return machine.find(path);
}

bool runs(Machine& machine, const std::string& job) {
    const Workload* workload = machine.workload(job);
    return workload != nullptr && workload->running;
}

}  // namespace

void Invariants::on_fact(const eventlog::Record& record, const orchestrator::Fact& fact) {
    if (record.seq != last_seq_ + 1 && last_seq_ != 0)
        world_.violate("the sequence has no gap", "event " + std::to_string(record.seq) +
                                                      " came after " + std::to_string(last_seq_));
    last_seq_ = record.seq;
    check_commands(record);
    const auto* event = std::get_if<statemachine::Event>(&fact);
    if (event == nullptr) return;
    const auto known = world_.job_of_id_.find(record.stream.id);
    if (known == world_.job_of_id_.end()) return;
    check_conditions(world_.jobs.at(known->second), *event);
    check_transition(world_.jobs.at(known->second), *event);
    note_down(world_.jobs.at(known->second), *event);
}

void Invariants::on_started(const OrchestratorHost& server) {
    // In a large wave it is looked at after one start of four, and at the end.
    if (world_.jobs.size() <= 200 || server.starts % 4 == 1) check_log(server, "after a start");
    check_epoch(server);
    // The start itself is a fact that nobody could listen to yet.
    const eventlog::Seq seq = server.core()->state().seq;
    if (seq < last_seq_ + 1)
        world_.violate("what was durable is found again", "the log ends at " + std::to_string(seq) +
                                                              " after a start, it had reached " +
                                                              std::to_string(last_seq_));
    last_seq_ = seq;
}

/// The facts of one command stand together, once.
void Invariants::check_commands(const eventlog::Record& record) {
    if (record.command_id.is_zero() || record.command_id == last_command_) return;
    if (!commands_.insert(record.command_id).second)
        world_.violate("a command is applied at most once",
                       "command " + uuid_text(record.command_id) + " appears again at event " +
                           std::to_string(record.seq));
    last_command_ = record.command_id;
}

void Invariants::check_transition(SimulatedJob& job, const statemachine::Event& event) {
    const statemachine::Job* state = world_.state_of(job);
    if (state == nullptr) return;
    if (is_final(job.phase) && state->phase != job.phase)
        world_.violate("terminal is terminal",
                       "job " + job.name + " left " + std::string(name_of(job.phase)));
    // A clone has its original's key and may write to the target: the comparison is there for it.
    const bool damaged = job.contents_damaged || job.cloned;
    if (std::holds_alternative<statemachine::MismatchFound>(event) && !damaged)
        world_.violate(
            job.write_flipped
                ? "a write that went wrong is found by reading back"
                : "the dirty set is conservative, and what was acknowledged is durable",
            "job " + job.name + ": the comparison found a difference that no fault made");
    if (std::holds_alternative<statemachine::CopyDiffers>(event) && !damaged &&
        !job.fence_disturbed)
        world_.violate("a comparison during the hold finds nothing that no fault made",
                       "job " + job.name + ": it found a difference");
    const auto* drained = std::get_if<statemachine::DeltaDrained>(&event);
    const bool explained = damaged || job.write_flipped || job.disk_vanished;
    if (drained != nullptr && drained->bytes_differed > 0 && !explained)
        world_.violate("reading back finds nothing that no fault made",
                       "job " + job.name + ": " + std::to_string(drained->bytes_differed) +
                           " bytes were not what had been written");
    if (state->phase != job.phase) job.phase_since = world_.scheduler.now();
    job.phase = state->phase;
}

void Invariants::on_send(const OrchestratorHost& from, const std::string& machine,
                         const OrchestratorMessage& message) {
    if (const auto* ack = std::get_if<ReportAck>(&message)) return check_ack(from, machine, *ack);
    const auto* wanted = std::get_if<EffectWanted>(&message);
    if (wanted == nullptr) return;
    check_wanted(from, machine, *wanted);
    const EffectId& id = wanted->effect.id;
    const auto hash = from.volume->hash_at(id.seq);
    if (!hash || !std::equal(id.cause_hash.begin(), id.cause_hash.end(), hash->data.begin()))
        world_.violate("effects only after their durable fact",
                       std::string(name_of(id.kind)) + " for event " + std::to_string(id.seq));
    SimulatedJob* job = world_.job_of(machine);
    if (job == nullptr || id.kind != EffectKind::activate) return;
    const orchestrator::JobEntry* entry = from.core()->state().find(id.job);
    const statemachine::Job* state = entry == nullptr ? nullptr : &entry->job;
    const bool proven = state != nullptr && state->fence && state->fence->run == state->run &&
                        !state->proof.empty() && !state->fence_breached;
    if (!proven)
        world_.violate("a target is released only if fenced and verified for this run",
                       "Activate was sent for job " + job->name);
}

/// Released without a comparison of whole disks, and something changed the target's disk that was
/// no write of ours: bits that rotted, or the clone of an agent. The comparison is there for it.
bool Invariants::is_beyond_induction(const SimulatedJob& job) {
    return job.verified_by_induction && (job.contents_damaged || job.cloned);
}

/// Both sides of a job never serve their users at the same time.
void Invariants::check_writers(SimulatedJob& job, const std::string& when) {
    if (job.target_lost) return;
    if (runs(*job.source_machine, job.name) && runs(*job.target_machine, job.name))
        world_.violate("never two writers", "job " + job.name + ": both workloads run, " + when);
}

void Invariants::on_user_write(SimulatedJob& job, Side side, Disk& disk) {
    check_writers(job, "as the " + std::string(name_of(side)) + " wrote " + disk.path);
}

void Invariants::on_step(SimulatedJob& job, std::string_view step) {
    if (step.starts_with("host.")) {
        check_writers(job, "at " + std::string(step));
        check_base(job, step);
    }
    if (step == "host.make_overlays") check_overlays_made(job);
    note_images(job, step);
    if (step == "host.end_guard") check_not_reversing(job);
    if (step == "agent.release.writable") check_released(job);
    if (step == "agent.activate.promote") {
        check_overlays_gone(job, "as the target is released");
        check_handover(job);
    }
    if (step == "agent.fence.proof") check_fence(job);
    if (step == "agent.started") check_fence_is_back(job);
}

/// The moment before a target is let go: its disks are, durably, what the fenced source holds.
void Invariants::check_handover(SimulatedJob& job) {
    if (job.fence_disturbed && job.disturbed_at >= job.verified_from) return;
    for (const DiskPair& pair : job.spec.disks) {
        const Disk* source = disk_of(*job.source_machine, pair.source);
        const Disk* target = disk_of(*job.target_machine, pair.target);
        for (std::uint64_t block = 0; block < source->blocks(); ++block) {
            if (source->now()[block] == target->durable()[block]) continue;
            // A machine that rots between the comparison and the release is beyond any proof.
            if (job.contents_damaged && job.damaged_at >= job.verified_from) return;
            if (is_beyond_induction(job)) return;
            return world_.violate(
                "target bytes equal source bytes at the point of handover",
                "job " + job.name + ", block " + std::to_string(block) + " of " + pair.target +
                    ": " + std::to_string(source->now()[block]) + " on the source, " +
                    std::to_string(target->durable()[block]) + " durable on the target");
        }
    }
    if (runs(*job.source_machine, job.name))
        world_.violate("a target is released only if its source is fenced",
                       "job " + job.name + ": the source's workload runs");
}

/// Sequence, chains, and that a replay gives the live state.
void Invariants::check_log(const OrchestratorHost& server, const std::string& when) {
    auto replayed = orchestrator::replay(*server.volume);
    if (!replayed)
        return world_.violate("the chain verifies and every event is legal",
                              when + ": " + replayed.error().text());
    if (server.core() != nullptr && server.core()->state().seq == replayed->seq &&
        !(server.core()->state() == *replayed))
        world_.violate("live state equals replayed state", when);
    for (const auto& [id, entry] : replayed->jobs)
        if (entry.illegal)
            world_.violate("every history is legal", when + ": " + entry.illegal->text());
}

void Invariants::check_end() {
    check_log(*world_.server, "at the end");
    std::map<eventlog::Seq, Uuid> command_at;
    (void)world_.volume->read(1, [&](const eventlog::Record& record) {
        command_at[record.seq] = record.command_id;
        return true;
    });
    for (const auto& ack : world_.operator_->acknowledged()) {
        const auto found = command_at.find(ack.answer.first_seq);
        if (found == command_at.end() || found->second != ack.command_id)
            world_.violate("an acknowledged command is never lost",
                           "command " + uuid_text(ack.command_id) + " at event " +
                               std::to_string(ack.answer.first_seq));
    }
    for (SimulatedJob& job : world_.jobs) {
        const statemachine::Job* state = world_.state_of(job);
        if (state != nullptr) check_job_end(job, *state);
        check_walker(job);
        for (const auto* host : {job.source.get(), job.target.get()}) {
            const auto witness = agent::load_witness(agent::StatePaths{host->machine.state_root()});
            if (!witness || witness->seq == 0) continue;
            const auto hash = world_.volume->hash_at(witness->seq);
            const Hash seen = hash ? *hash : Hash();
            if (!(seen == witness->hash))
                world_.violate(
                    "the head is at or beyond every witness",
                    "agent " + host->options.name + " saw " + std::to_string(witness->seq));
        }
    }
}

/// What the walker of a source has said, as far as it was heard.
void Invariants::check_walker(const SimulatedJob& job) {
    if (!job.id || job.contents_damaged || job.cloned || world_.server->core() == nullptr) return;
    const auto* last = world_.server->core()->telemetry().latest(*job.id, Side::source);
    if (last != nullptr && last->progress.walk_alarms > 0)
        world_.violate("the walker finds nothing that no fault made", "job " + job.name);
}

/// Whoever should serve does, alone.
void Invariants::check_job_end(SimulatedJob& job, const statemachine::Job& state) {
    check_writers(job, "at the end");
    if (is_final(state.phase) && !job.target_lost) check_overlays_gone(job, "at its end");
    const bool on_source = runs(*job.source_machine, job.name);
    const bool on_target = runs(*job.target_machine, job.name);
    if (state.phase == Phase::committed && (on_source || (!on_target && !job.target_lost)))
        world_.violate("a committed job serves from its target", "job " + job.name);
    if (state.phase == Phase::cancelled && !on_source)
        world_.violate("a job that was taken back serves from its source", "job " + job.name);
}

}  // namespace drover::sim
