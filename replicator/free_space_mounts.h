/// Which mounted filesystems may lie on a disk, and where on it a block device lies.
#pragma once

#include "replicator/free_space.h"

#include <optional>

#include <sys/types.h>

namespace drover::replicator {

struct MountLine {
    std::string point;
    std::string type;
    dev_t device = 0;          ///< of the superblock; invented by filesystems of many devices
    bool is_writable = false;  ///< the superblock, not only this mount of it

    bool operator==(const MountLine&) const = default;
};

/// Pure: the lines of a mountinfo file (proc(5)) that a path still leads to: what was mounted over
/// at the same place is left out. Lines that cannot be understood are skipped.
[[nodiscard]] std::vector<MountLine> visible_mounts(const std::string& mountinfo);

/// Where `device` lies: the whole disk, or one of its partitions. Nothing if it is neither.
[[nodiscard]] std::optional<ByteSpan> place_on(const DeviceFacts& disk, dev_t device);

}  // namespace drover::replicator
