#include "replicator/source_verify.h"

#include "base/mutation.h"
#include "replicator/disk_hash.h"
#include "replicator/merkle.h"
#include "replicator/source_skip.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// Hashed per question, unless a single leaf is larger.
constexpr std::uint64_t verify_piece_bytes = 64U << 20;

struct Leaves {
    std::vector<Hash> source;
    std::vector<Hash> target;
};

Result<> between_reads(SourceJob& job) {
    if (job.wishes.is_over(job.serial))
        return Error(Errc::cancelled, "replica_stopped", "replication was asked to stop");
    report_progress(job);
    return {};
}

Result<> verify_piece(SourceJob& job, PeerChannel& control, const RangeQuestion& range,
                      Leaves& leaves) {
    // Both ends read at the same time.
    TRY_VOID(control.send(ShaRange{range}));
    TRY(const std::vector<Hash> ours,
        read_leaves(job.device(range.disk), range.offset, range.length, range.chunk_bytes,
                    [&job] { return between_reads(job); }));
    TRY(const RangeLeaves answer, control.expect<RangeLeaves>());
    if (answer.disk != range.disk || answer.offset != range.offset ||
        answer.leaves.size() != ours.size())
        return Error(Errc::invalid, "bad_message",
                     "the target hashed another range than was asked for");
    leaves.source.insert(leaves.source.end(), ours.begin(), ours.end());
    const auto& theirs = DROVER_MUTANT("verify_compares_nothing") ? ours : answer.leaves;
    leaves.target.insert(leaves.target.end(), theirs.begin(), theirs.end());
    return {};
}

void name_mismatches(std::uint32_t disk, std::uint64_t size, std::uint64_t leaf_bytes,
                     const Leaves& leaves, std::vector<ByteRange>& mismatches) {
    for (std::size_t i = 0; i < leaves.source.size(); ++i) {
        if (leaves.source[i] == leaves.target[i]) continue;
        const std::uint64_t offset = i * leaf_bytes;
        const std::uint64_t length = std::min(leaf_bytes, size - offset);
        const bool joins = !mismatches.empty() && mismatches.back().disk == disk &&
                           mismatches.back().offset + mismatches.back().length == offset;
        if (joins) {
            mismatches.back().length += length;
        } else if (mismatches.size() < mismatches_max) {
            mismatches.push_back({disk, offset, length});
        }
    }
}

}  // namespace

Result<VerifyDone> verify_disks(SourceJob& job, PeerChannel& control) {
    VerifyDone done;
    job.report.begin_comparison();
    for (std::size_t i = 0; i < job.disks(); ++i) {
        const auto disk = static_cast<std::uint32_t>(i);
        const std::uint64_t size = job.size(i);
        const std::uint64_t leaf_bytes = leaf_bytes_for(size);
        const std::uint64_t piece_bytes = std::max(leaf_bytes, verify_piece_bytes);
        Leaves leaves;
        for (std::uint64_t offset = 0; offset < size; offset += piece_bytes) {
            const RangeQuestion range{disk, offset, std::min(piece_bytes, size - offset),
                                      leaf_bytes};
            TRY_VOID(verify_piece(job, control, range, leaves));
            job.report.add_compared(range.length);
        }
        name_mismatches(disk, size, leaf_bytes, leaves, done.mismatches);
        const std::uint64_t skipped = skipped_bytes(job, i);
        done.disks.push_back({merkle_root(size, leaf_bytes, leaves.source),
                              merkle_root(size, leaf_bytes, leaves.target), size - skipped, skipped,
                              0});
    }
    return done;
}

}  // namespace drover::replicator
