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

/// One disk, region by region. Questions are asked ahead of their answers, which come in the order
/// of the questions:
///
///   ask region 0 ─► read it ─► its answer ─► ask for chunks of parents that differ, and region 1
///                     ▲                        └─► answers about chunks ─┐
///                     └──────────────────────────────────────────────────┘
///
/// So both ends read at the same time, and at most as many questions as a region has parents, and
/// one, are on their way.
class DiskComparison {
  public:
    DiskComparison(SourceJob& job, PeerChannel& control, std::size_t disk)
        : job_(job),
          control_(control),
          disk_(disk),
          size_(job.size(disk)),
          buffer_(std::min(compare_region_bytes, size_)) {}

    /// False if interrupted.
    [[nodiscard]] Result<bool> run() {
        std::uint64_t offset = job_.state.cursor(disk_);
        if (offset < size_) TRY_VOID(ask_region(offset));
        while (offset < size_) {
            if (job_.interrupted()) {
                // Its answer is on its way, and nobody else expects it.
                TRY_VOID(receive_hashes(control_, asked_));
                return false;
            }
            TRY_VOID(compare_region());
            offset += data_.size();
            job_.state.set_cursor(disk_, offset);
            report_progress(job_);
        }
        job_.state.set_cursor(disk_, 0);
        job_.state.set_phase(disk_, CopyPhase::catching_up);
        return true;
    }

  private:
    [[nodiscard]] Result<> ask(const RangeQuestion& range) {
        return control_.send(HashRange{range});
    }

    [[nodiscard]] Result<> ask_region(std::uint64_t offset) {
        asked_ = {static_cast<std::uint32_t>(disk_), offset,
                  std::min(compare_region_bytes, size_ - offset),
                  by_chunks_ ? compare_chunk_bytes : compare_parent_bytes};
        return ask(asked_);
    }

    /// The region that was asked for; asks for the next one.
    [[nodiscard]] Result<> compare_region() {
        const RangeQuestion region = asked_;
        const auto data = buffer_.first(region.length);
        TRY_VOID(job_.device(disk_).read(region.offset, data));
        data_ = data;
        data_offset_ = region.offset;
        TRY(const std::vector<Digest> theirs, receive_hashes(control_, region));
        const std::vector<RangeQuestion> wrong = differing(region, theirs);
        const bool has_chunks = region.chunk_bytes == compare_chunk_bytes;
        if (!has_chunks)
            for (const RangeQuestion& parent : wrong) TRY_VOID(ask(parent));
        // To ask for parents of which most differ is one more look at everything.
        by_chunks_ = 2 * parents_in(wrong) * compare_parent_bytes > region.length;
        if (region.offset + region.length < size_)
            TRY_VOID(ask_region(region.offset + region.length));
        for (const RangeQuestion& range : wrong) {
            if (has_chunks) {
                mark(range);
            } else {
                TRY_VOID(compare_chunks(range));
            }
        }
        return {};
    }

    [[nodiscard]] static std::uint64_t parents_in(const std::vector<RangeQuestion>& ascending) {
        std::uint64_t parents = 0;
        std::uint64_t end = 0;  // of the last one that was counted
        for (const RangeQuestion& range : ascending) {
            if (range.offset < end) continue;
            ++parents;
            end = (range.offset / compare_parent_bytes + 1) * compare_parent_bytes;
        }
        return parents;
    }

    /// Of the units of a range, those that differ, ready to be asked for by their chunks. Those
    /// that do not are noted.
    [[nodiscard]] std::vector<RangeQuestion> differing(const RangeQuestion& range,
                                                       const std::vector<Digest>& theirs) {
        std::vector<RangeQuestion> wrong;
        const std::uint64_t end = range.offset + range.length;
        for (std::size_t i = 0; i < theirs.size(); ++i) {
            const std::uint64_t offset = range.offset + i * range.chunk_bytes;
            const std::uint64_t length = std::min(range.chunk_bytes, end - offset);
            const ByteView unit = data_.subspan(offset - data_offset_, length);
            if (digest_of(unit) == theirs[i]) {
                const std::lock_guard lock(job_.tracker_mutex);
                job_.tracker(disk_).observe(offset, unit);
            } else {
                wrong.push_back({range.disk, offset, length, compare_chunk_bytes});
            }
        }
        return wrong;
    }

    /// The answer to a question for the chunks of a parent.
    [[nodiscard]] Result<> compare_chunks(const RangeQuestion& parent) {
        TRY(const std::vector<Digest> theirs, receive_hashes(control_, parent));
        for (const RangeQuestion& chunk : differing(parent, theirs)) mark(chunk);
        return {};
    }

    void mark(const RangeQuestion& chunk) {
        job_.tracker(disk_).dirty().set(chunk.offset / block_bytes, blocks_of(chunk.length));
    }

    SourceJob& job_;
    PeerChannel& control_;
    const std::size_t disk_;
    const std::uint64_t size_;
    const AlignedBuffer buffer_;
    ByteView data_;  ///< of the region that is compared
    std::uint64_t data_offset_ = 0;
    RangeQuestion asked_;  ///< the last region that was asked for
    bool by_chunks_ = false;
};

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
        TRY(const bool complete, DiskComparison(job, control, i).run());
        if (!complete) return false;
    }
    return true;
}

}  // namespace drover::replicator
