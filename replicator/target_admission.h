/// Who may open a session with a target, and what that makes of its checkpoint. Pure.
#pragma once

#include "replicator/checkpoint.h"

namespace drover::replicator {

struct TargetView {
    const Ticket& ticket;         ///< the target's own, from its orchestrator
    bool overwrite_acknowledged;  ///< likewise
    const Checkpoint& checkpoint;
    std::vector<std::uint64_t> disk_sizes;  ///< empty when the disks are closed
    std::vector<std::uint32_t> sector_bytes;
};

/// The checkpoint to make durable before the first frame is accepted: with the hello's serial, and
/// void if the disks were promoted and the overwrite was acknowledged, or if the job was planned
/// anew with a disk of another size. Equal to the current one in the common case. Errors: denied
/// (serial, promoted, another job), invalid (geometry), unsupported (version), unavailable (disks
/// not open).
[[nodiscard]] Result<Checkpoint> admit(const TargetView& target, const PeerHello& hello);

}  // namespace drover::replicator
