/// A udev rule per disk that udev must not look into: without it udev would assemble and systemd
/// mount what is on the disk, at every event and at the next boot before anybody else starts.
///
/// A disk with a wwid or serial number is matched by that, and the rule outlives a reboot. Any
/// other disk is matched by its kernel name, which can mean another disk in the next boot: such a
/// rule ends with this one. Where udev does not run, nothing is done.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <string>
#include <vector>

namespace drover::agent {

struct UdevDisk {
    std::vector<std::string> kernel_names;  ///< the whole disk first: "sdb", "sdb1"
    std::string identity;                   ///< "wwid:..." or "serial:..."; anything else is none
};

/// A rule that is there already is left alone. Takes effect with the disk's next event.
[[nodiscard]] Result<> add_udev_rule(const UdevDisk& disk);

/// Also makes the kernel announce the disk and its partitions anew, so that udev and systemd take
/// it back at once; that part is repeated even if the rule was gone.
[[nodiscard]] Result<> remove_udev_rule(const UdevDisk& disk);

/// The rule's file and its text.
[[nodiscard]] std::filesystem::path udev_rule_file(const UdevDisk& disk);
[[nodiscard]] std::string udev_rule(const UdevDisk& disk);

}  // namespace drover::agent
