/// What this binary would meet if it were started on a log: every event is decoded and replayed,
/// every stored digest compared, and nothing is changed. The server may run meanwhile. Blocking.
#pragma once

#include "eventlog/log.h"

#include <filesystem>
#include <string>
#include <vector>

namespace drover::orchestrator {

struct UpgradeFinding {
    std::string id;  ///< of the error that a start would meet, or "job_left_alone"
    eventlog::Seq seq = 0;
    std::string detail;
};

struct UpgradeReport {
    eventlog::Head head;
    std::uint64_t events = 0;
    std::uint64_t jobs = 0;
    std::vector<UpgradeFinding> findings;
};

/// Errors: those of reading the log: damage is no question of versions.
[[nodiscard]] Result<UpgradeReport> check_upgrade(const std::filesystem::path& state);

}  // namespace drover::orchestrator
