/// A udev rule per exposed disk: closing a writable descriptor makes udev probe the disk again, and
/// without the rule it would assemble and mount what was just mirrored onto it.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <string>

namespace drover::agent {

/// `kernel_name`: "sdb"; `identity`: "wwid:..." or "serial:..."; otherwise the name has to do. Does
/// nothing where udev does not run. The rule outlives a reboot.
[[nodiscard]] Result<> add_udev_rule(const std::string& kernel_name, const std::string& identity);
[[nodiscard]] Result<> remove_udev_rule(const std::string& kernel_name,
                                        const std::string& identity);

/// The text of the rule file.
[[nodiscard]] std::string udev_rule(const std::string& kernel_name, const std::string& identity);

}  // namespace drover::agent
