#include "eventlog/rocksdb_store.h"

#include "base/assert.h"
#include "base/log.h"
#include "eventlog/table_guard.h"
#include "eventlog/rocksdb_files.h"
#include "eventlog/wal_tail.h"

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdio>

#include <rocksdb/db.h>
#include <rocksdb/file_checksum.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>

namespace drover::eventlog {
namespace {

constexpr std::size_t wal_bytes_max = std::size_t{96} << 20;
constexpr std::size_t events_memtable_bytes = std::size_t{16} << 20;
constexpr std::size_t other_memtable_bytes = std::size_t{4} << 20;
constexpr std::size_t readahead_bytes = std::size_t{2} << 20;
constexpr std::size_t diary_line_bytes_max = 512;
constexpr std::size_t manifest_preallocated_bytes = std::size_t{64} << 10;
constexpr std::size_t protection_bytes_per_key = 8;

/// In the order of Column. RocksDB insists on a column family called "default".
constexpr std::array<const char*, 5> column_names = {"events", "streams", "answers", "snapshots",
                                                     "default"};

rocksdb::Slice slice(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

ByteView view(const rocksdb::Slice& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

Error store_error(const rocksdb::Status& status, std::string_view action) {
    const std::string detail = std::string(action) + ": " + status.ToString();
    if (status.IsNoSpace()) return Error(Errc::unavailable, "log_disk_full", detail);
    if (status.IsCorruption()) return Error(Errc::corrupt, "log_damaged", detail);
    if (status.IsInvalidArgument() || status.IsNotSupported())
        return Error(Errc::unsupported, "log_unsupported", detail);
    return Error(Errc::io, "log_io_failed", detail);
}

/// Remembers background errors and forbids RocksDB to recover from them by itself: only start-up
/// may decide what is really stored.
class FailureListener final : public rocksdb::EventListener {
  public:
    void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
        failed_ = true;
        log::error("eventlog", "background error", error->ToString());
    }

    void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                              bool* auto_recovery) override {
        *auto_recovery = false;
    }

    [[nodiscard]] bool failed() const { return failed_; }

  private:
    std::atomic<bool> failed_ = false;
};

/// RocksDB's own diary goes to ours, and never into the log's directory: a reader must not write
/// there, and after two failed writes of such a file Debian's build aborts the process.
class Diary final : public rocksdb::Logger {
  public:
    explicit Diary(RocksStore::Access access)
        : rocksdb::Logger(access == RocksStore::Access::read_write
                              ? rocksdb::InfoLogLevel::ERROR_LEVEL
                              : rocksdb::InfoLogLevel::NUM_INFO_LOG_LEVELS) {}

    void Logv(const char* format, va_list arguments) override {
        std::array<char, diary_line_bytes_max> line{};
        std::vsnprintf(line.data(), line.size(), format, arguments);
        log::error("rocksdb", line.data());
    }

    void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
        if (level >= GetInfoLogLevel()) Logv(format, arguments);
    }

    /// RocksDB's list of its options, at every start.
    void LogHeader(const char*, va_list) override {}
};

/// The policy of format.md, line by line.
rocksdb::DBOptions database_options(RocksStore::Access access,
                                    const std::shared_ptr<FailureListener>& listener) {
    using rocksdb::WALRecoveryMode;
    const bool salvage = access == RocksStore::Access::salvage;
    rocksdb::DBOptions options;
    options.env = env_with_grown_wals();
    options.wal_recovery_mode = salvage ? WALRecoveryMode::kSkipAnyCorruptedRecords
                                        : WALRecoveryMode::kTolerateCorruptedTailRecords;
    options.track_and_verify_wals_in_manifest = !salvage;
    options.paranoid_checks = !salvage;
    options.atomic_flush = true;
    options.file_checksum_gen_factory = rocksdb::GetFileChecksumGenCrc32cFactory();
    options.max_bgerror_resume_count = 0;
    options.recycle_log_file_num = 0;
    options.max_total_wal_size = wal_bytes_max;
    options.max_background_jobs = 2;
    options.max_open_files = -1;
    options.avoid_unnecessary_blocking_io = true;
    options.manifest_preallocation_size = manifest_preallocated_bytes;
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    options.listeners.push_back(listener);
    options.info_log = std::make_shared<Diary>(access);
    return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> column_descriptors() {
    std::vector<rocksdb::ColumnFamilyDescriptor> columns;
    for (const char* name : column_names) {
        rocksdb::ColumnFamilyOptions options;
        options.write_buffer_size = columns.empty() ? events_memtable_bytes : other_memtable_bytes;
        columns.emplace_back(name, options);
    }
    return columns;
}

/// Where databases go after a failed write: never closed, for the rest of the process. Closing one
/// aborts in Debian's RocksDB 7.8.3 (its assertions are on, and WritableFileWriter's destructor
/// path asserts that no earlier write failed), and the owner is about to exit anyway.
struct Abandoned {
    std::unique_ptr<rocksdb::DB> database;
    std::vector<rocksdb::ColumnFamilyHandle*> columns;
};

void abandon(Abandoned database) {
    static auto& abandoned = *new std::vector<Abandoned>;
    abandoned.push_back(std::move(database));
}

}  // namespace

struct RocksStore::State {
    std::shared_ptr<FailureListener> listener = std::make_shared<FailureListener>();
    std::unique_ptr<rocksdb::DB> database;
    std::vector<rocksdb::ColumnFamilyHandle*> columns;
    bool write_failed = false;
    bool torn_tail = false;  ///< the write-ahead log ends in a torn write, which is left out

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    ~State() {
        if (write_failed || listener->failed()) {
            abandon({std::move(database), std::move(columns)});
            return;
        }
        for (auto* column : columns)
            if (auto status = database->DestroyColumnFamilyHandle(column); !status.ok())
                log::warn("eventlog", "closing a column failed", status.ToString());
        if (!database) return;
        if (auto status = database->Close(); !status.ok() && !status.IsNotSupported())
            log::warn("eventlog", "closing the database failed", status.ToString());
    }

