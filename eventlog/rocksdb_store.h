/// RocksDB as a store of bytes in columns, opened the way a log needs it: the only place that knows
/// its options. Every option answers a failure measured with the 7.8.3 of Debian 12 (format.md).
///
/// One thread uses an instance. All calls block.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>

namespace drover::eventlog {

/// Column families.
enum class Column : std::uint8_t { events, streams, answers, snapshots, meta };

class RocksStore {
  public:
    enum class Access : std::uint8_t {
        read_write,  ///< takes RocksDB's lock; rolls its write-ahead log into table files
        read_only,   ///< changes nothing, needs no lock, refuses what read_write refuses
        salvage      ///< read_only, but shows what is readable around damage instead of refusing
    };

    struct Put {
        Column column;
        Bytes key;
        Bytes value;
    };

    /// Return false to stop.
    using Visitor = std::function<bool(ByteView key, ByteView value)>;

    /// An empty database in a directory that does not exist yet.
    [[nodiscard]] static Result<std::unique_ptr<RocksStore>> create(
        const std::filesystem::path& directory);
    /// Errors: log_disk_full (unavailable), log_damaged (corrupt), log_io_failed (io),
    /// log_unsupported.
    [[nodiscard]] static Result<std::unique_ptr<RocksStore>> open(
        const std::filesystem::path& directory, Access access);

    ~RocksStore();
    RocksStore(const RocksStore&) = delete;
    RocksStore& operator=(const RocksStore&) = delete;

    /// Visits keys from `from` on in byte order. Checksums are verified. Errors: log_damaged, also
    /// when the visitor saw everything that is readable before the damage.
    [[nodiscard]] Result<> scan(Column column, ByteView from, const Visitor& visit) const;
    [[nodiscard]] Result<std::optional<Bytes>> get(Column column, ByteView key) const;

    /// Writes everything in one synced batch. After any error the outcome is unknown and the store
    /// must not be written again: a retry could store the same batch twice.
    [[nodiscard]] Result<> write(std::span<const Put> puts);

    /// RocksDB met an error in the background, after a write that had returned well.
    [[nodiscard]] bool failed_in_background() const;

  private:
    struct State;
    explicit RocksStore(std::unique_ptr<State> state);

    std::unique_ptr<State> state_;
};

}  // namespace drover::eventlog
