#include "replicator/source_induction.h"

#include "replicator/source_read_back.h"
#include "replicator/source_skip.h"

namespace drover::replicator {
namespace {

constexpr int audits_max = 200;
constexpr std::int64_t audit_pause_ms = 2;

/// On the way back nothing is ever compared instead.
Error unproved(const char* id, const SourceJob& job, const std::string& why) {
    if (job.config.fence_point)
        return Error(Errc::conflict, id, why,
                     "all data here, and what the other side held when it was fenced",
                     "retry; or abandon the way back with the loss acknowledged");
    return Error(Errc::conflict, id, why,
                 "the source is unchanged and fenced; the target was not released",
                 "retry: the whole disks are then compared");
}

Error incomplete(const SourceJob& job, std::size_t disk, const std::string& why) {
    return unproved("proof_incomplete", job, "disk " + std::to_string(disk) + ": " + why);
}

Result<> audit_is_exact(SourceJob& job, std::size_t disk) {
    const std::lock_guard lock(job.tracker_mutex);
    for (int i = 0; i < audits_max; ++i) {
        TRY(const Audit audit, job.tracker(disk).audit());
        if (audit.verdict == Audit::Verdict::exact) return {};
        if (audit.verdict == Audit::Verdict::lost) job.lost_disks |= std::uint32_t{1} << disk;
        if (audit.verdict != Audit::Verdict::busy)
            return incomplete(job, disk, "events of the change tracker were lost: " + audit.detail);
        sleep_ms(audit_pause_ms);
    }
    return incomplete(job, disk, "it is being written");
}

Result<> disk_is_clean(SourceJob& job, std::size_t disk) {
    if (job.state.phase(disk) != CopyPhase::tracked)
        return incomplete(job, disk, "what the target holds of it is not known");
    TRY_VOID(audit_is_exact(job, disk));
    const bool lost = (job.lost_disks >> disk & 1) != 0;
    if (lost) return incomplete(job, disk, "events of the change tracker were lost");
    if (job.tracker(disk).dirty().count() > 0)
        return incomplete(job, disk, "changes were not sent");
    for (std::size_t half = 0; half < 2; ++half) {
        if (job.state.pending(disk, half).count() > 0)
            return incomplete(job, disk, "changes are not known to be durable on the target");
        if (job.state.unread(disk, half).count() > 0)
            return incomplete(job, disk, "changes are not known to have been read back");
    }
    return {};
}

Result<> this_side_is_clean(SourceJob& job) {
    for (std::size_t i = 0; i < job.disks(); ++i) TRY_VOID(disk_is_clean(job, i));
    return {};
}

Result<> target_holds_it(SourceJob& job, const Holding& target) {
    const PeerCheckpoint& held = target.checkpoint;
    const bool is_ours = held.state == CheckpointState::syncing &&
                         held.generation == job.state.generation() &&
                         held.batch == job.state.acked_batch();
    if (!is_ours)
        return unproved("proof_other_copy", job,
                        "the target holds batch " + std::to_string(held.batch) +
                            " of another state than batch " +
                            std::to_string(job.state.acked_batch()) + " of this copy");
    if (target.journal_lag_bytes > 0)
        return unproved("proof_unapplied", job,
                        std::to_string(target.journal_lag_bytes) +
                            " bytes are in the target's journal and not on its disks");
    return {};
}

Result<> target_read_it_back(SourceJob& job, PeerChannel& control) {
    const auto unread = [&](const std::string& why) { return unproved("proof_unread", job, why); };
    if (!job.reads_back) return unread("the target's agent does not read back what it writes");
    TRY_VOID(control.send(ReadBackWanted{true}));
    TRY(const ReadBackFound found, control.expect<ReadBackFound>());
    take_read_back(job, found);
    if (!found.differing.empty())
        return unread("the target's disk holds other bytes than were written to it");
    if (found.unverified_bytes > 0)
        return unread(std::to_string(found.unverified_bytes) + " bytes were not read back");
    return {};
}

}  // namespace

Result<VerifyDone> prove_by_induction(SourceJob& job, PeerChannel& control) {
    TRY_VOID(target_read_it_back(job, control));
    TRY_VOID(control.send(HoldingWanted{}));
    TRY(const Holding target, control.expect<Holding>());
    TRY_VOID(target_holds_it(job, target));
    // Last: what came up while the target was asked counts.
    TRY_VOID(this_side_is_clean(job));
    VerifyDone done;
    for (std::size_t i = 0; i < job.disks(); ++i) {
        DiskProof proof;
        proof.skipped_bytes = skipped_bytes(job, i);
        done.disks.push_back(proof);
    }
    return done;
}

}  // namespace drover::replicator
