#include "replicator/source_seal.h"

#include "replicator/aligned_buffer.h"
#include "replicator/pass_plan.h"
#include "replicator/quiet_window.h"
#include "replicator/source_pass.h"
#include "replicator/source_skip.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr int settle_passes_max = 16;
constexpr int frozen_rounds_max = 32;

/// What was read while nothing else could be done with it. Its memory is there before.
class Spool {
  public:
    struct Part {
        std::size_t disk = 0;
        std::uint64_t offset = 0;
        std::size_t at = 0;
        std::size_t length = 0;
    };

    Spool()
        : buffer_(spool_bytes_max) {
        std::ranges::fill(buffer_.first(spool_bytes_max), std::uint8_t{0});
        parts_.reserve(spool_bytes_max / block_bytes);
    }

    [[nodiscard]] bool has_room(std::uint64_t bytes) const {
        return used_ + bytes <= spool_bytes_max;
    }

    [[nodiscard]] std::span<std::uint8_t> add(std::size_t disk, const Extent& extent) {
        const auto out = buffer_.first(spool_bytes_max).subspan(used_, extent.length);
        parts_.push_back({disk, extent.offset, used_, extent.length});
        used_ += (extent.length + block_bytes - 1) / block_bytes * block_bytes;
        return out;
    }

    [[nodiscard]] const std::vector<Part>& parts() const { return parts_; }

    [[nodiscard]] ByteView bytes(const Part& part) const {
        return ByteView(buffer_.first(spool_bytes_max)).subspan(part.at, part.length);
    }

  private:
    AlignedBuffer buffer_;
    std::size_t used_ = 0;
    std::vector<Part> parts_;
};

struct Collected {
    std::optional<WallMicros> taken = {};  ///< none: not all of it in a quiet moment
    bool is_too_large = false;
};

SealOutcome refused(Error error) {
    return {{}, std::move(error)};
}

SealOutcome not_refused(const SealedPoint& point) {
    return {point, {}};
}

Error too_large() {
    return Error(Errc::unavailable, "freeze_backlog_too_large",
                 "more is written than can be sent while the filesystems stand still",
                 "everything that was copied; nothing is frozen",
                 "try again when less is written, or raise the job's rate limit");
}

Error never_quiet() {
    return Error(Errc::unavailable, "freeze_never_quiet",
                 "something wrote to the disks past the frozen filesystems",
                 "everything that was copied; nothing is frozen",
                 "stop what writes to the disks directly, with a freeze hook, then try again");
}

/// Moves what is dirty into the spool. False if it has no room for more.
Result<bool> read_dirty(SourceJob& job, std::uint64_t batch, Spool& spool) {
    for (std::size_t disk = 0; disk < job.disks(); ++disk) {
        const BlockMap dirty = job.tracker(disk).dirty();
        for (std::uint64_t block = 0; block < dirty.blocks();) {
            // A region may be a little larger than it was asked to be.
            if (!spool.has_room(2 * region_bytes_max)) return false;
            const Region region = take_to_send(job, disk, job.state.pending(disk, batch), block);
            job.state.add(Counter::bytes_changed, region.taken_bits * block_bytes);
            std::vector<ReadPart> reads;
            reads.reserve(region.extents.size());
            for (const Extent& extent : region.extents)
                reads.push_back({extent.offset, spool.add(disk, extent)});
            TRY_VOID(job.device(disk).read_many(reads));
            block = region.next_block;
        }
    }
    return true;
}

/// While the filesystems stand still.
Result<Collected> collect(SourceJob& job, std::uint64_t batch, QuietWindow& window, Spool& spool) {
    for (int round = 0; round < frozen_rounds_max; ++round) {
        window.begin();
        TRY(const bool has_all, read_dirty(job, batch, spool));
        if (!has_all) return Collected{{}, true};
        TRY(const auto taken, look(job, window));
        if (taken) return Collected{taken};
        if (job.lost_disks != 0) break;
    }
    return Collected();
}

Result<> ship(SourceJob& job, BatchStream& stream, const Spool& spool) {
    PassFacts facts;
    for (const Spool::Part& part : spool.parts())
        TRY_VOID(send_read(job, stream, part.disk, part.offset, spool.bytes(part), facts));
    return {};
}

/// Until little is dirty, or the outcome says why not.
Result<SealOutcome> settle(SourceJob& job, BatchStream& stream, Freezer& freezer) {
    for (int pass = 0; pass < settle_passes_max; ++pass) {
        if (auto settled = freezer.settle(); !settled) return refused(settled.error());
        TRY(const PassFacts facts, run_pass(job, stream));
        const bool is_small = total_backlog(job) <= seal_backlog_bytes_max;
        if (facts.is_complete && is_small && all_tracked(job)) return SealOutcome();
    }
    return refused(too_large());
}

}  // namespace

Result<SealOutcome> seal_point(SourceJob& job, BatchStream& stream, Freezer& freezer) {
    QuietWindow::Trackers trackers;
    for (std::size_t i = 0; i < job.disks(); ++i) trackers.push_back(&job.tracker(i));
    QuietWindow window(std::move(trackers));
    if (!job.makes_points || !all_tracked(job) || !window.is_possible())
        return refused(
            points_not_possible("the target keeps no journal, or the disks are not "
                                "tracked by completed writes"));
    if (auto prepared = freezer.prepare(); !prepared) return refused(prepared.error());
    TRY(SealOutcome settled, settle(job, stream, freezer));
    if (settled.refused) return settled;

    Spool spool;
    const SteadyMillis began = job.clock.steady_ms();
    if (auto frozen = freezer.freeze(); !frozen) return refused(frozen.error());
    const auto collected = collect(job, stream.open_batch(), window, spool);
    const auto kind = freezer.thaw();
    SealedPoint point{stream.open_batch()};
    point.frozen_ms = job.clock.steady_ms() - began;

    TRY_VOID(collected);
    TRY_VOID(ship(job, stream, spool));
    const bool is_point = kind && collected->taken;
    if (is_point) stream.mark_point(*collected->taken, *kind);
    TRY_VOID(stream.finish(is_point));
    if (!kind) return refused(kind.error());
    if (!is_point) return refused(collected->is_too_large ? too_large() : never_quiet());
    point.taken_micros = *collected->taken;
    point.kind = *kind;
    return not_refused(point);
}

}  // namespace drover::replicator
