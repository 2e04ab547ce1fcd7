// Rules about targets that keep a redo journal. They are looked at as a power cut would leave the
// target's disks and journal if it came now: with the product's own recovery, on copies.
#include "replicator/redo_journal.h"
#include "replicator/target_journal.h"
#include "simulations/invariants.h"
#include "simulations/remains.h"

namespace drover::sim {
namespace {

using statemachine::Phase;

/// A recovery takes long compared with a step. A flush changes what a power cut would leave.
constexpr std::uint64_t steps_a_look = 16;

}  // namespace

/// A user wrote to the source, or it lost power: also what nobody meant to write is there now.
void Invariants::on_source_changed(SimulatedJob& job) {
    if (world_.options.journal_blocks == 0) return;
    std::vector<const Disk*> disks;
    for (const DiskPair& pair : job.spec.disks)
        disks.push_back(job.source_machine->find(pair.source));
    job.source_history.note(disks);
}

void Invariants::on_acknowledged(SimulatedJob& job, std::uint64_t batch) {
    check_power_cut(job, "acknowledging batch " + std::to_string(batch), batch);
}

void Invariants::on_power_lost(const AgentHost& host) {
    SimulatedJob* const job = world_.job_of(host.machine.name);
    if (job == nullptr || world_.options.journal_blocks == 0) return;
    if (&host == job->source.get()) return on_source_changed(*job);
    check_base(*job, "after a power cut");
    check_power_cut(*job, "after a power cut", 0);
}

/// A step of the target's process.
void Invariants::on_target_step(SimulatedJob& job, std::string_view step) {
    check_base(job, step);
    if (step == "disk.flushed" || ++steps_of_targets_ % steps_a_look == 0)
        check_power_cut(job, "at " + std::string(step), 0);
}

/// `acknowledged`: 0 if nothing is, at this moment.
void Invariants::check_power_cut(SimulatedJob& job, const std::string& when,
                                 std::uint64_t acknowledged) {
    if (!job.id) return;
    // Its data may be deleted now; the journal goes last.
    const bool is_over = job.phase == Phase::rolled_back || job.phase == Phase::cancelled;
    if (acknowledged == 0 && is_over) return;
    const File* const file = world_.environment.files.find(
        replicator::journal_path(job.target_machine->journal_root(), *job.id).native());
    if (file == nullptr || !file->durable) return;
    Remains remains(job, Side::target, *file->durable);
    const auto header = replicator::JournalStore(remains.file).open();
    const bool is_known = header && header->journal == job.journal;
    if (acknowledged == 0 && !is_known) return;  // it is being made
    const auto journal =
        header ? replicator::RedoJournal::open(remains.file, remains.disks, header->key)
               : Result<std::unique_ptr<replicator::RedoJournal>>(header.error());
    if (!journal)
        return world_.violate("what a journal holds survives a power cut",
                              "job " + job.name + ", " + when + ": " + journal.error().text());
    if (acknowledged != 0) {
        job.journal = header->journal;
        job.acknowledged = acknowledged;
    }
    const std::uint64_t left = (*journal)->last().batch;
    if (left < job.acknowledged)
        return world_.violate("what is acknowledged survives a power cut",
                              "job " + job.name + ", " + when + ": batch " +
                                  std::to_string(job.acknowledged) + " was acknowledged, " +
                                  std::to_string(left) + " would be left");
    if ((*journal)->applied().is_point) check_point(job, remains.images(), when);
    if (!(*journal)->is_frozen()) return;
    // Once the test is over, what came meanwhile goes to the disks.
    auto done = (*journal)->thaw();
    if (done) done = (*journal)->apply_all();
    if (!done || (*journal)->applied().batch != left)
        return world_.violate("what a journal holds survives a power cut",
                              "job " + job.name + ", " + when + ", after the test: " +
                                  (done ? "a batch is gone" : done.error().text()));
    if ((*journal)->applied().is_point)
        check_point(job, remains.images(), when + ", after the test");
}

/// Bits that rot and writes that go astray are found by reading back or comparing; a copy of the
/// source's machine sends what its own disks hold.
void Invariants::check_point(SimulatedJob& job, std::span<const std::vector<Version>> images,
                             const std::string& when) {
    if (job.contents_damaged || job.write_flipped || job.cloned) return;
    if (!job.source_history.held(images))
        world_.violate("a point is what the source's disks held at one moment",
                       "job " + job.name + ", " + when);
}

}  // namespace drover::sim
