#include "replicator/target_admission.h"

namespace drover::replicator {
namespace {

constexpr const char* untouched = "the target's disks; nothing was written";

Result<> check_ticket(const TargetView& target, const PeerHello& hello) {
    const Ticket& shown = hello.ticket;
    if (shown.job != target.ticket.job || shown.lineage != target.ticket.lineage)
        return Error(Errc::denied, "ticket_mismatch", "the ticket is for another job", untouched,
                     "check which jobs name these two agents");
    const std::uint64_t seen = std::max(target.checkpoint.serial, target.ticket.serial);
    if (shown.serial < seen)
        return Error(Errc::denied, "ticket_superseded",
                     "ticket serial " + std::to_string(shown.serial) + " is below " +
                         std::to_string(seen) + ", which this target has seen",
                     untouched, "the source goes on once it has the newer ticket");
    return {};
}

Result<> check_geometry(const TargetView& target, const PeerHello& hello) {
    const Ticket& shown = hello.ticket;
    const std::size_t count = target.checkpoint.disks.size();
    if (shown.disks.size() != count || shown.sizes_bytes.size() != count)
        return Error(Errc::invalid, "ticket_mismatch", "the ticket names another number of disks",
                     untouched, "plan the job again");
    if (target.disk_sizes.size() != count)
        return Error(Errc::unavailable, "target_disks_closed",
                     "the target's disks are not open for replication", untouched,
                     "the source tries again by itself");
    for (std::size_t i = 0; i < count; ++i) {
        const bool fits = shown.sizes_bytes[i] <= target.disk_sizes[i];
        const bool ends_on_sector = shown.sizes_bytes[i] == target.disk_sizes[i] ||
                                    shown.sizes_bytes[i] % target.sector_bytes[i] == 0;
        if (fits && ends_on_sector) continue;
        if (fits)
            return Error(Errc::invalid, "target_sectors",
                         "disk " + std::to_string(i) + " of the source has " +
                             std::to_string(shown.sizes_bytes[i]) +
                             " bytes, which do not end on a sector of the larger target",
                         untouched, "provide a target disk of exactly the source's size");
        return Error(Errc::invalid, "target_too_small",
                     "disk " + std::to_string(i) + " of the target has " +
                         std::to_string(target.disk_sizes[i]) + " bytes, the source " +
                         std::to_string(shown.sizes_bytes[i]),
                     untouched, "provide a target disk of at least the source's size");
    }
    return {};
}

Error promoted() {
    return Error(Errc::denied, "target_promoted",
                 "the target's disks were released to users and may hold their writes",
                 "everything on the target's disks",
                 "resync the job and acknowledge by name that those writes are lost");
}

/// What was mirrored and sampled is told in the geometry of the plan before.
void resize(Checkpoint& checkpoint, CheckpointDisk& disk, std::uint64_t size_bytes) {
    if (disk.size_bytes == size_bytes) return;
    disk.size_bytes = size_bytes;
    disk.samples.clear();
    if (!checkpoint.generation.is_zero()) checkpoint.state = CheckpointState::invalid;
    checkpoint.generation = Generation();
}

}  // namespace

Result<Checkpoint> admit(const TargetView& target, const PeerHello& hello) {
    if (hello.version_min > peer_version || hello.version_max < peer_version)
        return Error(Errc::unsupported, "version_mismatch",
                     "the source speaks peer protocol " + std::to_string(hello.version_min) + ".." +
                         std::to_string(hello.version_max) + ", this target " +
                         std::to_string(peer_version),
                     untouched, "install versions that belong together on both agents");
    TRY_VOID(check_ticket(target, hello));
    Checkpoint next = target.checkpoint;
    if (next.state == CheckpointState::promoted) {
        const bool acknowledged = target.overwrite_acknowledged && hello.overwrite_acknowledged &&
                                  hello.ticket.serial > next.serial;
        if (!acknowledged) return promoted();
        next.state = CheckpointState::invalid;
        next.generation = Generation();
    }
    TRY_VOID(check_geometry(target, hello));
    next.serial = hello.ticket.serial;
    for (std::size_t i = 0; i < next.disks.size(); ++i)
        resize(next, next.disks[i], hello.ticket.sizes_bytes[i]);
    if (next.state == CheckpointState::invalid)
        for (CheckpointDisk& disk : next.disks) disk.mirrored_upto = 0;
    return next;
}

}  // namespace drover::replicator
