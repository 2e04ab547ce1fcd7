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

}  // namespace
}  // namespace drover::replicator
