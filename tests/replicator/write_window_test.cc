/// What a target may write at once, and what a source reads ahead.
#include "replicator/write_window.h"

#include "replicator/block_map.h"
#include "replicator/region_reader.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

FrameHeader frame(std::uint64_t batch, std::uint64_t first_block, std::uint64_t blocks,
                  std::uint32_t disk = 0) {
    FrameHeader header;
    header.batch = batch;
    header.disk = disk;
    header.offset = first_block * block_bytes;
    header.raw_length = static_cast<std::uint32_t>(blocks * block_bytes);
    return header;
}

void add(WriteWindow& window, const FrameHeader& header, std::uint8_t fill) {
    window.add(header, Bytes(header.raw_length, fill), nullptr);
}

TEST_CASE("write window: nothing waits beside what covers the same bytes, or comes before it") {
    WriteWindow window;
    CHECK(window.follows(frame(1, 500, 1)));
    add(window, frame(1, 8, 2), 1);
    CHECK(window.follows(frame(1, 10, 1)));
    CHECK(window.follows(frame(1, 11, 1)));
    CHECK_FALSE(window.follows(frame(1, 9, 1)));
    CHECK_FALSE(window.follows(frame(1, 8, 2)));
    CHECK_FALSE(window.follows(frame(1, 6, 8)));
    CHECK_FALSE(window.follows(frame(1, 0, 1)));
}

TEST_CASE("write window: it is of one batch and one disk, and of small data") {
    WriteWindow window;
    add(window, frame(3, 8, 1), 1);
    CHECK_FALSE(window.follows(frame(4, 20, 1)));
    CHECK_FALSE(window.follows(frame(3, 20, 1, 1)));
    CHECK_FALSE(window.follows(frame(3, 20, WriteWindow::frame_bytes_max / block_bytes + 1)));
    FrameHeader zeroes = frame(3, 20, 1);
    zeroes.kind = FrameKind::zero;
    CHECK_FALSE(window.follows(zeroes));
    CHECK_FALSE(WriteWindow::is_for(zeroes));
}

TEST_CASE("write window: it takes so much and no more, and is empty once it was cleared") {
    WriteWindow window;
    std::uint64_t frames = 0;
    while (window.follows(frame(1, frames * 2, 1))) add(window, frame(1, 2 * frames++, 1), 1);
    CHECK(frames * block_bytes <= WriteWindow::bytes_max);
    CHECK(frames * block_bytes > WriteWindow::bytes_max / 2);
    window.clear();
    CHECK(window.is_empty());
    CHECK(window.follows(frame(1, 0, 1)));
}

TEST_CASE("write window: what it writes is what was added, and a failure is its own") {
    MemoryDevice disk(mib);
    WriteWindow window;
    for (std::uint8_t i = 0; i < 10; ++i) add(window, frame(1, i * 3U, 1), i);
    CHECK(window.waiting().size() == 10);
    REQUIRE(ok(window.write(disk)));
    Bytes expected(mib);
    for (std::uint8_t i = 0; i < 10; ++i)
        std::fill_n(expected.begin() + i * 3 * static_cast<std::ptrdiff_t>(block_bytes),
                    block_bytes, i);
    CHECK(disk.contents() == expected);
    disk.fail_write_in(5);
    CHECK_FALSE(window.write(disk).has_value());
}

TEST_CASE("region reader: one region is read while the one before it is looked at") {
    MemoryDevice disk(4 * mib + 1536);
    for (std::size_t i = 0; i < disk.contents().size(); ++i)
        disk.contents()[i] = static_cast<std::uint8_t>(i / block_bytes * 7 + i);
    const auto extent = [](std::uint64_t i) {
        return Extent{i * 9 * block_bytes, 2 * block_bytes};
    };
    const auto is_right = [&](const RegionReader::Piece& piece) {
        const auto from = disk.contents().begin() + static_cast<std::ptrdiff_t>(piece.offset);
        return std::equal(piece.data.begin(), piece.data.end(), from);
    };
    RegionReader reader(disk);
    reader.begin({extent(0), extent(1)});
    for (std::uint64_t i = 2; i < 20; ++i) {
        const auto pieces = reader.wait();
        REQUIRE(ok(pieces));
        // The last one is the odd end of the disk.
        reader.begin(i < 19 ? std::vector<Extent>(i, extent(i))
                            : std::vector<Extent>{extent(1), {4 * mib, 1536}});
        for (const auto& piece : *pieces) CHECK(is_right(piece));
    }
    const auto last = reader.wait();
    REQUIRE(ok(last));
    REQUIRE(last->size() == 2);
    CHECK((*last)[1].data.size() == 1536);
    CHECK(is_right((*last)[1]));
}

TEST_CASE("region reader: a region that cannot be read is an error when it is waited for") {
    MemoryDevice disk(mib);
    RegionReader reader(disk);
    reader.begin({{0, block_bytes}});
    REQUIRE(ok(reader.wait()));
    disk.fail_read_in(2);
    reader.begin({{0, block_bytes}, {2 * block_bytes, block_bytes}});
    CHECK_FALSE(reader.wait().has_value());
    reader.begin({{0, block_bytes}});
    CHECK(ok(reader.wait()));
    // One that nobody waits for ends with its reader.
    reader.begin({{0, block_bytes}});
}

}  // namespace
}  // namespace drover::replicator
