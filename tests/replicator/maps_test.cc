/// Block maps, what a pass takes from them, and the small pure rules around a pass.
#include "replicator/block_map.h"
#include "replicator/data_state.h"
#include "replicator/pass_plan.h"
#include "replicator/rate_limit.h"
#include "replicator/zero_runs.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

struct Map {
    explicit Map(std::uint64_t blocks)
        : words(words_of(blocks)),
          map(words.data(), blocks) {}

    std::vector<std::uint64_t> words;
    BlockMap map;
};

constexpr std::uint64_t mib = 1U << 20;

TEST_CASE("block map: a range sets exactly its blocks, across words") {
    Map m(200);
    m.map.set(60, 80);
    CHECK(m.map.count() == 80);
    CHECK_FALSE(m.map.test(59));
    CHECK(m.map.test(60));
    CHECK(m.map.test(139));
    CHECK_FALSE(m.map.test(140));
    m.map.clear(64, 64);
    CHECK(m.map.count() == 16);
}

TEST_CASE("block map: bits beyond the last block are never set") {
    Map m(70);
    m.map.set_all();
    CHECK(m.map.count() == 70);
    m.map.or_word(1, ~std::uint64_t{0});
    CHECK(m.map.count() == 70);
    CHECK(m.map.valid_bits(1) == 0x3f);
}

TEST_CASE("block map: taking bits clears and returns only those asked for") {
    Map m(64);
    m.map.set(0, 8);
    CHECK(m.map.take_bits(0, 0xf0f0) == 0xf0);
    CHECK(m.map.word(0) == 0x0f);
    CHECK(m.map.take_word(0) == 0x0f);
    CHECK(m.map.count() == 0);
}

TEST_CASE("block map: merge is a union") {
    Map a(128);
    Map b(128);
    a.map.set(0, 1);
    b.map.set(127, 1);
    a.map.merge(b.map);
    CHECK(a.map.count() == 2);
    CHECK(b.map.count() == 1);
}

TEST_CASE("pass plan: neighbouring blocks become one extent, gaps are not read") {
    Map dirty(1024);
    Map pending(1024);
    dirty.map.set(62, 4);  // across a word
    dirty.map.set(100, 1);
    const Region region = take_region(dirty.map, pending.map, 0, 4 * mib, block_bytes);
    CHECK(region.extents == std::vector<Extent>{{62 * block_bytes, 4 * block_bytes},
                                                {100 * block_bytes, block_bytes}});
    CHECK(region.next_block == 1024);
    CHECK(region.taken_bits == 5);
}

TEST_CASE("pass plan: what was taken is pending before it is clean") {
    Map dirty(64);
    Map pending(64);
    dirty.map.set(3, 2);
    const Region region = take_region(dirty.map, pending.map, 0, 64 * block_bytes, block_bytes);
    CHECK(region.bytes == 2 * block_bytes);
    CHECK(dirty.map.count() == 0);
    CHECK(pending.map.word(0) == 0b11000);
}

TEST_CASE("pass plan: extents end at one MiB") {
    Map dirty(1024);
    Map pending(1024);
    dirty.map.set_all();
    const Region region = take_region(dirty.map, pending.map, 0, 4 * mib, block_bytes, 4 * mib);
    REQUIRE(region.extents.size() == 4);
    for (const Extent& extent : region.extents) CHECK(extent.length == mib);
}

TEST_CASE("pass plan: a region stops at its budget and the next one goes on there") {
    Map dirty(1024);
    Map pending(1024);
    dirty.map.set_all();
    const Region first = take_region(dirty.map, pending.map, 0, 4 * mib, block_bytes, mib);
    CHECK(first.bytes == mib);
    CHECK(first.next_block == 256);
    const Region second =
        take_region(dirty.map, pending.map, first.next_block, 4 * mib, block_bytes, mib);
    CHECK(second.extents.front().offset == mib);
}

