/// The steps of a cutover on the source: settle, mark the fence, drain, verify; and pausing and
/// ending.
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

DrainDone drained(Lab& lab, std::span<const ByteRange> repair = {}) {
    const auto done = lab.source->drain(repair);
    REQUIRE(ok(done));
    return *done;
}

TEST_CASE("drain and verify: equal disks have equal roots and no mismatch") {
    Lab lab({9 * mib + 4096, mib});
    lab.mirror();
    lab.source_disks[1]->write_block(17, 0x31);
    drained(lab);
    const auto verified = lab.source->verify();
    REQUIRE(ok(verified));
    CHECK(verified->mismatches.empty());
    REQUIRE(verified->disks.size() == 2);
    for (const DiskProof& proof : verified->disks) {
        CHECK(proof.source_root == proof.target_root);
        CHECK_FALSE(proof.source_root.is_zero());
    }
    CHECK(verified->disks[0].bytes == 9 * mib + 4096);
    CHECK(verified->disks[0].source_root != verified->disks[1].source_root);
}

TEST_CASE("verify: a flipped bit is found, its range is named, and a drain with it repairs it") {
    Lab lab({9 * mib});
    lab.mirror();
    drained(lab);
    lab.target_disks[0]->contents()[3 * mib + 12345] ^= 0x04;
    const auto found = lab.source->verify();
    REQUIRE(ok(found));
    CHECK(found->disks[0].source_root != found->disks[0].target_root);
    REQUIRE(found->mismatches == std::vector<ByteRange>{{0, 3 * mib, mib}});
    CHECK(drained(lab, found->mismatches).bytes == mib);
    const auto again = lab.source->verify();
    REQUIRE(ok(again));
    CHECK(again->mismatches.empty());
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("settle: waits until the backlog is small, and says the backlog when it is not") {
    Lab lab({4 * mib});
    lab.mirror();
    CHECK(ok(lab.source->settle(mib, 5'000)));
    lab.kill_target();
    lab.source_disks[0]->dirty().set_all();
    const auto settled = lab.source->settle(mib, 50);
    REQUIRE_FALSE(ok(settled));
    CHECK(settled.error().code() == Errc::unavailable);
    CHECK(lab.source->backlog_bytes() == 4 * mib);
}

TEST_CASE("fence mark: stands still while nothing is written, and moves with a write") {
    const bool tracking = GENERATE(true, false);
    Lab lab({mib, mib}, tracking);
    lab.mirror();
    drained(lab);
    const auto mark = lab.source->fence_mark();
    REQUIRE(ok(mark));
    CHECK(mark->seq_of_disk.size() == 2);
    CHECK(lab.source->fence_mark()->tracker_seq == mark->tracker_seq);
    lab.source_disks[1]->write_block(2, 0x99);
    CHECK(lab.source->fence_mark()->tracker_seq > mark->tracker_seq);
}

TEST_CASE("pause: a tracked-only job sends nothing and resumes with what changed") {
    Lab lab({4 * mib});
    lab.mirror();
    drained(lab);
    lab.source->update(lab.signed_ticket(1), ReplicateMode::track_only, {}, false);
    REQUIRE(eventually([&] { return lab.recorder.state() == DataState::paused; }));
    lab.source_disks[0]->write_block(1, 0x12);
    CHECK(lab.source->backlog_bytes() == block_bytes);
    CHECK(lab.differing_bytes() > 0);
    lab.source->update(lab.signed_ticket(1), ReplicateMode::transfer, {}, false);
    REQUIRE(eventually([&] { return lab.source->backlog_bytes() == 0; }));
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("fenced: a connected job passes only for a drain") {
    Lab lab({4 * mib});
    lab.mirror();
    drained(lab);
    lab.source->update(lab.signed_ticket(1), ReplicateMode::connected, {}, false);
    const DrainDone first = drained(lab);
    lab.source_disks[0]->write_block(1, 0x12);
    const DrainDone second = drained(lab);
    CHECK(second.batch > first.batch);
    CHECK(second.bytes == block_bytes);
    CHECK(lab.differing_bytes() == 0);
}

TEST_CASE("stop: ends a drain that waits for a target which is away") {
    Lab lab({mib});
    lab.start_source();
    std::thread stopper([&] {
        REQUIRE(eventually([&] { return lab.dials() > 0; }));
        lab.source->stop();
    });
    const auto done = lab.source->drain({});
    stopper.join();
    REQUIRE_FALSE(ok(done));
    CHECK(done.error().code() == Errc::cancelled);
}

TEST_CASE("drain: a range beyond its disk is refused") {
    Lab lab({mib});
    lab.mirror();
    const ByteRange beyond[] = {{0, mib, 1}};
    CHECK(lab.source->drain(beyond).error().id() == "bad_range");
}

TEST_CASE("forget: nothing of a job stays but the data") {
    Lab lab({mib});
    lab.mirror();
    drained(lab);
    lab.source->forget();
    lab.target->forget();
    CHECK_FALSE(std::filesystem::exists(lab.directory.path() / "source" / "source.map"));
    CHECK_FALSE(std::filesystem::exists(lab.directory.path() / "target" / "checkpoint"));
    CHECK(lab.differing_bytes() == 0);
}

}  // namespace
}  // namespace drover::replicator
