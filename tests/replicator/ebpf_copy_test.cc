// Copies a loop disk while several threads write it and events are lost. The host may lose some by
// itself (some kernels do); the number lost is printed, the number of differing bytes must be zero.
#include "tests/replicator/ebpf_bench.h"

#include <chrono>
#include <thread>
#include <vector>

namespace drover::replicator {

namespace {

// Writers stay below the first; most of their writes stay below the second.
constexpr std::uint64_t busy_blocks = 4096;
constexpr std::uint64_t hot_blocks = 256;
constexpr std::uint64_t passes_per_loss = 5;

struct CopyCounts {
    std::uint64_t passes = 0, copied = 0, exact = 0, repaired = 0, lost_sectors = 0, undone = 0;
    std::uint64_t lost_audits = 0;
};

/// One pass in the order that loses nothing: take the bit, then read, then store.
void copy_pass(ChangeTracker& tracker, int fd, DirectBuffer& block, Bytes& target,
               CopyCounts& counts) {
    BlockMap map = tracker.dirty();
    for (std::size_t word = 0; word < words_of(map.blocks()); ++word) {
        if (map.word(word) == 0) continue;
        const std::uint64_t bits = map.take_word(word);
        for (std::uint64_t bit = 0; bit < 64; ++bit) {
            if ((bits >> bit & 1) == 0) continue;
            const std::uint64_t offset = (word * 64 + bit) * block_bytes;
            const std::uint64_t length = std::min(block_bytes, disk_bytes - offset);
            REQUIRE(::pread(fd, block.bytes().data(), length, static_cast<off_t>(offset)) ==
                    static_cast<ssize_t>(length));
            std::ranges::copy(block.bytes().first(length),
                              target.begin() + static_cast<std::ptrdiff_t>(offset));
            ++counts.copied;
        }
    }
    ++counts.passes;
}

constexpr std::uint64_t lost_audits_max = 3;

void count_audit(const Audit& audit, CopyCounts& counts) {
    // On a busy machine a loss can fall together with a request that was issued twice: then nobody
    // can tell them apart, everything is dirty again, and the copy goes on. It must stay rare.
    if (audit.verdict == Audit::Verdict::lost) ++counts.lost_audits;
    REQUIRE(counts.lost_audits <= lost_audits_max);
    if (audit.verdict == Audit::Verdict::exact) ++counts.exact;
    if (audit.verdict == Audit::Verdict::repaired) ++counts.repaired;
    counts.lost_sectors += audit.lost_sectors;
}

/// Writes blocks, parts of blocks and zeroes until told to stop.
void scribble(const LoopDisk& disk, std::uint64_t seed, std::atomic<bool>& stop,
              std::atomic<std::uint64_t>& writes) {
    SeededRandom random(seed);
    const Fd fd = disk.open();
    while (!stop) {
        // Mostly a few hot blocks, so that the same block is written, read and written again.
        const bool hot = random.below(16) != 0;
        const std::uint64_t block = random.below(hot ? hot_blocks : busy_blocks);
        const auto fill = static_cast<std::uint8_t>(1 + random.below(255));
        const std::uint64_t kind = random.below(16);
        bool done = false;
        if (kind == 0) {
            done = disk.write_zeroes(block * block_bytes, block_bytes);
        } else if (kind < 4) {
            done = write_fully(fd.get(), block * block_bytes + random.below(8) * 512, 512, fill);
        } else {
            done = write_fully(fd.get(), block * block_bytes, block_bytes, fill);
        }
        if (!done) std::abort();
        ++writes;
    }
}

}  // namespace

TEST_CASE("ebpf: a copy made under concurrent writers and lost events ends without a difference") {
    const auto bench = Bench::make();
    if (!bench) return;
    const auto tracker = bench->open();
    const Counters counters(bench->pins() / "counters");
    Bytes target = bench->disk().contents();  // the mirror, after the attachment
    REQUIRE(target.size() == disk_bytes);
    const Fd reader = bench->disk().open();
    DirectBuffer block(block_bytes);
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> writes = 0;
    CopyCounts counts;
    std::vector<std::thread> writers;
    for (std::uint64_t seed = 1; seed <= 4; ++seed)
        writers.emplace_back([&, seed] { scribble(bench->disk(), seed, stop, writes); });
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (std::chrono::steady_clock::now() < end) {
        copy_pass(*tracker, reader.get(), block, target, counts);
        count_audit(must(tracker->audit()), counts);
        if (counts.passes % passes_per_loss == 0)
            counts.undone +=
                lose_event(bench->disk(), *tracker, counters, busy_blocks + counts.undone) ? 1 : 0;
    }
    stop = true;
    for (std::thread& writer : writers) writer.join();
    Audit::Verdict verdict = Audit::Verdict::busy;
    for (int i = 0; i < audits_max; ++i) {
        copy_pass(*tracker, reader.get(), block, target, counts);
        const Audit audit = must(tracker->audit());
        count_audit(audit, counts);
        verdict = audit.verdict;
        if (verdict == Audit::Verdict::exact && tracker->dirty().count() == 0) break;
    }
    CHECK(verdict == Audit::Verdict::exact);
    CHECK((bench->disk().contents() == target));
    CHECK(counts.repaired > 0);
    WARN("writes " << writes << ", events " << tracker->seq() << ", blocks copied " << counts.copied
                   << ", passes " << counts.passes << " (exact " << counts.exact << "), repairs "
                   << counts.repaired << ", lost sectors " << counts.lost_sectors
                   << ", events undone by the test " << counts.undone);
}

}  // namespace drover::replicator
