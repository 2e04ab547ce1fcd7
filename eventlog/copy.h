/// A log as it is read, copied and taken over without its writer: what backup, restore and the
/// check before an upgrade are made of. Blocking.
///
///   read_log_directory   nothing is changed, a writer may be at work
///   copy_log             the same, into a new log of its own
///   begin_lineage        a copy in nobody's hands becomes the log of a new lineage
#pragma once

#include "eventlog/log.h"

#include <filesystem>

namespace drover::eventlog {

/// Visits every event of a log that may be open elsewhere, as far as it had come. Reads all of it
/// first and refuses like open_rocksdb_log. The head is that of what was visited.
[[nodiscard]] Result<Head> read_log_directory(const std::filesystem::path& directory,
                                              const RecordVisitor& visit);

/// Writes what `from` holds now to a new log in `to`, event by event: never a file that somebody
/// still writes, and never damage, because every checksum and both chains are checked on the way.
/// `to` must hold no log. Errors: those of reading; log_exists (conflict); io.
[[nodiscard]] Result<Head> copy_log(const std::filesystem::path& from,
                                    const std::filesystem::path& to);

/// The log of `directory`, which nobody uses yet, goes on as another lineage in `epoch`. Killed
/// half-way it refuses to open: do it in a directory that can be made again. Errors: invalid
/// (epoch_too_low), those of opening.
[[nodiscard]] Result<> begin_lineage(const std::filesystem::path& directory, const Uuid& lineage,
                                     Epoch epoch);

}  // namespace drover::eventlog
