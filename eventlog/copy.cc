#include "eventlog/copy.h"

#include "eventlog/owner_file.h"
#include "eventlog/survey.h"

#include <array>
#include <system_error>
#include <utility>

namespace drover::eventlog {
namespace {

namespace fs = std::filesystem;

using Access = RocksStore::Access;

/// A reader may meet a file that the writer is just replacing; then it begins again.
constexpr int open_attempts_max = 5;
constexpr std::size_t batch_bytes_max = 1U << 20;

struct OpenedLog {
    std::unique_ptr<RocksStore> store;
    Survey survey;
};

bool is_there(const fs::path& path) {
    std::error_code failure;
    return fs::exists(path, failure);
}

Result<OpenedLog> try_open(const fs::path& directory) {
    const LogPaths paths(directory);
    // Before the database, so that it can only be behind.
    TRY(const auto head_file, HeadFile::read(paths.head));
    TRY(auto store, RocksStore::open(paths.database, Access::read_only));
    TRY(auto surveyed, survey(*store, head_file));
    if (!surveyed.findings.empty()) {
        const Finding& first = surveyed.findings.front();
        return Error(Errc::corrupt, first.id, directory.native() + ": " + first.detail,
                     "all files of the directory, as they were",
                     "look at it with drover audit verify; use another copy");
    }
    return OpenedLog{std::move(store), std::move(surveyed)};
}

Result<OpenedLog> open_to_read(const fs::path& directory) {
    if (!is_there(LogPaths(directory).database))
        return Error(Errc::not_found, "log_missing", directory.native() + " holds no log",
                     "nothing was touched", "name the right directory");
    auto opened = try_open(directory);
    for (int attempt = 1; !opened && attempt < open_attempts_max; ++attempt)
        opened = try_open(directory);
    return opened;
}

/// One column into the new store, in batches.
Result<> copy_column(const RocksStore& from, RocksStore& to, Column column) {
    std::vector<RocksStore::Put> batch;
    std::size_t bytes = 0;
    Result<> written;
    const auto flush = [&] {
        if (!batch.empty()) written = to.write(batch);
        batch.clear();
        bytes = 0;
        return written.has_value();
    };
    const auto put = [&](ByteView key, ByteView value) {
        batch.push_back({column, Bytes(key.begin(), key.end()), Bytes(value.begin(), value.end())});
        bytes += key.size() + value.size();
        return bytes < batch_bytes_max || flush();
    };
    TRY_VOID(from.scan(column, {}, put));
    flush();
    return written;
}

Result<> write_head(const fs::path& path, const Head& head) {
    TRY_VOID(HeadFile::create(path, head.lineage));
    TRY(HeadFile file, HeadFile::open(path));
    return file.write(head);
}

}  // namespace

Result<Head> read_log_directory(const fs::path& directory, const RecordVisitor& visit) {
    TRY(const OpenedLog opened, open_to_read(directory));
    std::optional<Error> failure;
    const auto see = [&](ByteView, ByteView stored) {
        const auto record = decode_record(stored);
        if (!record) failure = record.error();
        return record && visit(*record);
    };
    TRY_VOID(opened.store->scan(Column::events, {}, see));
    if (failure) return *failure;
    return opened.survey.heads.head();
}

Result<Head> copy_log(const fs::path& from, const fs::path& to) {
    TRY(const OpenedLog opened, open_to_read(from));
    const LogPaths paths(to);
    if (!is_there(to)) TRY_VOID(make_directory_durably(to));
    if (is_there(paths.database) || is_there(paths.head))
        return Error(Errc::conflict, "log_exists", to.native() + " holds a log already",
                     "nothing was touched", "name an empty directory");
    TRY(auto store, RocksStore::create(paths.database));
    // The meta value last: without it the copy is no log.
    for (const Column column :
         {Column::events, Column::streams, Column::answers, Column::snapshots, Column::meta})
        TRY_VOID(copy_column(*opened.store, *store, column));
    const Head head = opened.survey.heads.head();
    TRY_VOID(write_head(paths.head, head));
    TRY_VOID(sync_directory(to));
    return head;
}

Result<> begin_lineage(const fs::path& directory, const Uuid& lineage, Epoch epoch) {
    const LogPaths paths(directory);
    TRY(const OwnerFile owner, OwnerFile::acquire(paths.owner));
    Head head;
    {
        TRY(const OpenedLog opened, open_to_read(directory));
        head = opened.survey.heads.head();
    }
    if (epoch <= head.epoch)
        return Error(Errc::invalid, "epoch_too_low",
                     "epoch " + std::to_string(epoch) + " is not above the log's " +
                         std::to_string(head.epoch),
                     "the log is as it was", "give a higher one");
    TRY(auto store, RocksStore::open(paths.database, Access::read_write));
    TRY(const auto stored, store->get(Column::meta, meta_key()));
    if (!stored)
        return Error(Errc::corrupt, "meta_damaged", directory.native() + " lacks its meta value");
    TRY(LogMeta meta, decode_meta(*stored));
    meta.lineage = lineage;
    meta.epoch = epoch;
    head.lineage = lineage;
    head.epoch = epoch;
    const std::array puts{RocksStore::Put{Column::meta, meta_key(), meta_value(meta)}};
    TRY_VOID(store->write(puts));
    std::error_code failure;
    fs::remove(paths.head, failure);
    if (failure) return errno_error(failure.value(), "remove", paths.head.native());
    return write_head(paths.head, head);
}

}  // namespace drover::eventlog
