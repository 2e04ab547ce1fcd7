/// Many transfers at once, without a kernel: what ended how, and what is begun after it.
#include "replicator/transfers.h"

#include <cerrno>

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

constexpr std::size_t unit = 4096;

std::uint8_t memory[4 * 4 * unit];

/// `count` parts of four units, at 0, 1 MiB, 2 MiB...
Transfers many(std::size_t count) {
    std::vector<Transfer> parts;
    for (std::size_t i = 0; i < count; ++i)
        parts.push_back({i << 20, memory + i * 4 * unit, 4 * unit});
    return {std::move(parts), unit};
}

TEST_CASE("transfers: every part is begun once, in order, and ends") {
    Transfers transfers = many(3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(transfers.next() == i);
    CHECK_FALSE(transfers.next());
    CHECK(transfers.under_way() == 3);
    for (std::size_t i = 3; i-- > 0;) transfers.ended(i, 4 * unit);
    CHECK_FALSE(transfers.next());
    CHECK(transfers.under_way() == 0);
    CHECK_FALSE(transfers.failure());
}

TEST_CASE("transfers: the rest of a short one is begun again, on a unit") {
    Transfers transfers = many(1);
    REQUIRE(transfers.next() == 0U);
    transfers.ended(0, unit + 100);
    REQUIRE(transfers.next() == 0U);
    CHECK(transfers.rest(0).offset == unit);
    CHECK(transfers.rest(0).memory == memory + unit);
    CHECK(transfers.rest(0).length == 3 * unit);
    transfers.ended(0, 3 * unit);
    CHECK_FALSE(transfers.next());
    CHECK_FALSE(transfers.failure());
}

TEST_CASE("transfers: what moves nothing, or less than a unit, fails") {
    for (const std::int64_t moved : {0, 100}) {
        Transfers transfers = many(1);
        REQUIRE(transfers.next() == 0U);
        transfers.ended(0, moved);
        REQUIRE(transfers.failure());
        CHECK(transfers.failure()->number == 0);
        CHECK(transfers.failure()->rest.length == 4 * unit);
    }
}

TEST_CASE("transfers: after a failure nothing more is begun, and the first one counts") {
    Transfers transfers = many(4);
    REQUIRE(transfers.next() == 0U);
    REQUIRE(transfers.next() == 1U);
    REQUIRE(transfers.next() == 2U);
    transfers.ended(1, -EIO);
    CHECK_FALSE(transfers.next());
    CHECK(transfers.under_way() == 2);
    transfers.ended(0, unit);
    transfers.ended(2, -ENOSPC);
    CHECK_FALSE(transfers.next());
    CHECK(transfers.under_way() == 0);
    REQUIRE(transfers.failure());
    CHECK(transfers.failure()->number == EIO);
    CHECK(transfers.failure()->rest.offset == 1U << 20);
}

TEST_CASE("transfers: what was interrupted is begun again, but not for ever") {
    Transfers transfers = many(1);
    for (std::uint32_t i = 0; i < Transfers::interrupted_max; ++i) {
        REQUIRE(transfers.next() == 0U);
        transfers.ended(0, i % 2 == 0 ? -EINTR : -EAGAIN);
        REQUIRE_FALSE(transfers.failure());
    }
    REQUIRE(transfers.next() == 0U);
    transfers.ended(0, -EAGAIN);
    REQUIRE(transfers.failure());
    CHECK(transfers.failure()->number == EAGAIN);
}

}  // namespace
}  // namespace drover::replicator
