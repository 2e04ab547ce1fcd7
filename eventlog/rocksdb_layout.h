/// Keys and values of the RocksDB log, and the names of the files in its directory. Big-endian
/// numbers in keys, so that byte order is number order; pictures in format.md. Pure functions.
#pragma once

#include "eventlog/log.h"

#include <filesystem>

namespace drover::eventlog {

struct LogPaths {
    explicit LogPaths(const std::filesystem::path& directory)
        : database(directory / "rocksdb"),
          unfinished_database(directory / "rocksdb.creating"),
          head(directory / "HEAD"),
          owner(directory / "OWNER"),
          ballast(directory / "BALLAST") {}

    std::filesystem::path database;
    std::filesystem::path unfinished_database;
    std::filesystem::path head;
    std::filesystem::path owner;
    std::filesystem::path ballast;
};

[[nodiscard]] Bytes event_key(Seq seq);
[[nodiscard]] Result<Seq> seq_from_event_key(ByteView key);

/// The index of streams: (stream, position) -> seq.
struct StreamEntry {
    StreamId stream;
    StreamSeq stream_seq = 0;
    Seq seq = 0;
};

[[nodiscard]] Bytes stream_key(const StreamId& stream, StreamSeq stream_seq);
[[nodiscard]] Bytes seq_value(Seq seq);
[[nodiscard]] Result<StreamEntry> decode_stream_entry(ByteView key, ByteView value);

/// Command id -> answer, with the checksum of both.
[[nodiscard]] Bytes answer_value(const CommandAnswer& answer);
[[nodiscard]] Result<CommandAnswer> decode_answer(ByteView key, ByteView value);

/// The facts about the whole log, one value under meta_key().
struct LogMeta {
    Uuid lineage;
    Epoch epoch = 0;
    Seq seq = 0;
    Hash hash;
    std::uint64_t answers = 0;  ///< how many commands have an answer

    bool operator==(const LogMeta&) const = default;
};

[[nodiscard]] Bytes meta_key();
[[nodiscard]] Bytes meta_value(const LogMeta& meta);
/// Errors: log_unsupported for a log of a newer version, corrupt otherwise.
[[nodiscard]] Result<LogMeta> decode_meta(ByteView value);

}  // namespace drover::eventlog
