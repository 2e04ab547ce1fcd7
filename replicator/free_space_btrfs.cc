// Formats: linux/btrfs.h, linux/btrfs_tree.h; struct btrfs_super_block in the kernel's
// include/uapi/linux/btrfs_tree.h (not in the headers of Linux 6.1).
#include "base/fd.h"
#include "replicator/aligned_buffer.h"
#include "replicator/free_space_mounts.h"
#include "replicator/free_space_sources.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>

#include <linux/btrfs.h>
#include <linux/btrfs_tree.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace drover::replicator {
namespace {

constexpr std::uint64_t all_ones = std::numeric_limits<std::uint64_t>::max();
/// The filesystem never gives out the beginning of a device.
constexpr std::uint64_t reserved_bytes = 1U << 20;
/// btrfs_sb_offset() of the kernel: the first superblock and its copies.
constexpr std::array<std::uint64_t, 3> superblocks = {64ULL << 10, 64ULL << 20, 256ULL << 30};
constexpr std::uint64_t superblock_bytes = 4096;
/// Inside struct btrfs_super_block.
constexpr std::size_t fsid_at = 0x20;
constexpr std::size_t magic_at = 0x40;
constexpr std::size_t devid_at = 0xc9;
constexpr std::string_view magic = "_BHRfS_M";

using Fsid = std::array<std::uint8_t, BTRFS_FSID_SIZE>;

struct Member {
    std::uint64_t id = 0;
    std::uint64_t bytes = 0;  ///< of the device, that the filesystem uses
    ByteSpan place;
};

std::uint64_t little(const std::uint8_t* bytes) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < 8; ++i) value |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
    return value;
}

/// A path may have come to mean another device: the disk itself says whose member lies there. Seeds
/// and the target of a running replacement are not members and fail here.
Result<bool> is_member(BlockDevice& disk, const Member& member, const Fsid& fsid) {
    if (member.place.length() < reserved_bytes) return false;
    // Partitions start where they like: read whole blocks around it.
    const std::uint64_t begin = member.place.begin + superblocks[0];
    const std::uint64_t from = begin / superblock_bytes * superblock_bytes;
    const AlignedBuffer buffer(2 * superblock_bytes);
    const auto bytes = buffer.first(2 * superblock_bytes);
    TRY_VOID(disk.read(from, bytes));
    const std::uint8_t* super = bytes.data() + (begin - from);
    return std::memcmp(super + fsid_at, fsid.data(), fsid.size()) == 0 &&
           std::memcmp(super + magic_at, magic.data(), magic.size()) == 0 &&
           little(super + devid_at) == member.id;
}

/// The members that lie on the disk.
Result<std::vector<Member>> members_on(int root, BlockDevice& disk) {
    btrfs_ioctl_fs_info_args info{};
    if (::ioctl(root, BTRFS_IOC_FS_INFO, &info) != 0)
        return errno_error(errno, "ask for the devices of", "a btrfs");
    Fsid fsid{};
    std::memcpy(fsid.data(), info.fsid, fsid.size());
    std::vector<Member> members;
    std::uint64_t seen = 0;
    for (std::uint64_t id = 1; id <= info.max_id && seen < info.num_devices; ++id) {
        btrfs_ioctl_dev_info_args device{};
        device.devid = id;
        if (::ioctl(root, BTRFS_IOC_DEV_INFO, &device) != 0) {
            if (errno == ENODEV) continue;
            return errno_error(errno, "ask for a device of", "a btrfs");
        }
        ++seen;
        device.path[sizeof(device.path) - 1] = 0;

        struct stat status {};

        if (::stat(reinterpret_cast<const char*>(device.path), &status) != 0 ||
            !S_ISBLK(status.st_mode))
            continue;
        const auto place = place_on(disk.facts(), status.st_rdev);
        if (!place || device.total_bytes > place->length()) continue;
        const Member member{id, device.total_bytes, *place};
        TRY(const bool is_believed, is_member(disk, member, fsid));
        if (is_believed) members.push_back(member);
    }
    if (members.empty())
        return Error(Errc::not_found, "free_space_elsewhere",
                     "no device of this filesystem lies on the disk");
    return members;
}

