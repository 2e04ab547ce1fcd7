/// Snapshots of the kernel's device mapper: a block device that reads as another one does, and
/// whose writes go to a third. Not persistent: one is gone after a reboot. By dmsetup(8); format of
/// the table: Documentation/admin-guide/device-mapper/snapshot.rst of Linux.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>

namespace drover::agent {

/// Loads the kernel's module if need be. Errors: unsupported ("overlay_unsupported").
[[nodiscard]] Result<> can_snapshot();

/// The path of the new device. `base` and `writes` are claimed for it alone. `writes`: a block
/// device that takes what is written; its content is of no use to anybody else. udev's rules leave
/// the new device alone, so that nothing on it is activated or mounted by itself. Errors: those of
/// dmsetup.
[[nodiscard]] Result<std::string> make_snapshot(const std::string& name, const std::string& base,
                                                std::uint64_t sectors, const std::string& writes);

/// Nobody has it open exclusively, as a mount does. Errors: unavailable ("disk_busy").
[[nodiscard]] Result<> check_snapshot_idle(const std::string& name);

/// None of this name is a success. Errors: as above; those of dmsetup.
[[nodiscard]] Result<> remove_snapshot(const std::string& name);

}  // namespace drover::agent
