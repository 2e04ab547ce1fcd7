/// What names a disk beyond its path: read from sysfs, or from the inode for an image file.
#pragma once

#include <cstdint>
#include <string>

#include <sys/types.h>

namespace drover::replicator {

/// "wwid:…", "serial:…", "dm:…" or, for a loop device, "loop:DEV:INODE" of its backing file; a
/// partition gets its disk's identity and its start sector. Empty if the host knows nothing stable.
[[nodiscard]] std::string block_device_identity(std::uint32_t major, std::uint32_t minor);

[[nodiscard]] std::string file_identity(dev_t device, ino_t inode);

}  // namespace drover::replicator
