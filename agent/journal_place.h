/// Where the redo journal of a target's job may lie: on a local file system whose storage is none
/// of the job's disks. Decided at preflight, where it is shown, and looked at again before use.
#pragma once

#include "agent/config.h"
#include "replicator/target_journal.h"

#include <optional>
#include <string>
#include <vector>

namespace drover::agent {

/// nullopt if the configuration names no directory: direct mode. Errors: unsupported
/// ("journal_not_durable", "journal_on_job_disk"): direct mode, for this reason; not_found and
/// others of the file system: the directory cannot be looked at.
[[nodiscard]] Result<std::optional<replicator::JournalPlace>> journal_place(
    const Config& config, const std::vector<std::string>& disks);

}  // namespace drover::agent
