#include "replicator/source_held.h"

#include "base/log.h"
#include "replicator/aligned_buffer.h"
#include "replicator/held_hash.h"
#include "replicator/held_target.h"
#include "replicator/range_list.h"
#include "replicator/source_skip.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr int looks_max = 3;
constexpr std::int64_t look_again_ms = 500;

Error bad_answer() {
    return Error(Errc::invalid, "bad_message", "the target hashed another range than was asked for",
                 "both sides", "check that both agents run matching versions");
}

/// What a first copy left out is told by a map that no reboot of the source survives, and then
/// zeroes on the target look like a fault.
Result<> check_skips(const SourceJob& job) {
    for (std::size_t i = 0; i < job.disks(); ++i) {
        if (!job.config.ticket.disks[i].skip_free_space) continue;
        if (job.state.phase(i) == CopyPhase::tracked) continue;
        return Error(Errc::conflict, "skips_unknown",
                     "which free space of disk " + std::to_string(i) +
                         " was left out of the copy is not known any more",
                     "both sides", "commit without the comparison and say why, or roll back");
    }
    return {};
}

Result<> greet(SourceJob& job, PeerChannel& control) {
    const Wishes::Desired desired = job.wishes.desired();
    job.serial = desired.ticket.serial;
    PeerHello hello;
    hello.ticket = desired.ticket;
    hello.generation = job.state.generation();
    hello.boot_id = job.config.boot_id;
    hello.capabilities = {compare_capability};
    TRY_VOID(control.send(hello));
    TRY(const PeerWelcome welcome, control.expect<PeerWelcome>());
    const bool compares = std::ranges::count(welcome.capabilities, compare_capability) > 0;
    if (compares && welcome.sizes_bytes.size() == job.disks()) return {};
    return bad_answer();
}

/// One disk, from its beginning to its end.
class HeldDisk {
  public:
    HeldDisk(SourceJob& job, PeerChannel& control, std::uint32_t disk, CompareDone& done)
        : job_(job),
          control_(control),
          disk_(disk),
          size_(job.size(disk)),
          buffer_(std::min(held_range_bytes, size_)),
          done_(done),
          ours_(size_),
          theirs_(size_) {}

    Result<> compare() {
        for (std::uint64_t at = 0; at < size_; at += held_range_bytes) {
            if (job_.wishes.is_over(job_.serial))
                return Error(Errc::cancelled, "replica_stopped", "replication was asked to stop");
            TRY_VOID(compare_range(at, std::min(held_range_bytes, size_ - at)));
            report_progress(job_);
        }
        proof_.skipped_bytes = std::min(skipped_bytes(job_, disk_), proof_.bytes);
        proof_.bytes -= proof_.skipped_bytes;
        proof_.source_root = ours_.root();
        proof_.target_root = theirs_.root();
        done_.disks.push_back(proof_);
        return {};
    }

  private:
    Result<RangeCompared> ask(const CompareRange& question, std::size_t hashes) {
        TRY(RangeCompared answer, control_.expect<RangeCompared>());
        if (answer.disk != disk_ || answer.offset != question.range.offset ||
            answer.hashes.size() != hashes ||
            answer.written.size() != written_bytes_of(question.range.length))
            return bad_answer();
        return answer;
    }

    Result<> compare_range(std::uint64_t offset, std::uint64_t length) {
        const CompareRange question{{disk_, offset, length, held_chunk_bytes}, false};
        // Both ends read at the same time.
        TRY_VOID(control_.send(question));
        const auto data = buffer_.first(length);
        TRY_VOID(job_.device(disk_).read(offset, data));
        const std::uint64_t chunks = (length + held_chunk_bytes - 1) / held_chunk_bytes;
        TRY(const RangeCompared found, ask(question, chunks));
        for (std::uint64_t i = 0; i < chunks; ++i) {
            const std::uint64_t at = i * held_chunk_bytes;
            const ByteView chunk =
                ByteView(data).subspan(at, std::min(held_chunk_bytes, length - at));
            const std::uint64_t first = at / block_bytes;
            const Hash ours = hash_chunk(hash_blocks(chunk, found.written, first));
            if (ours == found.hashes[i]) {
                take(offset + at, chunk.size(), found.written, first, ours, ours);
            } else {
                TRY_VOID(settle(offset + at, chunk));
            }
        }
        return {};
    }

    /// A chunk that differs, until it is known why.
    Result<> settle(std::uint64_t offset, ByteView chunk) {
        const CompareRange question{{disk_, offset, chunk.size(), block_bytes}, true};
        for (int looks = 1;; ++looks) {
            TRY_VOID(control_.send(question));
            TRY(const RangeCompared found, ask(question, blocks_of(chunk.size())));
            const std::vector<Hash> ours = hash_blocks(chunk, found.written, 0);
            if (ours != found.hashes && looks < looks_max) {
                TRY_VOID(job_.wishes.delay(look_again_ms, job_.serial));
                continue;
            }
            name_differing(offset, chunk.size(), ours, found.hashes);
            take(offset, chunk.size(), found.written, 0, hash_chunk(ours),
                 hash_chunk(found.hashes));
            return {};
        }
    }

    void name_differing(std::uint64_t offset, std::uint64_t length, const std::vector<Hash>& ours,
                        const std::vector<Hash>& theirs) {
        for (std::size_t i = 0; i < ours.size(); ++i) {
            if (ours[i] == theirs[i]) continue;
            const std::uint64_t at = i * block_bytes;
            const ByteRange range{disk_, offset + at, std::min(block_bytes, length - at)};
            log::error("replicator",
                       "source and target differ where nobody wrote: disk " +
                           std::to_string(disk_) + " bytes " + std::to_string(range.offset) + "+" +
                           std::to_string(range.length),
                       "job=" + uuid_text(job_.config.ticket.job));
            add_range(done_.mismatches, range);
        }
    }

    void take(std::uint64_t offset, std::uint64_t length, ByteView written, std::uint64_t first,
              const Hash& ours, const Hash& theirs) {
        ours_.add(ours);
        theirs_.add(theirs);
        for (std::uint64_t at = 0; at < length; at += block_bytes) {
            const std::uint64_t bytes = std::min(block_bytes, length - at);
            if (is_written(written, first + at / block_bytes)) {
                proof_.written_bytes += bytes;
                add_range(done_.written, {disk_, offset + at, bytes});
            } else {
                proof_.bytes += bytes;
            }
        }
        job_.report.add_compared(length);
    }

    SourceJob& job_;
    PeerChannel& control_;
    const std::uint32_t disk_;
    const std::uint64_t size_;
    const AlignedBuffer buffer_;
    CompareDone& done_;
    DiskProof proof_;
    HeldLeaves ours_;
    HeldLeaves theirs_;
};

}  // namespace

Result<CompareDone> compare_held(SourceJob& job, PeerChannel& control) {
    TRY_VOID(check_skips(job));
    job.report.begin_comparison();
    TRY_VOID(greet(job, control));
    CompareDone done;
    for (std::size_t i = 0; i < job.disks(); ++i)
        TRY_VOID(HeldDisk(job, control, static_cast<std::uint32_t>(i), done).compare());
    tell_progress(job);
    return done;
}

}  // namespace drover::replicator
