#include "replicator/source_pass.h"

#include "base/assert.h"
#include "base/mutation.h"
#include "replicator/aligned_buffer.h"
#include "replicator/pass_plan.h"
#include "replicator/source_skip.h"

#include <algorithm>
#include <memory>

namespace drover::replicator {
namespace {

Result<> check_sizes(SourceJob& job) {
    for (std::size_t i = 0; i < job.disks(); ++i) {
        TRY(const std::uint64_t present, job.device(i).present_size_bytes());
        if (present == job.size(i)) continue;
        return Error(Errc::io, "disk_resized",
                     job.device(i).facts().path + " has " + std::to_string(present) +
                         " bytes now; the job was planned with " + std::to_string(job.size(i)),
                     "what was copied before", "plan the job again with the new size");
    }
    return {};
}

/// Reads one extent and sends it. The tracker learns what is sent, exactly.
Result<> send_extent(SourceJob& job, BatchStream& stream, std::size_t disk, const Extent& extent,
                     const AlignedBuffer& buffer, PassFacts& facts) {
    const auto data = buffer.first(extent.length);
    TRY_VOID(job.device(disk).read(extent.offset, data));
    if (DROVER_MUTANT("dirty_cleared_after_read"))
        job.tracker(disk).dirty().clear(extent.offset / block_bytes, blocks_of(data.size()));
    {
        const std::lock_guard lock(job.tracker_mutex);
        job.tracker(disk).observe(extent.offset, data);
    }
    TRY(const BatchStream::Sent sent,
        stream.send(static_cast<std::uint32_t>(disk), extent.offset, data));
    facts.sent_bytes += sent.payload_bytes;
    const bool mirrors = job.state.phase(disk) == CopyPhase::mirroring;
    job.state.add(mirrors ? Counter::bytes_sent_mirror : Counter::bytes_sent_sync,
                  sent.payload_bytes);
    job.state.add(Counter::bytes_zero_skipped, sent.zero_bytes);
    report_progress(job);
    const std::int64_t wait = job.rate.wait_ms(
        sent.payload_bytes, job.wishes.desired().limits.rate_bytes_per_s, job.clock.steady_ms());
    return wait > 0 ? job.wishes.delay(wait, job.serial) : Result<>();
}

/// Sends what is dirty on one disk. False if interrupted.
Result<bool> send_disk(SourceJob& job, BatchStream& stream, std::size_t disk, PassFacts& facts) {
    const bool sweeps = job.state.phase(disk) != CopyPhase::tracked;
    const std::uint64_t size = job.size(disk);
    const BlockMap dirty = job.tracker(disk).dirty();
    std::unique_ptr<AlignedBuffer> buffer;  // most passes over an idle disk need none
    std::uint64_t block = sweeps ? job.state.cursor(disk) / block_bytes : 0;
    while (block < dirty.blocks()) {
        if (job.interrupted()) return false;
        if (batch_is_full(stream.open_bytes())) TRY_VOID(stream.commit());
        const Region region =
            take_to_send(job, disk, job.state.pending(disk, stream.open_batch()), block);
        if (!sweeps) job.state.add(Counter::bytes_changed, region.taken_bits * block_bytes);
        if (!region.extents.empty() && !buffer)
            buffer = std::make_unique<AlignedBuffer>(extent_bytes_max);
        for (const Extent& extent : region.extents)
            TRY_VOID(send_extent(job, stream, disk, extent, *buffer, facts));
        block = region.next_block;
        if (sweeps) stream.set_mirrored_upto(disk, std::min(size, block * block_bytes));
    }
    return true;
}

/// Everything sent is acknowledged: disks whose sweep reached the end are tracked from now on.
void end_sweeps(SourceJob& job) {
    for (std::size_t i = 0; i < job.disks(); ++i) {
        const CopyPhase phase = job.state.phase(i);
        const bool sweeps = phase == CopyPhase::mirroring || phase == CopyPhase::catching_up;
        if (sweeps && job.state.cursor(i) == job.size(i))
            job.state.set_phase(i, CopyPhase::tracked);
    }
    if (all_tracked(job)) job.report.mirror_done(job.state.generation());
}

}  // namespace

Result<bool> refresh_trackers(SourceJob& job) {
    const std::lock_guard lock(job.tracker_mutex);
    const std::uint32_t lost_before = job.lost_disks.exchange(0);
    bool exact = true;
    for (std::size_t i = 0; i < job.disks(); ++i) {
        if (job.state.phase(i) != CopyPhase::tracked) continue;
        TRY_VOID(job.tracker(i).refresh());
        TRY(const Audit audit, job.tracker(i).audit());
        const bool was_lost = (lost_before >> i & 1) != 0;
        const bool is_lost = audit.verdict == Audit::Verdict::lost;
        exact = exact && audit.verdict == Audit::Verdict::exact && !was_lost;
        if (is_lost || audit.verdict == Audit::Verdict::repaired)
            job.state.add(Counter::tracker_losses, 1);
        if (is_lost || was_lost)
            compare_anew(job, i, "events of the change tracker were lost: " + audit.detail);
    }
    return exact;
}

Result<PassFacts> run_pass(SourceJob& job, BatchStream& stream) {
    PassFacts facts;
    TRY_VOID(check_sizes(job));
    const SteadyMillis began = job.clock.steady_ms();
    TRY(facts.is_audited, refresh_trackers(job));
    facts.refresh_ms = job.clock.steady_ms() - began;
    facts.backlog_bytes = total_backlog(job);
    // Before anything is sent: a long pass must not go on calling an old state the present one.
    if (all_tracked(job)) job.report.pass(facts.backlog_bytes, backlogs_of(job));
    facts.is_complete = true;
    for (std::size_t i = 0; i < job.disks() && facts.is_complete; ++i) {
        // A lost audit has just sent it back; it is compared before the next pass.
        if (job.state.phase(i) == CopyPhase::comparing) continue;
        TRY(facts.is_complete, send_disk(job, stream, i, facts));
    }
    TRY_VOID(stream.finish());
    end_sweeps(job);
    job.state.add(Counter::passes, 1);
    return facts;
}

}  // namespace drover::replicator
