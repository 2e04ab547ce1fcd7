/// The comparison during the hold: the target's disks belong to its users, who write; everything
/// else must hold what the source holds, and nothing that the users did is ever called a fault.
#include "replicator/held_hash.h"
#include "replicator/held_target.h"
#include "replicator/peer_channel.h"
#include "replicator/range_list.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

/// What the target's users wrote, as far as the change map says so.
class Written final : public WrittenBlocks {
  public:
    explicit Written(std::uint64_t size_bytes)
        : words_(words_of(blocks_of(size_bytes))),
          blocks_(blocks_of(size_bytes)) {}

    [[nodiscard]] Result<> audit() override {
        const std::lock_guard lock(mutex);
        ++audits;
        if (on_audit) on_audit();
        return lost ? Result<>(Error(Errc::conflict, "change_map_lost", "a reboot")) : Result<>();
    }

    [[nodiscard]] bool may_be_written(std::size_t, std::uint64_t first_block,
                                      std::uint64_t blocks) const override {
        return map().any(first_block, blocks);
    }

    [[nodiscard]] BlockMap map() const { return {words_.data(), blocks_}; }

    std::mutex mutex;
    std::function<void()> on_audit;
    int audits = 0;
    bool lost = false;

  private:
    mutable std::vector<std::uint64_t> words_;
    std::uint64_t blocks_;
};

/// A job in its hold: copied, fenced, released, and asked to compare.
struct Hold {
    explicit Hold(std::uint64_t size_bytes)
        : lab({size_bytes}),
          written(size_bytes) {
        lab.mirror();
        REQUIRE(ok(lab.source->drain({})));
        set_mode(ReplicateMode::track_only);
        REQUIRE(ok(lab.target->promote()));
        std::vector<std::unique_ptr<BlockDevice>> disks;
        disks.push_back(lab.open_target_disk(0));
        server = std::make_shared<HeldTarget>(lab.signed_ticket(lab.serial), std::move(disks),
                                              written, clock);
        lab.held = server;
        set_mode(ReplicateMode::compare);
    }

    ~Hold() {
        lab.kill_source();
        server->end();
    }

    void set_mode(ReplicateMode mode) {
        lab.source->update(lab.signed_ticket(lab.serial), mode, {}, false);
    }

    /// As the users would, through the kernel: the map knows.
    void users_write(std::uint64_t block, std::uint64_t blocks) {
        change(block, blocks);
        written.map().set(block, blocks);
    }

    void change(std::uint64_t block, std::uint64_t blocks) {
        for (std::uint64_t at = block * block_bytes; at < (block + blocks) * block_bytes; ++at)
            lab.target_disks[0]->contents()[at] ^= 0x5a;
    }

