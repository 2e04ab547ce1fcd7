#include "replicator/source_job.h"

#include "replicator/pass_plan.h"
#include "replicator/source_skip.h"

#include <numeric>

namespace drover::replicator {

namespace {

std::vector<std::uint64_t> sizes_of(const SourceConfig& config) {
    std::vector<std::uint64_t> sizes;
    for (const SourceDisk& disk : config.disks) sizes.push_back(disk.device->facts().size_bytes);
    return sizes;
}

}  // namespace

SourceJob::SourceJob(SourceConfig given, SourceState earlier, SourceObserver& observer, Clock& time,
                     Random& randomness)
    : config(std::move(given)),
      state(std::move(earlier)),
      wishes({config.ticket, config.mode, config.limits, config.overwrite_acknowledged}),
      report(config.ticket.job, sizes_of(config), config.backlog_bytes_max, state,
             config.pacing.progress_every_ms, observer, time),
      clock(time),
      random(randomness) {}

std::uint64_t backlog_of(SourceJob& job, std::size_t disk) {
    const std::uint64_t size = job.size(disk);
    const CopyPhase phase = job.state.phase(disk);
    if (phase == CopyPhase::unknown || phase == CopyPhase::comparing) return size;
    const std::uint64_t blocks = count_union(job.tracker(disk).dirty(), job.state.pending(disk, 0),
                                             job.state.pending(disk, 1));
    return std::min(size, blocks * block_bytes);
}

SourceReport::Backlogs backlogs_of(SourceJob& job) {
    SourceReport::Backlogs backlogs;
    for (std::size_t i = 0; i < job.disks(); ++i) backlogs.push_back(backlog_of(job, i));
    return backlogs;
}

bool all_tracked(const SourceJob& job) {
    for (std::size_t i = 0; i < job.disks(); ++i) {
        if (job.state.phase(i) != CopyPhase::tracked) return false;
    }
    return true;
}

std::uint64_t total_backlog(SourceJob& job) {
    const auto backlogs = backlogs_of(job);
    return std::accumulate(backlogs.begin(), backlogs.end(), std::uint64_t{0});
}

void tell_progress(SourceJob& job) {
    std::uint64_t skipped = 0;
    for (std::size_t i = 0; i < job.disks(); ++i) skipped += skipped_bytes(job, i);
    job.report.set_skipped(skipped);
    job.report.progress(backlogs_of(job));
}

void report_progress(SourceJob& job) {
    if (job.report.is_due()) tell_progress(job);
}

Result<> compare_anew(SourceJob& job, std::size_t disk, const std::string& cause) {
    if (job.config.fence_point) {
        // Under this name nobody knows the fence point: the doubt outlives this process.
        job.state.renew_generation(job.random.uuid());
        return changes_unknown(cause);
    }
    revoke_skips(job, disk);
    // First the phase: killed in between, the disk is compared although the target knows it.
    job.state.set_cursor(disk, 0);
    job.state.set_phase(disk, CopyPhase::comparing);
    job.state.renew_generation(job.random.uuid());
    // A tracker that lost events marked every block. From here on the comparison decides what is
    // sent: a write before this line is seen by its reads, one after it keeps its bit.
    job.tracker(disk).dirty().clear_all();
    job.state.unread(disk, 0).clear_all();
    job.state.unread(disk, 1).clear_all();
    job.report.generation_gone(static_cast<std::uint32_t>(disk), cause);
    return {};
}

Result<> check_sizes(SourceJob& job) {
    for (std::size_t i = 0; i < job.disks(); ++i) {
        TRY(const std::uint64_t present, job.device(i).present_size_bytes());
        if (present == job.size(i)) continue;
        const std::string what = job.device(i).facts().path + " has " + std::to_string(present) +
                                 " bytes now; the job was planned with " +
                                 std::to_string(job.size(i));
        // What a smaller disk gives up comes back as zeroes, and no write says so: that the size
        // is right again later proves nothing.
        const std::lock_guard lock(job.tracker_mutex);
        if (job.state.phase(i) == CopyPhase::comparing)
            job.state.set_cursor(i, 0);
        else if (job.state.phase(i) != CopyPhase::unknown)
            TRY_VOID(compare_anew(job, i, "the disk was resized: " + what));
        return Error(Errc::io, "disk_resized", what, "what was copied before",
                     "give the disk its size back, or plan the job again with the new size");
    }
    return {};
}

}  // namespace drover::replicator
