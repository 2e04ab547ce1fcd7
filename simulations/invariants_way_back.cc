// Rules about a source that is fenced: what it holds when it is released, and what a power cut
// would leave of it while it takes back what was written on its target.
#include "agent/fence_store.h"
#include "agent/state_store.h"
#include "replicator/target_journal.h"
#include "simulations/invariants.h"
#include "simulations/remains.h"

#include <utility>

namespace drover::sim {
namespace {

constexpr std::uint64_t steps_a_look = 16;

std::optional<agent::FenceMarker> marker_of(const SimulatedJob& job) {
    if (!job.id) return std::nullopt;
    const Machine& machine = *job.source_machine;
    const agent::FenceStore fences(agent::StatePaths{machine.state_root()}.fences(),
                                   machine.identity);
    const auto found = fences.of_job(*job.id);
    return found ? *found : std::nullopt;
}

const File* journal_of(World& world, const SimulatedJob& job) {
    const auto path = replicator::journal_path(job.source_machine->journal_root(), *job.id,
                                               replicator::JournalDuty::first_point);
    const File* const file = world.environment.files.find(path.native());
    return file == nullptr || !file->durable ? nullptr : file;
}

/// Bits that rotted on the target, nobody tells; a clone writes there; and who wrote to a fenced
/// disk by hand has voided the fence.
bool is_explained(const SimulatedJob& job) {
    return job.contents_damaged || job.cloned || job.fence_disturbed;
}

Result<std::unique_ptr<replicator::RedoJournal>> recovered(Remains& remains) {
    TRY(const auto header, replicator::JournalStore(remains.file).open());
    return replicator::RedoJournal::open(remains.file, remains.disks, header.key,
                                         replicator::JournalDuty::first_point);
}

}  // namespace

/// What the source holds as its fence closes.
void Invariants::note_images(SimulatedJob& job, std::string_view step) {
    if (step == "agent.fence.read_only") job.fenced_image = durable_images(job, Side::source);
    if (step == "agent.reverse.marker") job.taken_back = 0;
}

/// What the target holds once it is known to be down: nobody writes there from then on.
void Invariants::note_down(SimulatedJob& job, const statemachine::Event& event) {
    if (std::holds_alternative<statemachine::TargetDeactivated>(event))
        job.down_image = durable_images(job, Side::target);
}

/// The guard has just gone.
void Invariants::check_not_reversing(SimulatedJob& job) {
    if (world_.scheduler.running_process() != job.source->process()) return;
    const auto marker = marker_of(job);
    if (marker && marker->state == agent::FenceState::reversing)
        world_.violate("no release while the marker says reversing", "job " + job.name);
}

/// The moment before its users may write again; once for each fence.
void Invariants::check_released(SimulatedJob& job) {
    const Images fenced = std::exchange(job.fenced_image, {});
    const statemachine::Job* state = world_.state_of(job);
    if (fenced.empty() || state == nullptr || job.fence_disturbed) return;
    const Images found = durable_images(job, Side::source);
    if (!state->reverse_verified && found != fenced)
        world_.violate("a source is released as it was fenced, unless all came back",
                       "job " + job.name);
    if (state->reverse_verified && found != job.down_image && !is_explained(job))
        world_.violate("a rollback that keeps brings back what the target held when it was down",
                       "job " + job.name);
}

/// A step of the source's process on its disks or its journal: only what comes back is written.
void Invariants::on_source_step(SimulatedJob& job, std::string_view step) {
    if (step == "disk.written") on_source_changed(job);
    if (step == "disk.flushed" || ++steps_of_sources_ % steps_a_look == 0)
        check_way_back_cut(job, "at " + std::string(step));
}

void Invariants::on_taken_back(SimulatedJob& job, std::uint64_t batch) {
    job.taken_back = batch;
    check_way_back_cut(job, "acknowledging batch " + std::to_string(batch));
}

/// From the first write in place until it is decided which image stays, both are there.
void Invariants::check_way_back_cut(SimulatedJob& job, const std::string& when) {
    const statemachine::Job* state = world_.state_of(job);
    if (state == nullptr || state->reverse_verified || job.fence_disturbed) return;
    const auto marker = marker_of(job);
    const bool has_begun = marker && marker->state == agent::FenceState::reversing &&
                           marker->reverse == agent::ReverseState::begun;
    if (!has_begun || job.fenced_image.empty()) return;
    const auto lost = [&](const std::string& why) {
        world_.violate("what a source held when it was fenced survives a power cut",
                       "job " + job.name + ", " + when + ": " + why);
    };
    const File* const file = journal_of(world_, job);
    if (file == nullptr) return lost("its journal is gone");
    Remains remains(job, Side::source, *file->durable);
    const auto journal = recovered(remains);
    if (!journal) return lost(journal.error().text());
    const bool comes_back =
        state->rollback && state->rollback->mode == statemachine::RollbackMode::keep;
    if (comes_back && (*journal)->applied().batch < job.taken_back)
        world_.violate("what is acknowledged survives a power cut",
                       "job " + job.name + ", " + when + ": batch " +
                           std::to_string(job.taken_back) + " came back, " +
                           std::to_string((*journal)->applied().batch) + " would be left");
    if (const auto restored = (*journal)->restore(0); !restored)
        return lost(restored.error().text());
    if (remains.images() != job.fenced_image) lost("other blocks would be restored");
}

/// Both ends say that all of it is there.
void Invariants::check_taken_back(SimulatedJob& job) {
    if (is_explained(job) || job.down_image.empty()) return;
    const File* const file = journal_of(world_, job);
    bool is_there = file != nullptr;
    if (is_there) {
        Remains remains(job, Side::source, *file->durable);
        is_there = recovered(remains).has_value() && remains.images() == job.down_image;
    }
    if (!is_there)
        world_.violate("what came back is durable on the source when that is proved",
                       "job " + job.name);
}

}  // namespace drover::sim
