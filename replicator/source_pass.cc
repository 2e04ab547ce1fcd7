#include "replicator/source_pass.h"

#include "base/assert.h"
#include "base/mutation.h"
#include "replicator/pass_plan.h"
#include "replicator/quiet_window.h"
#include "replicator/region_reader.h"
#include "replicator/source_skip.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace drover::replicator {
namespace {

/// A writer that leaves no quiet moment in as many rounds will leave none soon.
constexpr int rounds_max = 32;

/// The way back is one batch: all of it, or nothing.
bool is_full(const SourceJob& job, std::uint64_t open_bytes) {
    return !job.config.fence_point && batch_is_full(open_bytes, job.config.batch_bytes);
}

/// What is dirty on one disk: taken and read region by region, each while the one before it is
/// sent.
class DiskPass {
  public:
    DiskPass(SourceJob& job, BatchStream& stream, std::size_t disk, PassFacts& facts)
        : job_(job),
          stream_(stream),
          disk_(disk),
          facts_(facts),
          sweeps_(job.state.phase(disk) != CopyPhase::tracked),
          blocks_(job.tracker(disk).dirty().blocks()),
          block_(sweeps_ ? job.state.cursor(disk) / block_bytes : 0),
          reader_(job.device(disk)) {}

    /// False if interrupted.
    [[nodiscard]] Result<bool> run() {
        while (block_ < blocks_) {
            if (job_.interrupted()) return false;
            if (is_full(job_, stream_.open_bytes())) TRY_VOID(stream_.commit());
            take();
            if (!reading_) note_mirrored(block_);
            // What was taken is of the open batch: it is sent before that is committed, also if the
            // pass is interrupted.
            while (reading_) TRY_VOID(send_one());
        }
        return true;
    }

  private:
    struct Reading {
        std::uint64_t bytes = 0;
        std::uint64_t next_block = 0;
    };

    /// Takes the next region, and begins to read it if there is anything in it.
    void take() {
        const Region region =
            take_to_send(job_, disk_, job_.state.pending(disk_, stream_.open_batch()), block_);
        if (!sweeps_) job_.state.add(Counter::bytes_changed, region.taken_bits * block_bytes);
        block_ = region.next_block;
        if (region.extents.empty()) return;
        reading_ = Reading{region.bytes, region.next_block};
        reader_.begin(region.extents);
    }

    /// Waits for the region that is being read, lets the next one be read, and sends the first.
    [[nodiscard]] Result<> send_one() {
        const SteadyMillis began_ms = job_.clock.steady_ms();
        TRY(const auto pieces, reader_.wait());
        stream_.note_read(job_.clock.steady_ms() - began_ms,
                          job_.wishes.desired().limits.rate_bytes_per_s);
        const Reading read = *std::exchange(reading_, std::nullopt);
        const bool has_room = !is_full(job_, stream_.open_bytes() + read.bytes);
        if (block_ < blocks_ && has_room && !job_.interrupted()) take();
        for (const RegionReader::Piece& piece : pieces) {
            if (DROVER_MUTANT("dirty_cleared_after_read"))
                job_.tracker(disk_).dirty().clear(piece.offset / block_bytes,
                                                  blocks_of(piece.data.size()));
            TRY_VOID(send_read(job_, stream_, disk_, piece.offset, piece.data, facts_));
        }
        note_mirrored(reading_ ? read.next_block : block_);
        return stream_.flush();
    }

    void note_mirrored(std::uint64_t upto_block) {
        if (sweeps_)
            stream_.set_mirrored_upto(disk_, std::min(job_.size(disk_), upto_block * block_bytes));
    }

