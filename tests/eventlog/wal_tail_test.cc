/// What a power failure may leave at the end of a write-ahead log, and what it cannot: hand-made
/// files in RocksDB's format.
#include "base/bytes.h"
#include "eventlog/wal_tail.h"
#include "tests/eventlog/log_testing.h"

#include <algorithm>
#include <fstream>

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;

constexpr std::size_t block_bytes = 32768;
constexpr std::size_t header_bytes = 7;
constexpr std::size_t grown_bytes = std::size_t{1} << 18;
constexpr std::size_t small = 100;

/// Batches in pieces: checksum 4, length 2, type 1 (whole, first, middle, last), content.
class WalFile {
  public:
    /// One batch of one write, of `size` bytes with its header.
    WalFile& write(std::uint64_t number, std::size_t size) {
        Bytes batch;
        put_u64(batch, number);
        put_u32(batch, 1);
        batch.resize(std::max(size, batch.size()), 0x5a);
        ends_.push_back(bytes_.size());
        ByteView left = batch;
        do {
            if (block_left() < header_bytes) bytes_.resize(bytes_.size() + block_left());
            const bool is_first = left.size() == batch.size();
            const auto piece = left.first(std::min(left.size(), block_left() - header_bytes));
            left = left.subspan(piece.size());
            const bool is_last = left.empty();
            const int type = is_first ? (is_last ? 1 : 2) : (is_last ? 4 : 3);
            put_piece(static_cast<std::uint8_t>(type), piece);
        } while (!left.empty());
        return *this;
    }

    /// Where the last batch begins.
    [[nodiscard]] std::size_t last() const { return ends_.back(); }

    [[nodiscard]] std::size_t block_left() const {
        return block_bytes - bytes_.size() % block_bytes;
    }

    /// Zeros from `at` on: what was not written of a file that had grown ahead.
    WalFile& lose_from(std::size_t at) {
        bytes_.resize(at);
        return *this;
    }

    WalFile& zero(std::size_t at, std::size_t size) {
        std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at), size, std::uint8_t{0});
        return *this;
    }

    void save(const std::filesystem::path& file) const {
        Bytes grown = bytes_;
        grown.resize(std::max(grown.size(), grown_bytes));
        std::ofstream(file, std::ios::binary)
            .write(reinterpret_cast<const char*>(grown.data()),
                   static_cast<std::streamsize>(grown.size()));
    }

  private:
    void put_piece(std::uint8_t type, ByteView content) {
        constexpr std::uint32_t mask_delta = 0xa282ead8;
        Bytes checked{type};
        checked.insert(checked.end(), content.begin(), content.end());
        const std::uint32_t crc = crc32c(checked);
        put_u32(bytes_, ((crc >> 15) | (crc << 17)) + mask_delta);
        put_u16(bytes_, static_cast<std::uint16_t>(content.size()));
        bytes_.insert(bytes_.end(), checked.begin(), checked.end());
    }

    Bytes bytes_;
    std::vector<std::size_t> ends_;
};

bool torn(const std::vector<WalFile>& wals) {
    const TemporaryDirectory directory;
    for (std::size_t i = 0; i < wals.size(); ++i)
        wals[i].save(directory.path() / ("00001" + std::to_string(i) + ".log"));
    return ends_torn(directory.path());
}

TEST_CASE("wal tail: whole records with zeros behind them are not torn", "[wal_tail]") {
    CHECK_FALSE(torn({WalFile().write(1, small).write(2, block_bytes).write(3, small)}));
    CHECK_FALSE(torn({}));
    CHECK_FALSE(torn({WalFile()}));
}

TEST_CASE("wal tail: a last write with a hole in it is torn", "[wal_tail]") {
    WalFile wal;
    wal.write(1, small).write(2, small);
    CHECK(torn({wal.zero(wal.last() + header_bytes + 20, 50)}));
}

TEST_CASE("wal tail: a last write of which only whole pieces arrived is torn", "[wal_tail]") {
    WalFile wal;
    wal.write(1, small).write(2, 3 * block_bytes);
    const std::size_t pieces = GENERATE(1U, 2U);
    CHECK(torn({wal.lose_from(pieces * block_bytes)}));
}

TEST_CASE("wal tail: a first write of which only a few bytes arrived is torn", "[wal_tail]") {
    const std::size_t arrived = GENERATE(1U, 5U, 6U, 7U, 18U);
    CHECK(torn({WalFile().write(1, small).lose_from(arrived)}));
    CHECK(torn({WalFile().write(1, small), WalFile().write(2, small).lose_from(arrived)}));
}

TEST_CASE("wal tail: a record behind the first bad byte is damage", "[wal_tail]") {
    WalFile wal;
    wal.write(1, small).write(2, small);
    const std::size_t second = wal.last();
    CHECK_FALSE(torn({wal.write(3, small).zero(second + header_bytes + 20, 50)}));
}

TEST_CASE("wal tail: a record that begins within another is damage", "[wal_tail]") {
    WalFile wal;
    wal.write(1, 2 * block_bytes).lose_from(block_bytes).write(2, small);
    CHECK_FALSE(torn({wal}));
}

TEST_CASE("wal tail: a torn log may be followed by the one that goes on from it", "[wal_tail]") {
    const WalFile head = WalFile().write(1, small).write(2, small).lose_from(150);
    CHECK(torn({head, WalFile().write(2, small).write(3, small)}));
    CHECK(torn({head, WalFile().write(2, small).lose_from(30)}));
    CHECK(torn({head, WalFile(), WalFile().write(2, small).lose_from(30),
                WalFile().write(2, small)}));
    CHECK_FALSE(torn({head, WalFile().write(3, small)}));
    CHECK_FALSE(torn({head, WalFile().write(2, small).lose_from(30), WalFile().write(3, small)}));
}

}  // namespace
}  // namespace drover::eventlog
