/// When a device's own command for zeroing is believed.
#include "replicator/zeroing.h"

#include "tests/replicator/result_checks.h"

#include <algorithm>

#include <catch2/catch.hpp>

#include <stdlib.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

using testing::ok;

constexpr std::uint64_t size_bytes = 4U << 20;

/// A disk with a command that does what its kind says.
struct Bench {
    enum class Kind : std::uint8_t { honest, lying, refusing };

    explicit Bench(Kind kind, std::uint8_t content)
        : kind_(kind),
          disk(size_bytes) {
        std::fill(disk.contents().begin(), disk.contents().end(), content);
    }

    [[nodiscard]] Result<> zero(std::uint64_t offset, std::uint64_t length) {
        return zeroing.zero(disk, offset, length, [this](std::uint64_t from, std::uint64_t bytes) {
            ++commands;
            if (kind_ == Kind::refusing) return false;
            return kind_ == Kind::lying || disk.write_zeroes(from, bytes).has_value();
        });
    }

    /// Bytes of the range that are not zero.
    [[nodiscard]] std::int64_t left(std::uint64_t offset, std::uint64_t length) {
        const auto from = disk.contents().begin() + static_cast<std::ptrdiff_t>(offset);
        return std::count_if(from, from + static_cast<std::ptrdiff_t>(length),
                             [](std::uint8_t byte) { return byte != 0; });
    }

    Kind kind_;
    MemoryDevice disk;
    Zeroing zeroing;
    int commands = 0;
};

TEST_CASE("zeroing: whatever the device does with the command, the range reads as zeroes") {
    const auto kind = GENERATE(Bench::Kind::honest, Bench::Kind::lying, Bench::Kind::refusing);
    const auto content = GENERATE(std::uint8_t{0}, std::uint8_t{0xee});
    Bench bench(kind, content);
    for (const std::uint64_t offset : {0U, 3U << 20, 1U << 20}) {
        REQUIRE(ok(bench.zero(offset, 512)));
        REQUIRE(ok(bench.zero(offset, 1U << 20)));
        CHECK(bench.left(offset, 1U << 20) == 0);
    }
    CHECK(bench.left(2U << 20, 1U << 20) == (content == 0 ? 0 : 1 << 20));
}

TEST_CASE("zeroing: a range that was zero already is no proof that the command works") {
    Bench bench(Bench::Kind::lying, 0);
    REQUIRE(ok(bench.zero(0, 4096)));
    bench.disk.contents()[8192] = 7;
    REQUIRE(ok(bench.zero(8192, 4096)));
    CHECK(bench.left(0, size_bytes) == 0);
}

TEST_CASE("zeroing: the command is looked after once, and not asked again if it keeps the data") {
    Bench honest(Bench::Kind::honest, 0xee);
    REQUIRE(ok(honest.zero(0, 4096)));
    honest.disk.fail_read_in(1);
    REQUIRE(ok(honest.zero(4096, 4096)));
    CHECK(honest.commands == 2);
    Bench lying(Bench::Kind::lying, 0xee);
    REQUIRE(ok(lying.zero(0, 4096)));
    REQUIRE(ok(lying.zero(4096, 4096)));
    CHECK(lying.commands == 1);
}

TEST_CASE("zeroing: nothing is believed of a look that failed") {
    Bench bench(Bench::Kind::lying, 0xee);
    bench.disk.fail_read_in(1);
    CHECK_FALSE(bench.zero(0, 4096).has_value());
    REQUIRE(ok(bench.zero(0, 4096)));
    CHECK(bench.left(0, 4096) == 0);
}

TEST_CASE("zeroing: an image file of an odd size becomes zero to its last byte") {
    std::string path = "/tmp/drover-zeroing-XXXXXX";
    const int fd = ::mkstemp(path.data());
    REQUIRE(fd >= 0);
    const std::uint64_t size = 70'001;
    const Bytes content(size, 0xee);
    REQUIRE(::write(fd, content.data(), size) == static_cast<ssize_t>(size));
    ::close(fd);
    const auto disk = open_device(path, Access::read_write);
    REQUIRE(ok(disk));
    ::unlink(path.c_str());
    REQUIRE(ok((*disk)->write_zeroes(0, 4096)));
    REQUIRE(ok((*disk)->write_zeroes(4096, size - 4096)));
    Bytes found(size, 1);
    REQUIRE(ok((*disk)->read(0, found)));
    CHECK(found == Bytes(size));
}

}  // namespace
}  // namespace drover::replicator
