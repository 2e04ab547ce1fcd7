/// The durable log: RocksDB for the events, a head file beside it, one owner at a time. Format and
/// recovery, and which failure each precaution answers: format.md.
///
///   DIR/rocksdb/  DIR/HEAD  DIR/OWNER  DIR/BALLAST
///
/// Fail-stop: after an indeterminate append or a failed head sync every further call is refused,
/// for good. The process must exit; the next start recovers from what is really stored.
#pragma once

#include "eventlog/log.h"

#include <filesystem>

namespace drover::eventlog {

struct OpenOptions {
    /// Set aside on the log's volume and given up when a full volume keeps the log from opening;
    /// 0 for none.
    std::uint64_t ballast_bytes = std::uint64_t{256} << 20;
    /// What is seen while the log is checked, each event after its own checks: so that a start need
    /// not read everything again. Of worth only if opening succeeds; may be called a second time.
    ReadingBegins begin_reading = {};
};

/// append() syncs the head file when its wall time is this much after the last sync, or before it.
/// Between appends nobody does: a caller that has been idle for as long calls sync_head().
constexpr WallMicros head_sync_micros_max = 250'000;

/// An empty log in `directory`, which is made if missing. Killed half-way it leaves no log, and may
/// be called again. Errors: log_exists (conflict), log_owned, log_disk_full, io.
[[nodiscard]] Result<> create_rocksdb_log(const std::filesystem::path& directory,
                                          const Uuid& lineage);

/// Opens the log for its one writer, after reading all of it and comparing it with the head file. A
/// refusal changes nothing in the database. Errors: log_missing (not_found), log_owned and
/// log_disk_full (unavailable), log_unsupported, io; and corrupt with the id of the first Finding
/// (survey.h), for example log_shorter_than_head.
[[nodiscard]] Result<std::unique_ptr<EventLog>> open_rocksdb_log(
    const std::filesystem::path& directory, const OpenOptions& options = {});

}  // namespace drover::eventlog
