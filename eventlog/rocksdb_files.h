/// RocksDB's files as it makes them, with write-ahead logs that grow ahead of what is written.
///
/// A sync of a file that has grown waits for the filesystem's own journal, and a write-ahead log
/// grows with every event. So its size is raised by a mebibyte at a time, and a sync writes data
/// only: on ext4 130 instead of 190 us (docs/performance.md). Behind the last record stand zeros,
/// until the file is closed; readers take them for its end.
#pragma once

namespace rocksdb {
class Env;
}

namespace drover::eventlog {

/// For DBOptions::env. Lives as long as the process.
[[nodiscard]] rocksdb::Env* env_with_grown_wals();

}  // namespace drover::eventlog