    [[nodiscard]] rocksdb::ColumnFamilyHandle* column(Column column) const {
        const auto index = static_cast<std::size_t>(column);
        DROVER_ASSERT(index < columns.size());
        return columns[index];
    }

    rocksdb::Status open(const std::string& path, Access access, bool create) {
        rocksdb::DBOptions options = database_options(access, listener);
        options.create_if_missing = create;
        options.create_missing_column_families = create;
        options.error_if_exists = create;
        // It would complain that the directory is not there yet.
        if (create) options.info_log->SetInfoLogLevel(rocksdb::InfoLogLevel::NUM_INFO_LOG_LEVELS);
        if (torn_tail) options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
        rocksdb::DB* opened = nullptr;
        const auto status =
            access == Access::read_write
                ? rocksdb::DB::Open(options, path, column_descriptors(), &columns, &opened)
                : rocksdb::DB::OpenForReadOnly(options, path, column_descriptors(), &columns,
                                               &opened);
        database.reset(opened);
        return status;
    }
};

RocksStore::RocksStore(std::unique_ptr<State> state)
    : state_(std::move(state)) {}

RocksStore::~RocksStore() = default;

Result<std::unique_ptr<RocksStore>> RocksStore::create(const std::filesystem::path& directory) {
    auto state = std::make_unique<State>();
    const auto status = state->open(directory.native(), Access::read_write, true);
    if (!status.ok()) return store_error(status, "create " + directory.native());
    return std::unique_ptr<RocksStore>(new RocksStore(std::move(state)));
}

Result<std::unique_ptr<RocksStore>> RocksStore::open(const std::filesystem::path& directory,
                                                     Access access) {
    TRY_VOID(guard_tables(directory));
    auto state = std::make_unique<State>();
    auto status = state->open(directory.native(), access, false);
    if (status.IsCorruption() && access != Access::salvage && ends_torn(directory)) {
        state = std::make_unique<State>();
        state->torn_tail = true;
        status = state->open(directory.native(), access, false);
    }
    if (!status.ok()) return store_error(status, "open " + directory.native());
    return std::unique_ptr<RocksStore>(new RocksStore(std::move(state)));
}

Result<> RocksStore::scan(Column column, ByteView from, const Visitor& visit) const {
    rocksdb::ReadOptions options;
    options.verify_checksums = true;
    options.readahead_size = readahead_bytes;
    options.fill_cache = false;
    const std::unique_ptr<rocksdb::Iterator> at(
        state_->database->NewIterator(options, state_->column(column)));
    for (at->Seek(slice(from)); at->Valid(); at->Next())
        if (!visit(view(at->key()), view(at->value()))) return {};
    // An iterator also becomes invalid when it meets damage: without this the log would end early.
    if (!at->status().ok()) return store_error(at->status(), "read");
    return {};
}

Result<std::optional<Bytes>> RocksStore::get(Column column, ByteView key) const {
    rocksdb::ReadOptions options;
    options.verify_checksums = true;
    rocksdb::PinnableSlice value;
    const auto status = state_->database->Get(options, state_->column(column), slice(key), &value);
    if (status.IsNotFound()) return std::optional<Bytes>{};
    if (!status.ok()) return store_error(status, "read");
    const ByteView bytes = view(value);
    return std::optional<Bytes>(std::in_place, bytes.begin(), bytes.end());
}

Result<> RocksStore::write(std::span<const Put> puts) {
    rocksdb::WriteBatch batch(0, 0, protection_bytes_per_key, 0);
    for (const Put& put : puts) {
        const auto status = batch.Put(state_->column(put.column), slice(put.key), slice(put.value));
        if (!status.ok()) return store_error(status, "prepare a write");
    }
    rocksdb::WriteOptions options;
    options.sync = true;
    options.protection_bytes_per_key = protection_bytes_per_key;
    const auto status = state_->database->Write(options, &batch);
    if (status.ok()) return {};
    state_->write_failed = true;
    return store_error(status, "write");
}

bool RocksStore::failed_in_background() const {
    return state_->listener->failed();
}

}  // namespace drover::eventlog
