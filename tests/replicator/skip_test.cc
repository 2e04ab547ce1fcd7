/// Mirrors that leave free space out: what the target must hold, what must never be left out, and
/// what becomes of the map when an agent, a file or a tracker is lost.
#include "replicator/zero_runs.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;
constexpr std::uint64_t size_bytes = 24 * mib;
/// One long, one of a single block, one to the end.
const std::vector<ByteSpan> free_ranges = {
    {4 * mib + block_bytes, 15 * mib}, {17 * mib, 17 * mib + block_bytes}, {20 * mib, size_bytes}};

bool is_free(std::uint64_t block) {
    return std::ranges::any_of(free_ranges, [&](const ByteSpan& span) {
        return block * block_bytes >= span.begin && block * block_bytes < span.end;
    });
}

std::uint64_t free_bytes() {
    std::uint64_t bytes = 0;
    for (const ByteSpan& span : free_ranges) bytes += span.length();
    return bytes;
}

/// A lab whose source disk has no zero anywhere and says what of it is free.
class SkipLab {
  public:
    SkipLab()
        : lab({size_bytes}) {
        for (std::uint8_t& byte : lab.source_disks[0]->disk.contents()) byte |= 1;
        lab.free_space = [this](BlockDevice&) -> Result<FreeSpace> {
            ++asked;
            if (before_answer) before_answer();
            return FreeSpace{free_ranges, {}};
        };
    }

    void write(std::uint64_t block, std::uint8_t value) {
        written.insert(block);
        lab.source_disks[0]->write_block(block, value);
    }

    /// Both proofs, and the bytes. `left_out_min`: blocks that must hold zeroes for not having been
    /// sent.
    void check(std::uint64_t left_out_min) {
        Result<DrainDone> drained = lab.source->drain({});
        REQUIRE(ok(drained));
        const auto verified = lab.source->verify();
        REQUIRE(ok(verified));
        CHECK(verified->mismatches.empty());
        CHECK(verified->disks[0].source_root == verified->disks[0].target_root);
        std::uint64_t wrong = 0;
        std::uint64_t left_out = 0;
        for (std::uint64_t block = 0; block < size_bytes / block_bytes; ++block) {
            const auto ours = ByteView(lab.source_disks[0]->disk.contents())
                                  .subspan(block * block_bytes, block_bytes);
            const auto theirs =
                ByteView(lab.target_disks[0]->contents()).subspan(block * block_bytes, block_bytes);
            if (std::ranges::equal(ours, theirs)) continue;
            const bool may_differ = is_free(block) && !written.contains(block);
            if (may_differ && is_zero(theirs))
                ++left_out;
            else
                ++wrong;
        }
        CHECK(wrong == 0);
        CHECK(left_out >= left_out_min);
    }

    Lab lab;
    std::atomic<int> asked = 0;
    std::function<void()> before_answer;
    std::set<std::uint64_t> written;
};

constexpr std::uint64_t in_free = 6 * mib / block_bytes;  ///< a block
constexpr std::uint64_t late_free = 22 * mib / block_bytes;

}  // namespace

TEST_CASE("skip: free space is not sent, the target holds zeroes there, and both proofs hold") {
    SkipLab skip;
    skip.lab.mirror();
    skip.check(free_bytes() / block_bytes);
    CHECK(skip.asked == 1);
    CHECK(skip.lab.recorder.last().bytes_sent_mirror <= size_bytes - free_bytes());
}

TEST_CASE("skip: without the option everything is sent") {
    SkipLab skip;
    skip.lab.free_space = {};
    skip.lab.mirror();
    skip.check(0);
    CHECK(skip.lab.differing_bytes() == 0);
}

TEST_CASE("skip: if free space cannot be asked for, everything is sent") {
    SkipLab skip;
    skip.lab.free_space = [](BlockDevice&) -> Result<FreeSpace> {
        return Error(Errc::unsupported, "free_space_unsupported", "a test");
    };
    skip.lab.mirror();
    skip.check(0);
    CHECK(skip.lab.differing_bytes() == 0);
}

TEST_CASE("skip: the target gets zeroes even where it held something") {
    SkipLab skip;
    // Blank for the guard's eyes, and not a disk of zeroes.
    auto& target = skip.lab.target_disks[0]->contents();
    std::fill(target.begin() + 10 * mib, target.begin() + 12 * mib, std::uint8_t{0xee});
    skip.lab.mirror();
    skip.check(free_bytes() / block_bytes);
}

