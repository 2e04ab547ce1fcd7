// What people do on the machines of a job: root, who gives its disks, and the users of what runs
// there.
#include "agent/exposure.h"
#include "base/assert.h"
#include "simulations/invariants.h"
#include "simulations/world.h"

namespace drover::sim {

/// A target's before the wave, and of some sources those that may take back what its users write.
void World::expose_disks(const SimulatedJob& job) {
    const agent::ExposureStore exposures(
        agent::StatePaths{job.target_machine->state_root()}.exposures());
    const auto ops = open_host(*job.target_machine);
    for (const DiskPair& disk : job.spec.disks) {
        const auto exposed = agent::expose_disk(exposures, *ops, disk.target, {});
        DROVER_ASSERT(exposed.has_value());
    }
    if (!job.script.takes_back) return;
    const agent::ExposureStore consents(
        agent::StatePaths{job.source_machine->state_root()}.reverse_exposures());
    const auto source = open_host(*job.source_machine);
    for (const DiskPair& disk : job.spec.disks) {
        const auto exposed = agent::expose_reverse(consents, *source, disk.source);
        DROVER_ASSERT(exposed.has_value());
    }
}

void World::churn(SimulatedJob& job) {
    if (job.done) return;
    Dice own(options.seed ^ (job.index * 0x9e37ULL) ^ static_cast<std::uint64_t>(scheduler.now()));
    // Now and then more than a journal has room for.
    const bool is_flood = options.journal_blocks != 0 && own.one_in(6);
    const auto burst = is_flood ? own.between(8, 60) : own.between(1, 4);
    for (Machine* machine : {job.source_machine.get(), job.target_machine.get()})
        for (std::int64_t i = 0; i < burst; ++i)
            (void)machine->write_as_workload(job.name, own.below(options.disks),
                                             own.below(options.blocks));
    if (job.target_machine->trials.contains(job.name))
        for (std::int64_t i = 0; i < burst; ++i)
            (void)job.target_machine->write_as_trial(job.name, own.below(options.disks),
                                                     own.below(options.blocks));
    scheduler.after(own.between(options.churn_every / 2, options.churn_every * 3 / 2),
                    [this, &job] { churn(job); });
}

/// A user's write while the replicator reads: after the bytes were taken, before it knows them.
void World::race(ProcessId process) {
    SimulatedJob* job = job_of_process(process);
    if (job == nullptr || job->source->process() != process || scheduler.now() > calm_at) return;
    if (!race_dice_.one_in(options.race_one_in)) return;
    (void)job->source_machine->write_as_workload(job->name, race_dice_.below(options.disks),
                                                 race_dice_.below(options.blocks));
}

}  // namespace drover::sim
