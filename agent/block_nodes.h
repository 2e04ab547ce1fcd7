/// Which kernel devices a disk consists of, and who uses them: reads of /sys and /proc, no changes.
#pragma once

#include "agent/host_ops.h"
#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace drover::agent {

struct BlockNode {
    std::string name;  ///< kernel name, "sdb" or "sdb1"
    dev_t device = 0;
};

/// A disk as the kernel sees it now.
struct DiskNodes {
    std::string path;              ///< canonical
    bool is_block = false;         ///< false: a regular file
    std::vector<BlockNode> nodes;  ///< the whole disk first, then its partitions; empty for a file
    dev_t file_device = 0;         ///< of a regular file
    ino_t file_inode = 0;

    [[nodiscard]] bool has(dev_t device) const;
};

/// Errors: not_found ("disk_not_found"), unsupported ("disk_unsupported"): a partition, dm or md
/// device.
[[nodiscard]] Result<DiskNodes> find_nodes(const std::string& path);

struct Mount {
    dev_t device = 0;
    std::string point;
    std::string source;
};

/// Every line of a mountinfo file's text.
[[nodiscard]] std::vector<Mount> parse_mounts(const std::string& text);

/// Mounts listed in one mountinfo file whose filesystem lies directly on `disk`, in mount order.
[[nodiscard]] Result<std::vector<Mount>> mounts_of(const DiskNodes& disk,
                                                   const std::string& mountinfo);

[[nodiscard]] std::vector<std::string> swaps_of(const DiskNodes& disk);
/// LVM, md and dm devices above the disk, and loop devices over an image file.
[[nodiscard]] std::vector<std::string> holders_of(const DiskNodes& disk);
/// Mounts of the disk in other processes' mount namespaces, as text for people.
[[nodiscard]] std::vector<std::string> foreign_mounts_of(const DiskNodes& disk);
/// Processes other than this one that have the disk or a partition open for writing.
[[nodiscard]] std::vector<std::string> writers_of(const DiskNodes& disk);
/// Processes with a file, a directory or a root on the filesystem `device`.
[[nodiscard]] std::vector<std::string> processes_on(dev_t device);

/// The whole disks below `device`, through partitions, LVM, md and dm.
[[nodiscard]] std::vector<dev_t> disks_below(dev_t device);

/// A volume that lies on a disk or a partition of it, directly or through others.
struct StackedDevice {
    std::string name;                ///< as people know it: "vg0-data", "md127"
    std::string kind;                ///< "LVM volume", "LUKS volume", "md array", ...
    std::vector<std::string> disks;  ///< kernel names of all whole disks below it
};

[[nodiscard]] std::vector<StackedDevice> devices_above(const DiskNodes& disk);

/// First line of a sysfs file, empty if it cannot be read.
[[nodiscard]] std::string sysfs_text(dev_t device, std::string_view file);

}  // namespace drover::agent
