#include "replicator/block_map.h"
#include "replicator/free_space.h"
#include "replicator/free_space_mounts.h"

#include <catch2/catch.hpp>

#include <sys/sysmacros.h>

namespace drover::replicator {

using Spans = std::vector<ByteSpan>;

TEST_CASE("free space: a block that is only partly free is used") {
    const ByteSpan place{0, 100 * block_bytes};
    CHECK(whole_blocks({{1, 3 * block_bytes + 4095}}, place) ==
          Spans{{block_bytes, 3 * block_bytes}});
    CHECK(whole_blocks({{1, 2 * block_bytes - 1}}, place).empty());
    CHECK(whole_blocks({{4096, 4096}}, place).empty());
    CHECK(whole_blocks({{0, 4096}}, place) == Spans{{0, 4096}});
}

TEST_CASE("free space: pieces that touch make whole blocks together, in any order") {
    const ByteSpan place{0, 100 * block_bytes};
    CHECK(whole_blocks({{6000, 8192}, {4096, 6000}}, place) == Spans{{4096, 8192}});
    CHECK(whole_blocks({{4096, 6000}, {6001, 8192}}, place).empty());
    CHECK(whole_blocks({{8192, 16384}, {0, 4096}}, place) == Spans{{0, 4096}, {8192, 16384}});
}

TEST_CASE("free space: nothing outside of the filesystem's device is free") {
    const ByteSpan place{3 * 512, 10 * block_bytes + 512};
    CHECK(whole_blocks({{0, 100 * block_bytes}}, place) == Spans{{block_bytes, 10 * block_bytes}});
    CHECK(whole_blocks({{50 * block_bytes, 60 * block_bytes}}, place).empty());
}

TEST_CASE("free space: of mounts at one place the last is the one that a path leads to") {
    const auto mounts = visible_mounts(
        "22 1 8:1 / / rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
        "23 22 8:2 / /srv rw - xfs /dev/sda2 rw\n"
        "24 22 8:3 /sub /a\\040b ro,nosuid master:3 propagate_from:2 - btrfs /dev/sda3 ro,ssd\n"
        "nonsense\n"
        "25 22 0:31 / /srv rw - tmpfs none rw\n");
    CHECK(mounts == std::vector<MountLine>{{"/", "ext4", makedev(8, 1), true},
                                           {"/a b", "btrfs", makedev(8, 3), false},
                                           {"/srv", "tmpfs", makedev(0, 31), true}});
}

TEST_CASE("free space: writable is the superblock, not one mount of it") {
    const auto mounts = visible_mounts(
        "22 1 8:1 / /x rw - ext4 /dev/sda1 ro,noload\n"
        "23 1 8:2 / /y ro - ext4 /dev/sda2 rw\n");
    REQUIRE(mounts.size() == 2);
    CHECK_FALSE(mounts[0].is_writable);
    CHECK(mounts[1].is_writable);
}

TEST_CASE("free space: nobody can say what is free in an image file") {
    MemoryDevice disk(1U << 20);
    const auto space = read_free_space(disk);
    REQUIRE_FALSE(space.has_value());
    CHECK(space.error().code() == Errc::unsupported);
}

}  // namespace drover::replicator
