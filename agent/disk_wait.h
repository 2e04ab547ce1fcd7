/// At boot disks appear one by one, and an agent that starts early can be there before them.
#pragma once

#include "agent/host_ops.h"

#include <cstdint>
#include <string>
#include <vector>

namespace drover::agent {

constexpr std::int64_t disk_wait_ms_max = 30'000;
constexpr std::int64_t disk_wait_step_ms = 250;

/// Blocks until every disk is there, or the time is over: what is still missing then shows in the
/// caller's next step.
void wait_for_disks(HostOps& host, const std::vector<std::string>& disks);

}  // namespace drover::agent
