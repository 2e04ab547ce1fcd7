/// One question to one mounted filesystem: what of its device is free? Two ways to ask.
#pragma once

#include "replicator/free_space.h"

#include <sys/types.h>

namespace drover::replicator {

/// `free` is relative to the disk, in no units of ours: whole_blocks() makes use of it.
struct Free {
    ByteSpan place;  ///< of the filesystem's device on the disk
    std::vector<ByteSpan> free;
};

/// Records that one call returns; 64 bytes each.
constexpr std::uint32_t fsmap_records_max = 64U << 10;

/// FS_IOC_GETFSMAP (Linux 4.12: xfs, ext4; ioctl_getfsmap(2)). `root` is open inside a filesystem
/// that lies on `device`, which lies at `place` of the disk. Free is what is said to be free by one
/// record and to be used by none. Errors: unsupported (no such call, or devices that cannot be told
/// apart); corrupt (an answer that is not in order: nothing of it is believed); io.
[[nodiscard]] Result<Free> free_by_fsmap(int root, dev_t device, ByteSpan place,
                                         std::uint32_t records = fsmap_records_max);

constexpr std::uint32_t chunk_search_bytes = 256U << 10;

/// Where a btrfs lies on `disk`: the first of its members there. The members are found by the
/// filesystem's own list and believed if the superblock on `disk` names the same filesystem and
/// device number. Errors: not_found if there is none; io.
[[nodiscard]] Result<ByteSpan> btrfs_place(int root, BlockDevice& disk);

/// btrfs: the device tree (BTRFS_IOC_TREE_SEARCH_V2) lists what chunks occupy. Free is the rest of
/// the device that the filesystem uses, without its first MiB and the copies of its superblock.
/// Space inside a chunk counts as used. One answer for each member on `disk`. Errors: as
/// btrfs_place; corrupt (a device tree that is not in order: nothing of it is believed).
[[nodiscard]] Result<std::vector<Free>> free_by_chunks(
    int root, BlockDevice& disk, std::uint32_t search_bytes = chunk_search_bytes);

}  // namespace drover::replicator
