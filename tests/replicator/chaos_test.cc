/// Rounds of writes and one fault each, drawn from a seed; after every round the disks are drained
/// and compared byte by byte. A failing round prints its seed and what it did.
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

constexpr std::uint64_t size_bytes = 6U << 20;
constexpr int rounds = 60;

void write_some(Lab& lab, Random& random) {
    const std::uint64_t count = 1 + random.below(300);
    for (std::uint64_t i = 0; i < count; ++i)
        lab.source_disks[0]->write_block(random.below(size_bytes / block_bytes),
                                         static_cast<std::uint8_t>(random.below(3)));
}

std::string inflict_fault(Lab& lab, Random& random) {
    const std::uint64_t n = 1 + random.below(40);
    switch (random.below(9)) {
        case 0:
            lab.kill_source();
            write_some(lab, random);
            lab.start_source();
            return "the source agent was killed";
        case 1:
            lab.kill_target();
            write_some(lab, random);
            lab.start_target();
            return "the target agent was killed";
        case 2:
            lab.kill_target();
            lab.target_disks[0]->lose_power();
            lab.start_target();
            return "the target lost power";
        case 3:
            lab.flip_bulk_frame_in = n;
            return "a bulk frame was damaged";
        case 4:
            lab.target_disks[0]->fail_flush_in(1);
            return "a flush failed on the target";
        case 5:
            lab.target_disks[0]->fail_write_in(static_cast<std::uint32_t>(n));
            return "a write failed on the target";
        case 6:
            lab.source_disks[0]->verdict = Audit::Verdict::lost;
            return "the tracker lost events";
        case 7:
            lab.cut_next(n, 0);
            return "the bulk connection was cut";
        default:
            lab.cut_next(0, n);
            return "the control connection was cut";
    }
}

/// A target never takes its own crash for somebody else's hand on its disk.
bool is_believed(const Lab& lab) {
    const auto gone = lab.recorder.gone();
    return std::none_of(gone.begin(), gone.end(), [](const GenerationGone& one) {
        return one.cause.find("cannot vouch") != std::string::npos;
    });
}

TEST_CASE("chaos: whatever fails in a round, the disks are equal after it") {
    enum class Kind { tracking, scanning, with_journal };
    for (const Kind kind : {Kind::tracking, Kind::scanning, Kind::with_journal}) {
        const bool tracking = kind != Kind::scanning;
        const testing::TemporaryDirectory journals("/var/tmp");
        Lab lab({size_bytes}, tracking);
        // Smaller than what a round may write.
        if (kind == Kind::with_journal)
            lab.journal = JournalPlace{journals.path(), 1U << 20, 2U << 20, 4};
        lab.compression = tracking ? Compression::zstd : Compression::lz4;
        lab.streams = kind == Kind::with_journal ? 3 : tracking ? 2 : 1;
        lab.mirror();
        SeededRandom random(tracking ? 2026 : 1126);
        for (int round = 0; round < rounds; ++round) {
            write_some(lab, random);
            const std::string fault = inflict_fault(lab, random);
            INFO("round " << round << ", tracking " << tracking << ": " << fault);
            write_some(lab, random);
            // A fault of a disk ends a drain with its reason; the agent would ask again.
            REQUIRE(eventually([&] { return lab.source->drain({}).has_value(); }));
            REQUIRE(lab.differing_bytes() == 0);
            REQUIRE(is_believed(lab));
            lab.flip_bulk_frame_in = 0;
            lab.target_disks[0]->fail_flush_in(0);
            lab.target_disks[0]->fail_write_in(0);
        }
        const auto verified = lab.source->verify();
        REQUIRE(ok(verified));
        CHECK(verified->mismatches.empty());
    }
}

}  // namespace
}  // namespace drover::replicator