    SourceJob& job_;
    BatchStream& stream_;
    const std::size_t disk_;
    PassFacts& facts_;
    const bool sweeps_;
    const std::uint64_t blocks_;
    std::uint64_t block_;  ///< where the next region begins
    std::optional<Reading> reading_;
    RegionReader reader_;
};

/// Sends what is dirty on every disk. False if interrupted.
Result<bool> send_disks(SourceJob& job, BatchStream& stream, PassFacts& facts) {
    for (std::size_t i = 0; i < job.disks(); ++i) {
        // A lost audit has just sent it back; it is compared before the next pass.
        if (job.state.phase(i) == CopyPhase::comparing) continue;
        TRY(const bool is_complete, DiskPass(job, stream, i, facts).run());
        if (!is_complete) return false;
    }
    return true;
}

/// Goes round with the batch open until no write completes during a round. Gives up when the batch
/// would grow beyond a COMMIT or after rounds_max: then it is committed as it is, and is no point.
Result<bool> send_until_quiet(SourceJob& job, BatchStream& stream, PassFacts& facts) {
    QuietWindow::Trackers trackers;
    for (std::size_t i = 0; i < job.disks(); ++i) trackers.push_back(&job.tracker(i));
    QuietWindow window(std::move(trackers));
    if (!window.is_possible()) return send_disks(job, stream, facts);
    for (int round = 0; round < rounds_max; ++round) {
        window.begin();
        TRY(const bool is_complete, send_disks(job, stream, facts));
        if (!is_complete) return false;
        TRY(auto taken, look(job, window));
        if (DROVER_MUTANT("pass_is_point")) taken = job.clock.wall_micros();
        facts.is_point = taken.has_value();
        if (taken) stream.mark_point(*taken);
        if (facts.is_point || job.lost_disks != 0 || is_full(job, stream.open_bytes())) break;
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

Result<> send_read(SourceJob& job, BatchStream& stream, std::size_t disk, std::uint64_t offset,
                   ByteView data, PassFacts& facts) {
    {
        const std::lock_guard lock(job.tracker_mutex);
        job.tracker(disk).observe(offset, data);
    }
    TRY(const BatchStream::Sent sent, stream.send(static_cast<std::uint32_t>(disk), offset, data));
    facts.sent_bytes += sent.payload_bytes;
    const bool mirrors = job.state.phase(disk) == CopyPhase::mirroring;
    job.state.add(mirrors ? Counter::bytes_sent_mirror : Counter::bytes_sent_sync,
                  sent.payload_bytes);
    job.state.add(Counter::bytes_zero_skipped, sent.zero_bytes);
    report_progress(job);
    // The limit is for the sake of the link, so it counts what the link carries.
    const std::int64_t wait = job.rate.wait_ms(
        sent.wire_bytes, job.wishes.desired().limits.rate_bytes_per_s, job.clock.steady_ms());
    if (wait <= 0) return {};
    TRY_VOID(stream.flush());
    return job.wishes.delay(wait, job.serial);
}

Result<std::optional<WallMicros>> look(SourceJob& job, QuietWindow& window) {
    const std::lock_guard lock(job.tracker_mutex);
    // Not later: a disk may be written while the audits run, and that is not in the point.
    const WallMicros taken = job.clock.wall_micros();
    TRY(const QuietWindow::Sight sight, window.look());
    for (std::size_t i = 0; i < sight.audits.size(); ++i) {
        const Audit::Verdict verdict = sight.audits[i].verdict;
        const bool is_lost = verdict == Audit::Verdict::lost;
        if (is_lost) job.lost_disks |= std::uint32_t{1} << i;
        if (is_lost || verdict == Audit::Verdict::repaired)
            job.state.add(Counter::tracker_losses, 1);
    }
    return sight.is_quiet ? std::optional(taken) : std::nullopt;
}

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
            TRY_VOID(
                compare_anew(job, i, "events of the change tracker were lost: " + audit.detail));
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
    const bool makes_points = job.makes_points && all_tracked(job);
    TRY(facts.is_complete,
        makes_points ? send_until_quiet(job, stream, facts) : send_disks(job, stream, facts));
    TRY_VOID(stream.finish());
    end_sweeps(job);
    job.state.add(Counter::passes, 1);
    return facts;
}

}  // namespace drover::replicator
