/// The event log: an append-only, hash-chained sequence of facts. Knows bytes and sequence numbers,
/// not jobs. The log is the truth; everything else in droverd can be rebuilt from it.
///
///   engine ─ Append[] ─► EventLog::append ─► ok: durable, then (and only then) answer and dispatch
///
/// One writer thread calls everything here. Implementations: RocksDB (rocksdb_log.h), memory
/// (memory_log.h). Formats, chain and recovery: eventlog/format.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace drover::eventlog {

/// Position in the whole log; the first event has 1; 0 means "before the first".
using Seq = std::uint64_t;
/// Position in one stream; the first event has 1.
using StreamSeq = std::uint32_t;
/// Count of orchestrator starts on this lineage; 0 before the first.
using Epoch = std::uint32_t;

enum class StreamKind : std::uint8_t { system = 0, job = 1, wave = 2, agent = 3 };

/// A stream is one job, wave or agent; its `id` is chosen by the creator and never reused.
struct StreamId {
    StreamKind kind = StreamKind::system;
    Uuid id;

    auto operator<=>(const StreamId&) const = default;
};

/// What the caller supplies of an event. `kind` and `kind_version` are the owner's numbers
/// (append-only, never reused); `payload` is canonical bytes, at most payload_bytes_max.
struct NewEvent {
    std::uint16_t kind = 0;
    std::uint16_t kind_version = 1;
    Uuid command_id;    ///< the command that caused it; zero for none
    std::string actor;  ///< who: "operator:NAME", "agent:NAME", "timer", "system"; at most 128 bytes
    Seq cause = 0;      ///< seq of the event that led to it; 0 for none
    Bytes payload;
};

/// An event as stored. `hash` covers every stored byte of it and `prev_hash`, see format.md.
struct Record {
    Seq seq = 0;
    StreamId stream;
    StreamSeq stream_seq = 0;
    std::uint16_t kind = 0;
    std::uint16_t kind_version = 0;
    WallMicros wall_micros = 0;  ///< clamped: never smaller than that of the event before
    bool clock_stepped = false;  ///< the clock had gone back when this was written
    Epoch epoch = 0;
    Uuid command_id;
    std::string actor;
    Seq cause = 0;
    Hash prev_hash;         ///< hash of event seq-1; zero for the first
    Hash prev_stream_hash;  ///< hash of the stream's event before; zero for its first
    Bytes payload;
    Hash hash;

    bool operator==(const Record&) const = default;
};

/// The answer given to a command, kept so that a retry gets the same one.
struct CommandAnswer {
    Uuid command_id;
    Hash request_digest;  ///< another digest under the same id is the caller's error
    Bytes answer;

    bool operator==(const CommandAnswer&) const = default;
};

/// Events for one stream, appended only if the stream is at `expected_stream_seq`.
struct Append {
    StreamId stream;
    StreamSeq expected_stream_seq = 0;  ///< 0 for a new stream
    std::vector<NewEvent> events;       ///< 1 or more
    std::optional<CommandAnswer> answer;
};

enum class AppendOutcome : std::uint8_t {
    ok,             ///< durable
    conflict,       ///< a stream was elsewhere, or a command is answered; nothing was written
    fenced,         ///< a later epoch owns this log; nothing was written; the caller must stop
    indeterminate,  ///< the write failed half-way; the caller must stop the process
    invalid         ///< a limit is broken, `error` names it; nothing was written
};

struct AppendResult {
    AppendOutcome outcome = AppendOutcome::ok;
    std::vector<Record> records;  ///< in append order; empty unless ok
    Error error;                  ///< set unless ok
};

/// The end of the log. Travels to agents as witness.
struct Head {
    Uuid lineage;
    Seq seq = 0;
    Hash hash;
    Epoch epoch = 0;
    WallMicros wall_micros = 0;

    bool operator==(const Head&) const = default;
};

struct StreamHead {
    StreamSeq seq = 0;
    Hash hash;
};

constexpr std::size_t payload_bytes_max = 512U << 10;
constexpr std::size_t actor_bytes_max = 128;
constexpr std::size_t events_per_append_max = 4096;

/// Return false to stop reading.
using RecordVisitor = std::function<bool(const Record&)>;
/// A reading of the log of this lineage begins, at event 1: what should see its events?
using ReadingBegins = std::function<RecordVisitor(const Uuid& lineage)>;

class EventLog {
  public:
    virtual ~EventLog() = default;

    /// Appends all of `batch` atomically: one write, one sync, for any number of streams (a stream
    /// may appear more than once; each expects the position left by the one before). `now_micros` is
    /// the wall time of the whole batch. Blocks for one sync. Outcomes: AppendOutcome. `fenced` when
    /// `epoch` is not this log's current one.
    [[nodiscard]] virtual AppendResult append(std::span<const Append> batch, Epoch epoch,
                                              WallMicros now_micros) = 0;

    /// Visits events `from`.. in order, verifying sequence and chain. `from` >= 1.
    /// Errors: corrupt (gap, chain or checksum), io. Blocks.
    [[nodiscard]] virtual Result<> read(Seq from, const RecordVisitor& visit) const = 0;

    /// Visits one stream from its `from`-th event on, verifying the stream's chain. Blocks.
    [[nodiscard]] virtual Result<> read_stream(StreamId stream, StreamSeq from,
                                               const RecordVisitor& visit) const = 0;

    [[nodiscard]] virtual Head head() const = 0;
    /// Position 0 and a zero hash for a stream that does not exist.
    [[nodiscard]] virtual StreamHead stream_head(StreamId stream) const = 0;
    /// The chain hash at `seq`; not_found beyond the end. For answering witnesses.
    [[nodiscard]] virtual Result<Hash> hash_at(Seq seq) const = 0;
    /// The stored answer to a command, if it was one that appended.
    [[nodiscard]] virtual Result<std::optional<CommandAnswer>> find_answer(
        const Uuid& command_id) const = 0;

    /// Raises the epoch by one, durably (log, then head file). Call once, before the first listen.
    [[nodiscard]] virtual Result<Epoch> raise_epoch(WallMicros now_micros) = 0;

    /// Makes the head file say the present head. Must return before an irreversible effect leaves
    /// the process. Any error is fail-stop, like `indeterminate`.
    [[nodiscard]] virtual Result<> sync_head() = 0;

    /// Free bytes on the log's volume, to refuse commands (503) before a write can fail.
    [[nodiscard]] virtual std::uint64_t free_bytes() const = 0;
};

/// SHA-256 of "drover-ev1", the fixed fields, the payload and `prev_hash`, as format.md lays out.
[[nodiscard]] Hash record_hash(const Record& record);
/// The stored form of a record, and back. decode: corrupt when truncated, oversized or of another version.
[[nodiscard]] Bytes encode_record(const Record& record);
[[nodiscard]] Result<Record> decode_record(ByteView bytes);

}  // namespace drover::eventlog