    Result<CompareDone> compare() {
        for (;;) {
            TRY(auto done, lab.source->compare(10'000));
            if (done) return std::move(*done);
        }
    }

    Lab lab;
    Written written;
    SystemClock clock;
    std::shared_ptr<HeldTarget> server;
};

TEST_CASE("held comparison: equal disks are proved whole, whatever their size") {
    for (const std::uint64_t size : {4 * mib, 9 * mib + 12288, std::uint64_t{4096}}) {
        INFO(size);
        Hold hold(size);
        const auto done = hold.compare();
        REQUIRE(ok(done));
        REQUIRE(done->disks.size() == 1);
        CHECK(done->mismatches.empty());
        CHECK(done->written.empty());
        CHECK(done->disks[0].source_root == done->disks[0].target_root);
        CHECK_FALSE(done->disks[0].source_root.is_zero());
        CHECK(done->disks[0].bytes == size);
        CHECK(hold.lab.recorder.last().bytes_compared == size);
    }
}

TEST_CASE("held comparison: one bit flipped before the release is found and named") {
    Hold hold(12 * mib);
    hold.lab.target_disks[0]->contents()[9 * mib + 5000] ^= 0x02;
    const auto done = hold.compare();
    REQUIRE(ok(done));
    CHECK(done->mismatches == std::vector<ByteRange>{{0, 9 * mib + 4096, 4096}});
    CHECK(done->disks[0].source_root != done->disks[0].target_root);
    CHECK(done->disks[0].bytes == 12 * mib);
}

TEST_CASE("held comparison: what the users wrote is left out and named by size") {
    Hold hold(4 * mib);
    hold.users_write(3, 2);
    hold.users_write(600, 1);
    const auto done = hold.compare();
    REQUIRE(ok(done));
    CHECK(done->mismatches.empty());
    CHECK(done->disks[0].source_root == done->disks[0].target_root);
    CHECK(done->disks[0].written_bytes == 3 * block_bytes);
    CHECK(done->disks[0].bytes == 4 * mib - 3 * block_bytes);
    CHECK(done->written == std::vector<ByteRange>{{0, 3 * block_bytes, 2 * block_bytes},
                                                  {0, 600 * block_bytes, block_bytes}});
}

TEST_CASE("held comparison: a flipped bit beside what the users wrote is found all the same") {
    Hold hold(2 * mib);
    hold.users_write(10, 1);
    hold.change(11, 1);
    const auto done = hold.compare();
    REQUIRE(ok(done));
    CHECK(done->mismatches == std::vector<ByteRange>{{0, 11 * block_bytes, block_bytes}});
    CHECK(done->disks[0].written_bytes == block_bytes);
}

TEST_CASE("held comparison: a write whose event comes late is no fault") {
    Hold hold(2 * mib);
    hold.change(7, 1);
    // The third audit after the greeting's is the one that finds the lost event.
    hold.written.on_audit = [&hold] {
        if (hold.written.audits == 3) hold.written.map().set(7, 1);
    };
    const auto done = hold.compare();
    REQUIRE(ok(done));
    CHECK(done->mismatches.empty());
    CHECK(done->disks[0].written_bytes == block_bytes);
    CHECK(done->disks[0].source_root == done->disks[0].target_root);
}

TEST_CASE("held comparison: without a map of what was written it refuses") {
    Hold hold(2 * mib);
    hold.written.lost = true;
    const auto done = hold.compare();
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error().id() == "change_map_lost");
}

TEST_CASE("held comparison: a target that was restarted is compared from the beginning") {
    Hold hold(24 * mib);
    hold.lab.cut_control_after_frames = 4;
    const auto done = hold.compare();
    REQUIRE(ok(done));
    CHECK(done->disks[0].bytes == 24 * mib);
    CHECK(hold.lab.recorder.last().bytes_compared == 24 * mib);
}

TEST_CASE("held comparison: it ends when it is asked to") {
    Hold hold(2 * mib);
    hold.lab.held = nullptr;  // nobody answers: it would try for ever
    hold.lab.source->stop();
    const auto done = hold.lab.source->compare(10'000);
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error().code() == Errc::cancelled);
}

TEST_CASE("held target: no batch, no pass and no other question reaches its users' disks") {
    Hold hold(2 * mib);
    const Bytes before = hold.lab.target_disks[0]->contents();
    const auto refusal = [&](bool compares, const SourceMessage& message) {
        auto links = hold.lab.dial();
        REQUIRE(ok(links));
        PeerChannel control(*links->control, 5'000);
        PeerHello hello;
        hello.ticket = hold.lab.signed_ticket(hold.lab.serial);
        if (compares) hello.capabilities = {compare_capability};
        REQUIRE(ok(control.send(hello)));
        if (compares) {
            REQUIRE(ok(control.expect<PeerWelcome>()));
            REQUIRE(ok(control.send(message)));
        }
        const auto answer = control.receive();
        REQUIRE_FALSE(answer.has_value());
        return answer.error().id();
    };
    Commit commit;
    commit.batch = 1;
    commit.generation = Generation{{1}};
    commit.mirrored_upto = {0};
    CHECK(refusal(false, Ping{}) == "target_promoted");
    CHECK(refusal(true, commit) == "target_promoted");
    CHECK(refusal(true, HashRange{{0, 0, mib, mib}}) == "target_promoted");
    CHECK(refusal(true, ReadBackWanted{true}) == "target_promoted");
    for (const RangeQuestion& range :
         {RangeQuestion{1, 0, mib, mib}, RangeQuestion{0, 0, 3 * mib, mib},
          RangeQuestion{0, 4096, mib, mib}, RangeQuestion{0, 0, mib, 8192},
          RangeQuestion{0, 0, 2 * mib, 4096}, RangeQuestion{0, 0, 0, mib},
          RangeQuestion{0, 0, 5, mib}, RangeQuestion{0, mib, 4097, mib}})
        CHECK(refusal(true, CompareRange{range, false}) == "bad_message");
    CHECK(hold.lab.target_disks[0]->contents() == before);
}

TEST_CASE("ranges: neighbours are joined, and more than fit are joined where least lies between") {
    std::vector<ByteRange> ranges;
    add_range(ranges, {0, 0, 4096});
    add_range(ranges, {0, 4096, 4096});
    add_range(ranges, {1, 8192, 4096});
    CHECK(ranges == std::vector<ByteRange>{{0, 0, 8192}, {1, 8192, 4096}});
    for (std::uint64_t i = 0; i < mismatches_max; ++i)
        add_range(ranges, {1, mib * (i + 1), i == 9 ? mib - 4096 : 4096});
    CHECK(ranges.size() == mismatches_max);
    CHECK(ranges.front() == ByteRange{0, 0, 8192});
    CHECK(ranges.back() == ByteRange{1, mib * mismatches_max, 4096});
    const ByteRange joined{1, 10 * mib, mib + 4096};
    CHECK(std::count(ranges.begin(), ranges.end(), joined) == 1);
}

}  // namespace
}  // namespace drover::replicator
