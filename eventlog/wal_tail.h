/// Tells a torn write at the end of RocksDB's write-ahead log from damage in its middle.
///
/// A power failure may leave of the last write any of its sectors and zeros for the others, at its
/// full length. RocksDB accepts a last record that is cut short; one with a wrong checksum it takes
/// for damage and refuses the log, although nobody was promised that record. The log's one writer
/// begins a write only when the one before is synced: so at most one record is unsynced, and no
/// record follows a torn one.
///
/// Format: https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format
#pragma once

#include <filesystem>

namespace drover::eventlog {

/// Whether all that is wrong with the write-ahead logs of `database` is torn writes that nobody was
/// promised: at the end of the last one that holds any, or of an earlier one that the next goes on
/// from. Such a one was recovered from and removed, and a further power failure brought back its
/// name. False when they cannot be read. Reads all of them.
[[nodiscard]] bool ends_torn(const std::filesystem::path& database);

}  // namespace drover::eventlog
