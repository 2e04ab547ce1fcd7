/// Opens the event log and makes the state of its events while it is read for its checks, so that a
/// start reads everything once.
///
///   open_rocksdb_log ─ each checked event ─► batch ─► second thread: decode, apply ─► State
#pragma once

#include "eventlog/rocksdb_log.h"
#include "orchestrator/facts.h"

#include <filesystem>
#include <memory>

namespace drover::orchestrator {

struct OpenedLog {
    std::unique_ptr<eventlog::EventLog> log;
    State state;  ///< replay(*log)
};

/// Errors: those of open_rocksdb_log(), then those of replay(). Blocks.
[[nodiscard]] Result<OpenedLog> open_log(const std::filesystem::path& directory,
                                         std::uint64_t ballast_bytes);

}  // namespace drover::orchestrator
