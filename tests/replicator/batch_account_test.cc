/// What a target counts of a batch before it believes a COMMIT.
#include "replicator/batch_account.h"

#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::ok;

TEST_CASE("batch account: only the next two batches are open, in order") {
    BatchAccount account(7);
    FrameHeader header;
    const auto take = [&](std::uint64_t batch) {
        header.batch = batch;
        if (!account.admit(header)) return false;
        account.add(header);
        return true;
    };
    REQUIRE(take(8));
    const Digest one = account.digest(8);
    REQUIRE(take(9));
    CHECK(account.digest(8) == one);
    CHECK_FALSE(take(8));  // after a frame of 9
    CHECK_FALSE(take(10));
    CHECK_FALSE(take(7));
    CHECK(account.frames(8) == 1);
    account.commit();
    CHECK(account.committed() == 8);
    CHECK(account.frames(9) == 1);
}

TEST_CASE("batch account: a frame that is on its way when the COMMIT comes is counted") {
    BatchAccount account(7);
    FrameHeader header;
    header.batch = 8;
    REQUIRE(ok(account.admit(header)));
    account.add(header);
    REQUIRE(ok(account.admit(header)));  // twice; the second one is not written yet
    CHECK(account.frames(8) == 1);
    CHECK(account.admitted(8) == 2);
}

TEST_CASE("batch account: after its COMMIT a batch takes no frame, the next one does") {
    BatchAccount account(7);
    FrameHeader header;
    header.batch = 8;
    REQUIRE(ok(account.admit(header)));
    account.add(header);
    account.close(8);
    CHECK_FALSE(ok(account.admit(header)));
    header.batch = 9;
    CHECK(ok(account.admit(header)));
    account.add(header);
    account.commit();
    CHECK(ok(account.admit(header)));
    header.batch = 8;
    CHECK_FALSE(ok(account.admit(header)));
}

// ---- several lanes ----

FrameHeader header_of(std::uint64_t batch, std::uint64_t offset) {
    FrameHeader header;
    header.batch = batch;
    header.offset = offset;
    return header;
}

TEST_CASE("batch account: on several lanes a later batch waits until the one before is closed") {
    BatchAccount account(7, 2);
    REQUIRE_FALSE(account.must_wait(header_of(8, 0)));
    REQUIRE(ok(account.admit(header_of(8, 0))));
    account.add(header_of(8, 0));
    CHECK(account.must_wait(header_of(9, 0)));
    CHECK_FALSE(account.must_wait(header_of(10, 0)));  // refused at once
    CHECK_FALSE(ok(account.admit(header_of(10, 0))));
    account.close(8);
    CHECK_FALSE(account.must_wait(header_of(9, 0)));
    CHECK(ok(account.admit(header_of(9, 0))));
    account.add(header_of(9, 0));
    CHECK_FALSE(ok(account.admit(header_of(8, 0))));
    account.commit();
    CHECK(account.frames(9) == 1);
    CHECK(account.must_wait(header_of(10, 0)));
}

TEST_CASE("batch account: on one lane nothing waits") {
    const BatchAccount account(7);
    CHECK_FALSE(account.must_wait(header_of(9, 0)));
}

TEST_CASE("batch digest: on several lanes the order says nothing, and every frame counts") {
    const auto encoded = [](std::uint64_t offset) {
        return encode_frame_header(header_of(8, offset));
    };
    const auto digest = [&](std::vector<std::uint64_t> offsets, bool is_ordered = false) {
        BatchDigest out(is_ordered);
        for (const std::uint64_t offset : offsets) out.add(encoded(offset));
        return out.digest();
    };
    CHECK(digest({1, 2, 3}) == digest({3, 1, 2}));
    CHECK_FALSE(digest({1, 2, 3}, true) == digest({3, 1, 2}, true));
    CHECK_FALSE(digest({1, 2}) == digest({1, 3}));
    CHECK_FALSE(digest({1, 2, 2}) == digest({1}));
    CHECK_FALSE(digest({1, 1}) == digest({2, 2}));
    CHECK(digest({}) == Digest());
    BatchDigest lanes(false);
    BatchDigest other(false);
    for (std::uint64_t i = 0; i < 100; ++i) (i % 3 == 0 ? lanes : other).add(encoded(i));
    BatchDigest all(false);
    for (std::uint64_t i = 0; i < 100; ++i) all.add(encoded(i));
    lanes.add(other);
    CHECK(lanes.digest() == all.digest());
}

TEST_CASE("batch digest: the sum is of big-endian numbers, and carries") {
    // So that both ends of different versions agree for ever: two digests whose lower halves
    // overflow together, added by hand.
    const auto number = [](const Digest& digest, std::size_t at) {
        std::uint64_t out = 0;
        for (std::size_t i = 0; i < 8; ++i) out = out << 8 | digest.data.at(at + i);
        return out;
    };
    std::uint64_t second = 1;
    const Digest a = digest_of(encode_frame_header(header_of(8, 0)));
    while (number(digest_of(encode_frame_header(header_of(8, second))), 8) + number(a, 8) >=
           number(a, 8))
        ++second;
    const Digest b = digest_of(encode_frame_header(header_of(8, second)));
    BatchDigest sum(false);
    sum.add(encode_frame_header(header_of(8, 0)));
    sum.add(encode_frame_header(header_of(8, second)));
    CHECK(number(sum.digest(), 8) == number(a, 8) + number(b, 8));
    CHECK(number(sum.digest(), 0) == number(a, 0) + number(b, 0) + 1);
}

}  // namespace
}  // namespace drover::replicator