TEST_CASE("skip: what is written while free space is asked for, and later, is sent") {
    SkipLab skip;
    skip.before_answer = [&] {
        skip.write(in_free, 0x11);
        skip.write(late_free, 0x12);
    };
    skip.lab.mirror();
    skip.write(in_free + 5, 0x13);
    skip.check(free_bytes() / block_bytes - 3);
    skip.write(late_free + 1, 0x14);
    skip.write(in_free, 0x15);
    skip.check(free_bytes() / block_bytes - 4);
}

TEST_CASE("skip: a written block that is zero on the source stays proved") {
    SkipLab skip;
    skip.lab.mirror();
    skip.write(in_free, 0);
    skip.check(free_bytes() / block_bytes - 1);
}

TEST_CASE("skip: a killed source goes on with what it left out") {
    SkipLab skip;
    skip.lab.mirror();
    skip.lab.kill_source();
    skip.write(in_free, 0x21);
    skip.lab.start_source();
    skip.check(free_bytes() / block_bytes - 1);
    CHECK(skip.asked == 1);
    CHECK(skip.lab.recorder.gone().empty());
}

TEST_CASE("skip: the option switched off does not bring back what was left out") {
    SkipLab skip;
    skip.lab.mirror();
    skip.lab.kill_source();
    skip.lab.free_space = {};
    skip.lab.start_source();
    skip.write(in_free, 0x22);
    skip.check(free_bytes() / block_bytes - 1);
}

TEST_CASE("skip: if the map is lost the whole disk is compared, and nothing is left out") {
    SkipLab skip;
    skip.lab.mirror();
    REQUIRE(ok(skip.lab.source->drain({})));
    skip.lab.kill_source();
    REQUIRE(std::filesystem::remove(skip.lab.directory.path() / "source" / "free-0.map"));
    skip.lab.overwrite_acknowledged = true;
    skip.lab.start_source();
    skip.check(0);
    CHECK(skip.lab.differing_bytes() == 0);
}

TEST_CASE("skip: if events of the tracker are lost nothing is left out any more") {
    SkipLab skip;
    skip.lab.mirror();
    REQUIRE(ok(skip.lab.source->drain({})));
    // Written without a mark.
    auto& content = skip.lab.source_disks[0]->disk.contents();
    std::fill_n(content.begin() + in_free * block_bytes, block_bytes, std::uint8_t{0x31});
    skip.lab.source_disks[0]->verdict = Audit::Verdict::lost;
    skip.check(0);
    CHECK(skip.lab.differing_bytes() == 0);
}

TEST_CASE("skip: the walker finds nothing in what was left out") {
    SkipLab skip;
    skip.lab.pacing.walk_bytes_per_s = 1U << 30;
    skip.lab.pacing.walk_round_ms_min = 0;
    skip.lab.mirror();
    CHECK(eventually([&] { return skip.lab.recorder.last().walk_rounds >= 2; }));
    CHECK(skip.lab.recorder.last().walk_alarms == 0);
    skip.check(free_bytes() / block_bytes);
}

TEST_CASE("skip: writes, killed agents and cut connections at any moment lose nothing") {
    const std::uint64_t seed = SystemRandom().below(1U << 30);
    INFO("seed " << seed);
    SeededRandom random(seed);
    for (int life = 0; life < 6; ++life) {
        SkipLab skip;
        const auto write_some = [&] {
            for (std::uint64_t i = 0; i < 1 + random.below(40); ++i)
                skip.write(random.below(size_bytes / block_bytes),
                           static_cast<std::uint8_t>(random.below(4)));
        };
        // The first sweep is cut off somewhere, again and again.
        skip.lab.cut_bulk_after_frames = 1 + random.below(30);
        skip.lab.start_target();
        skip.lab.start_source();
        for (int fault = 0; fault < 6; ++fault) {
            write_some();
            switch (random.below(4)) {
                case 0:
                    skip.lab.kill_source();
                    write_some();
                    skip.lab.start_source();
                    break;
                case 1:
                    skip.lab.kill_target();
                    write_some();
                    skip.lab.start_target();
                    break;
                case 2:
                    skip.lab.cut_next(1 + random.below(30), 0);
                    break;
                default:
                    skip.lab.cut_next(0, 1 + random.below(6));
            }
        }
        write_some();
        skip.check(0);
        CHECK(skip.asked >= 1);
    }
}

}  // namespace drover::replicator
