#include "replicator/target_state.h"

#include "base/file.h"
#include "base/log.h"

namespace drover::replicator {
namespace {

Result<> check_sizes(const TargetConfig& config) {
    if (config.disks.size() != config.ticket.disks.size() ||
        config.disks.size() != config.ticket.sizes_bytes.size())
        return Error(Errc::invalid, "ticket_mismatch",
                     "the ticket names another number of disks than are open here");
    for (std::size_t i = 0; i < config.disks.size(); ++i) {
        const DeviceFacts& facts = config.disks[i]->facts();
        if (facts.size_bytes >= config.ticket.sizes_bytes[i]) continue;
        return Error(Errc::invalid, "target_too_small",
                     facts.path + " has " + std::to_string(facts.size_bytes) +
                         " bytes, the source disk " + std::to_string(config.ticket.sizes_bytes[i]),
                     "both disks; nothing was written",
                     "provide a target disk of at least the source's size");
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<TargetState>> TargetState::open(TargetConfig& config) {
    TRY_VOID(check_sizes(config));
    TRY_VOID(make_directory_durably(config.state_directory));
    std::unique_ptr<TargetState> state(new TargetState(config));
    TRY(const auto found, read_checkpoint(state->directory_));
    if (!found) {
        state->checkpoint_.lineage = config.ticket.lineage;
        state->checkpoint_.job = config.ticket.job;
        for (std::size_t i = 0; i < state->disks_.size(); ++i)
            state->checkpoint_.disks.push_back(
                {0, config.ticket.sizes_bytes[i], state->disks_[i]->facts().identity});
        return state;
    }
    if (found->job != config.ticket.job || found->lineage != config.ticket.lineage ||
        found->disks.size() != config.ticket.disks.size())
        return Error(Errc::conflict, "checkpoint_mismatch",
                     "the checkpoint in " + state->directory_.native() + " is of another job",
                     "the data on the target's disks; nothing is written to them",
                     "clean up the other job first");
    state->checkpoint_ = *found;
    state->distrust_changed_disks();
    return state;
}

/// A checkpoint speaks of certain disks. Where one cannot be recognised, its content counts as
/// unknown: everything is compared.
void TargetState::distrust_changed_disks() {
    for (std::size_t i = 0; i < disks_.size(); ++i) {
        CheckpointDisk& known = checkpoint_.disks[i];
        const std::string& identity = disks_[i]->facts().identity;
        if (!identity.empty() && known.identity == identity) continue;
        log::warn("replicator", "a target disk is not the one the checkpoint speaks of",
                  "disk=" + std::to_string(i) + " was=" + known.identity + " is=" + identity);
        known.identity = identity;
        known.mirrored_upto = 0;
        checkpoint_.generation = Generation();
        if (checkpoint_.state == CheckpointState::syncing)
            checkpoint_.state = CheckpointState::invalid;
    }
}

Checkpoint TargetState::checkpoint() const {
    const std::lock_guard lock(mutex_);
    return checkpoint_;
}

Result<> TargetState::replace(const Checkpoint& checkpoint) {
    const std::lock_guard lock(mutex_);
    is_certain_ = false;
    TRY_VOID(write_checkpoint(directory_, checkpoint));
    is_certain_ = true;
    checkpoint_ = checkpoint;
    return {};
}

Result<> TargetState::make_certain() {
    const std::lock_guard lock(mutex_);
    if (is_certain_) return {};
    TRY(const auto found, read_checkpoint(directory_));
    TRY_VOID(sync_directory(directory_));
    if (found) {
        checkpoint_ = *found;
        distrust_changed_disks();
    }
    is_certain_ = true;
    return {};
}

Result<> TargetState::remove_checkpoint() {
    const std::lock_guard lock(mutex_);
    return remove_file_durably(checkpoint_path(directory_));
}

std::vector<std::uint64_t> TargetState::disk_sizes() const {
    std::vector<std::uint64_t> sizes;
    for (const auto& disk : disks_) sizes.push_back(disk->facts().size_bytes);
    return sizes;
}

std::vector<std::uint32_t> TargetState::sector_bytes() const {
    std::vector<std::uint32_t> sectors;
    for (const auto& disk : disks_) sectors.push_back(disk->facts().sector_bytes);
    return sectors;
}

}  // namespace drover::replicator
