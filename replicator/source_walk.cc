#include "replicator/source_walk.h"

#include "base/log.h"
#include "replicator/aligned_buffer.h"
#include "replicator/source_pass.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// Long enough for a write to complete that a look has seen on its way.
constexpr std::int64_t look_again_ms = 500;

RangeQuestion range_of(SourceJob& job) {
    const Walk& walk = job.walk;
    const std::uint64_t left = job.size(walk.disk) - walk.offset;
    return {walk.disk, walk.offset, std::min(walk_range_bytes, left), walk_chunk_bytes};
}

/// Its content on the target is on its way, or not proved yet: nothing to compare.
bool is_in_flux(SourceJob& job, const RangeQuestion& range) {
    const std::uint64_t first = range.offset / block_bytes;
    const std::uint64_t count = blocks_of(range.length);
    return job.tracker(range.disk).dirty().any(first, count) ||
           job.state.is_under_way(range.disk, first, count);
}

/// The chunks of the range that differ now.
Result<std::vector<ByteRange>> look(SourceJob& job, PeerChannel& control,
                                    const RangeQuestion& range) {
    // Both ends read at the same time.
    TRY_VOID(control.send(HashRange{range}));
    const AlignedBuffer buffer(range.length);
    const auto bytes = buffer.first(range.length);
    const Result<> is_read = job.device(range.disk).read(range.offset, bytes);
    TRY(const RangeHashes theirs, control.expect<RangeHashes>());
    if (!is_read) return is_read.error();
    const std::uint64_t chunks = (range.length + range.chunk_bytes - 1) / range.chunk_bytes;
    if (theirs.disk != range.disk || theirs.offset != range.offset ||
        theirs.digests.size() != chunks)
        return Error(Errc::invalid, "bad_message",
                     "the target hashed another range than was asked for");
    std::vector<ByteRange> wrong;
    for (std::size_t i = 0; i < theirs.digests.size(); ++i) {
        const std::size_t at = i * walk_chunk_bytes;
        const ByteView chunk =
            ByteView(bytes).subspan(at, std::min<std::size_t>(walk_chunk_bytes, bytes.size() - at));
        if (digest_of(chunk) != theirs.digests[i])
            wrong.push_back({range.disk, range.offset + at, chunk.size()});
    }
    return wrong;
}

void sound_alarm(SourceJob& job, const std::vector<ByteRange>& wrong) {
    job.state.add(Counter::walk_alarms, 1);
    for (const ByteRange& range : wrong) {
        const std::uint64_t first = range.offset / block_bytes;
        job.tracker(range.disk).dirty().set(first, blocks_of(range.offset + range.length) - first);
        const std::string what =
            "the comparison found bytes that differ though nothing wrote "
            "them; they are sent again: disk " +
            std::to_string(range.disk) + " bytes " + std::to_string(range.offset) + "+" +
            std::to_string(range.length);
        log::error("replicator", what, "job=" + uuid_text(job.config.ticket.job));
        job.report.set_detail(what);
    }
}

/// The next range; after the last one the round is over, and the next begins when it is time.
void go_on(SourceJob& job, std::uint64_t walked_bytes) {
    Walk& walk = job.walk;
    const Pacing& pacing = job.config.pacing;
    const SteadyMillis now = job.clock.steady_ms();
    if (walk.disk == 0 && walk.offset == 0) walk.began_ms = now;
    walk.looks = walk.unclear = 0;
    walk.offset += walked_bytes;
    walk.due_ms = now + static_cast<std::int64_t>(walked_bytes * 1'000 / pacing.walk_bytes_per_s);
    if (walk.offset < job.size(walk.disk)) return;
    walk.offset = 0;
    if (++walk.disk < job.disks()) return;
    walk.disk = 0;
    walk.due_ms = std::max(walk.due_ms, walk.began_ms + pacing.walk_round_ms_min);
    job.state.add(Counter::walk_rounds, 1);
}

}  // namespace

Result<> walk_if_due(SourceJob& job, PeerChannel& control) {
    Walk& walk = job.walk;
    if (job.config.pacing.walk_bytes_per_s == 0 || job.clock.steady_ms() < walk.due_ms) return {};
    const RangeQuestion range = range_of(job);
    if (is_in_flux(job, range)) {
        go_on(job, range.length);
        return {};
    }
    TRY(const std::vector<ByteRange> wrong, look(job, control, range));
    if (wrong.empty()) {
        go_on(job, range.length);
        return {};
    }
    // Only now is it worth the tracker's time.
    TRY(const bool is_exact, refresh_trackers(job));
    const bool was_written = !all_tracked(job) || is_in_flux(job, range);
    if (was_written || walk.unclear == walk_unclear_max) {
        go_on(job, range.length);
        return {};
    }
    walk.due_ms = job.clock.steady_ms() + look_again_ms;
    ++(is_exact ? walk.looks : walk.unclear);
    if (walk.looks < walk_looks_max) return {};
    sound_alarm(job, wrong);
    go_on(job, range.length);
    return {};
}

}  // namespace drover::replicator