TEST_CASE("pass plan: the last block of an odd-sized image is read to its end only") {
    const std::uint64_t size = 5 * block_bytes + 777;
    Map dirty(blocks_of(size));
    Map pending(blocks_of(size));
    dirty.map.set_all();
    const Region region = take_region(dirty.map, pending.map, 0, size, block_bytes);
    CHECK(region.extents == std::vector<Extent>{{0, size}});
}

TEST_CASE("pass plan: reads are widened to the tracker's granule and counted as they were") {
    Map dirty(100);
    Map pending(100);
    dirty.map.set(17, 1);
    dirty.map.set(99, 1);
    const Region region =
        take_region(dirty.map, pending.map, 0, 100 * block_bytes, 16 * block_bytes);
    CHECK(region.taken_bits == 2);
    CHECK(region.extents == std::vector<Extent>{{16 * block_bytes, 16 * block_bytes},
                                                {96 * block_bytes, 4 * block_bytes}});
    CHECK(pending.map.count() == 20);
    CHECK(widen(0x10001, 16) == 0xffffffff);
}

TEST_CASE("pass plan: a batch is committed before it could outgrow its bound") {
    CHECK_FALSE(batch_is_full(0, batch_bytes_max));
    CHECK_FALSE(batch_is_full(batch_bytes_max - region_bytes_max, batch_bytes_max));
    CHECK(batch_is_full(batch_bytes_max - region_bytes_max + 1, batch_bytes_max));
}

TEST_CASE("pass plan: however small a batch is to be, it takes one region") {
    CHECK_FALSE(batch_is_full(0, 1));
    CHECK(batch_is_full(block_bytes, 1));
}

TEST_CASE("zero runs: zero and other content alternate, in units") {
    Bytes data(300);
    data[150] = 1;
    const auto runs = zero_runs(data, 100);
    CHECK(runs == std::vector<Run>{{0, 100, true}, {100, 100, false}, {200, 100, true}});
    CHECK(zero_runs(Bytes(250), 100) == std::vector<Run>{{0, 250, true}});
    data[299] = 1;
    CHECK_FALSE(is_zero(ByteView(data).subspan(200)));
}

TEST_CASE("rate limit: no limit never waits, a limit spreads the bytes") {
    RateLimit limit;
    CHECK(limit.wait_ms(1 << 30, 0, 1000) == 0);
    std::int64_t waited = 0;
    for (int i = 0; i < 10; ++i) waited += limit.wait_ms(100'000, 1'000'000, 10'000 + waited);
    // A million bytes at a million a second, less what may be saved up.
    CHECK(waited >= 700);
    CHECK(waited <= 800);
}

TEST_CASE("data state: in sync after three good passes, lagging only beyond twice the bound") {
    DataStateLogic logic(1000);
    logic.enter(DataState::catching_up);
    logic.pass(900);
    logic.pass(900);
    CHECK(logic.state() == DataState::catching_up);
    logic.pass(1000);
    CHECK(logic.state() == DataState::in_sync);
    logic.pass(1999);
    CHECK(logic.state() == DataState::in_sync);
    logic.pass(2001);
    CHECK(logic.state() == DataState::lagging);
    logic.pass(10);
    logic.pass(10);
    CHECK(logic.state() == DataState::lagging);
    logic.pass(10);
    CHECK(logic.state() == DataState::in_sync);
}

TEST_CASE("data state: a bad pass among good ones starts the count anew") {
    DataStateLogic logic(1000);
    logic.enter(DataState::catching_up);
    logic.pass(1);
    logic.pass(1);
    logic.pass(5000);
    logic.pass(1);
    logic.pass(1);
    CHECK(logic.state() == DataState::catching_up);
}

TEST_CASE("data state: ten passes that do not shrink the backlog are not converging") {
    DataStateLogic logic(1000);
    logic.enter(DataState::catching_up);
    for (int i = 0; i < not_converging_after_passes; ++i) logic.pass(50'000);
    CHECK(logic.state() == DataState::not_converging);
    logic.pass(40'000);
    CHECK(logic.state() == DataState::catching_up);
}

}  // namespace
}  // namespace drover::replicator
