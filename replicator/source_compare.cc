#include "replicator/source_compare.h"

#include "replicator/aligned_buffer.h"
#include "replicator/digest.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// Read at once and kept until its hashes are back.
constexpr std::uint64_t compare_region_bytes = 16U << 20;

Error bad_answer() {
    return Error(Errc::invalid, "bad_message", "the target hashed another range than was asked for",
                 "everything that was acknowledged",
                 "check that both agents run matching versions");
}

Result<std::vector<Digest>> receive_hashes(PeerChannel& control, const RangeQuestion& range) {
    TRY(RangeHashes answer, control.expect<RangeHashes>());
    const std::uint64_t chunks = (range.length + range.chunk_bytes - 1) / range.chunk_bytes;
    if (answer.disk != range.disk || answer.offset != range.offset ||
        answer.digests.size() != chunks)
        return bad_answer();
    return std::move(answer.digests);
}

/// One parent that differs: asks for its chunks, marks those that differ and notes those that do
/// not.
Result<> compare_chunks(SourceJob& job, PeerChannel& control, std::size_t disk,
                        std::uint64_t offset, ByteView data) {
    const RangeQuestion range{static_cast<std::uint32_t>(disk), offset, data.size(),
                              compare_chunk_bytes};
    TRY_VOID(control.send(HashRange{range}));
    TRY(const std::vector<Digest> theirs, receive_hashes(control, range));
    BlockMap dirty = job.tracker(disk).dirty();
    for (std::size_t i = 0; i < theirs.size(); ++i) {
        const std::size_t at = i * compare_chunk_bytes;
        const ByteView chunk =
            data.subspan(at, std::min<std::size_t>(compare_chunk_bytes, data.size() - at));
        if (digest_of(chunk) == theirs[i]) {
            const std::lock_guard lock(job.tracker_mutex);
            job.tracker(disk).observe(offset + at, chunk);
        } else {
            dirty.set((offset + at) / block_bytes, blocks_of(chunk.size()));
        }
    }
    return {};
}

Result<> compare_region(SourceJob& job, PeerChannel& control, std::size_t disk,
                        std::uint64_t offset, std::span<std::uint8_t> buffer) {
    const RangeQuestion range{static_cast<std::uint32_t>(disk), offset, buffer.size(),
                              compare_parent_bytes};
    // Both ends read at the same time.
    TRY_VOID(control.send(HashRange{range}));
    TRY_VOID(job.device(disk).read(offset, buffer));
    TRY(const std::vector<Digest> theirs, receive_hashes(control, range));
    for (std::size_t i = 0; i < theirs.size(); ++i) {
        const std::size_t at = i * compare_parent_bytes;
        const ByteView parent = ByteView(buffer).subspan(
            at, std::min<std::size_t>(compare_parent_bytes, buffer.size() - at));
        if (digest_of(parent) == theirs[i]) {
            const std::lock_guard lock(job.tracker_mutex);
            job.tracker(disk).observe(offset + at, parent);
        } else {
            TRY_VOID(compare_chunks(job, control, disk, offset + at, parent));
        }
    }
    return {};
}

Result<bool> compare_disk(SourceJob& job, PeerChannel& control, std::size_t disk) {
    const std::uint64_t size = job.size(disk);
    const AlignedBuffer buffer(std::min(compare_region_bytes, size));
    std::uint64_t offset = job.state.cursor(disk);
    while (offset < size) {
        if (job.interrupted()) return false;
        const auto piece = buffer.first(std::min(compare_region_bytes, size - offset));
        TRY_VOID(compare_region(job, control, disk, offset, piece));
        offset += piece.size();
        job.state.set_cursor(disk, offset);
        report_progress(job);
    }
    job.state.set_cursor(disk, 0);
    job.state.set_phase(disk, CopyPhase::catching_up);
    return true;
}

}  // namespace

Result<bool> compare_disks(SourceJob& job, PeerChannel& control, BatchStream& stream) {
    bool any = false;
    for (std::size_t i = 0; i < job.disks(); ++i) {
        if (job.state.phase(i) != CopyPhase::comparing) continue;
        any = true;
        stream.set_mirrored_upto(i, 0);
    }
    if (!any) return true;
    // Flushes the target before its content is believed, and makes it know this generation, so that
    // an interrupted comparison goes on at its cursor.
    TRY_VOID(stream.finish(true));
    for (std::size_t i = 0; i < job.disks(); ++i) {
        if (job.state.phase(i) != CopyPhase::comparing) continue;
        TRY(const bool complete, compare_disk(job, control, i));
        if (!complete) return false;
    }
    return true;
}

}  // namespace drover::replicator