Error strange_tree() {
    return Error(Errc::corrupt, "free_space_unclear",
                 "the device tree of a btrfs holds what is not expected there");
}

/// One found item: its key and its content, checked. `at` moves behind it.
Result<ByteSpan> next_extent(const Member& member, std::span<const std::uint8_t>& left) {
    btrfs_ioctl_search_header header{};
    btrfs_dev_extent extent{};
    if (left.size() < sizeof(header)) return strange_tree();
    std::memcpy(&header, left.data(), sizeof(header));
    left = left.subspan(sizeof(header));
    if (header.objectid != member.id || header.type != BTRFS_DEV_EXTENT_KEY ||
        header.len < sizeof(extent) || left.size() < header.len)
        return strange_tree();
    const std::uint64_t length = little(left.data() + offsetof(btrfs_dev_extent, length));
    left = left.subspan(header.len);
    if (header.offset > member.bytes || length > member.bytes - header.offset)
        return strange_tree();
    return ByteSpan{header.offset, header.offset + length};
}

/// What chunks occupy of a device, relative to it, ascending.
Result<std::vector<ByteSpan>> device_extents(int root, const Member& member,
                                             std::uint32_t search_bytes) {
    std::vector<std::uint64_t> memory(
        (sizeof(btrfs_ioctl_search_args_v2) + search_bytes) / sizeof(std::uint64_t) + 1);
    auto* const search = reinterpret_cast<btrfs_ioctl_search_args_v2*>(memory.data());
    std::vector<ByteSpan> used;
    while (true) {
        *search = {};
        search->key.tree_id = BTRFS_DEV_TREE_OBJECTID;
        search->key.min_objectid = search->key.max_objectid = member.id;
        search->key.min_type = search->key.max_type = BTRFS_DEV_EXTENT_KEY;
        search->key.min_offset = used.empty() ? 0 : used.back().begin + 1;
        search->key.max_offset = search->key.max_transid = all_ones;
        search->key.nr_items = std::numeric_limits<std::uint32_t>::max();
        search->buf_size = search_bytes;
        if (::ioctl(root, BTRFS_IOC_TREE_SEARCH_V2, search) != 0)
            return errno_error(errno, "read the device tree of", "a btrfs");
        if (search->key.nr_items == 0) return used;
        std::span<const std::uint8_t> left(search->buf, search_bytes);
        for (std::uint32_t i = 0; i < search->key.nr_items; ++i) {
            TRY(const ByteSpan extent, next_extent(member, left));
            if (!used.empty() && extent.begin < used.back().end) return strange_tree();
            used.push_back(extent);
        }
    }
}

/// What lies between the used ones, on the disk.
std::vector<ByteSpan> gaps(const Member& member, std::vector<ByteSpan> used) {
    used.push_back({0, reserved_bytes});
    for (const std::uint64_t copy : superblocks) used.push_back({copy, copy + superblock_bytes});
    std::sort(used.begin(), used.end(),
              [](const ByteSpan& a, const ByteSpan& b) { return a.begin < b.begin; });
    std::vector<ByteSpan> free;
    std::uint64_t upto = 0;
    for (const ByteSpan& span : used) {
        if (span.begin >= member.bytes) break;
        if (span.begin > upto)
            free.push_back({member.place.begin + upto, member.place.begin + span.begin});
        upto = std::max(upto, span.end);
    }
    if (upto < member.bytes)
        free.push_back({member.place.begin + upto, member.place.begin + member.bytes});
    return free;
}

}  // namespace

Result<ByteSpan> btrfs_place(int root, BlockDevice& disk) {
    TRY(const std::vector<Member> members, members_on(root, disk));
    return members.front().place;
}

Result<std::vector<Free>> free_by_chunks(int root, BlockDevice& disk, std::uint32_t search_bytes) {
    TRY(const std::vector<Member> members, members_on(root, disk));
    std::vector<Free> all;
    for (const Member& member : members) {
        TRY(std::vector<ByteSpan> used, device_extents(root, member, search_bytes));
        // A member without a single chunk is one that we do not understand.
        if (used.empty()) continue;
        all.push_back({member.place, gaps(member, std::move(used))});
    }
    return all;
}

}  // namespace drover::replicator
