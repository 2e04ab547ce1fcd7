#include "eventlog/rocksdb_log.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "eventlog/ballast.h"
#include "eventlog/chain.h"
#include "eventlog/head_file.h"
#include "eventlog/owner_file.h"
#include "eventlog/rocksdb_layout.h"
#include "eventlog/rocksdb_store.h"
#include "eventlog/survey.h"

namespace drover::eventlog {
namespace {

/// What RocksDB writes on opening beside its tables: manifest, options, its own diary.
constexpr std::uint64_t open_bytes_min = std::uint64_t{4} << 20;

class RocksDbLog final : public EventLog {
  public:
    RocksDbLog(OwnerFile owner, std::filesystem::path directory, std::unique_ptr<RocksStore> store,
               HeadFile head_file, Survey surveyed)
        : owner_(std::move(owner)),
          directory_(std::move(directory)),
          store_(std::move(store)),
          head_file_(std::move(head_file)),
          heads_(std::move(surveyed.heads)),
          answers_(surveyed.answers) {}

    [[nodiscard]] AppendResult append(std::span<const Append> batch, Epoch epoch,
                                      WallMicros now_micros) override;
    [[nodiscard]] Result<> read(Seq from, const RecordVisitor& visit) const override;
    [[nodiscard]] Result<> read_stream(StreamId stream, StreamSeq from,
                                       const RecordVisitor& visit) const override;

    [[nodiscard]] Head head() const override { return heads_.head(); }

    [[nodiscard]] StreamHead stream_head(StreamId stream) const override {
        return heads_.stream(stream);
    }

    [[nodiscard]] Result<Hash> hash_at(Seq seq) const override;
    [[nodiscard]] Result<std::optional<CommandAnswer>> find_answer(
        const Uuid& command_id) const override;
    [[nodiscard]] Result<Epoch> raise_epoch(WallMicros now_micros) override;
    [[nodiscard]] Result<> sync_head() override;

    [[nodiscard]] std::uint64_t free_bytes() const override {
        return volume_free_bytes(directory_);
    }

  private:
    [[nodiscard]] Error stop(std::string id, const Error& cause);
    [[nodiscard]] Result<> usable();
    [[nodiscard]] Result<> store_batch(const AppendResult& planned, std::span<const Append> batch);
    [[nodiscard]] RocksStore::Put meta_put(const Head& head, std::uint64_t answers) const;
    [[nodiscard]] Result<Bytes> stored_event(Seq seq) const;
    [[nodiscard]] Result<Record> checked_event(Seq seq) const;

    OwnerFile owner_;
    std::filesystem::path directory_;
    std::unique_ptr<RocksStore> store_;
    HeadFile head_file_;
    Heads heads_;
    std::uint64_t answers_;
    WallMicros head_synced_at_ = 0;  ///< wall time of the append or start that last synced the head
    std::optional<Error> stopped_;
};

Error position_invalid() {
    return Error(Errc::invalid, "position_invalid", "the first event has position 1");
}

Error event_missing(Seq seq) {
    return Error(Errc::corrupt, "event_missing", "event " + std::to_string(seq) + " is missing");
}

Error RocksDbLog::stop(std::string id, const Error& cause) {
    stopped_ = Error(cause.code(), std::move(id), cause.text(),
                     "every acknowledged event, up to " + std::to_string(heads_.head().seq),
                     "free space or repair the volume, then start again: start-up reads what is "
                     "really stored");
    log::error("eventlog", "the log has stopped", stopped_->text());
    return *stopped_;
}

Result<> RocksDbLog::usable() {
    if (!stopped_ && store_->failed_in_background())
        return stop("log_write_failed",
                    Error(Errc::io, "log_io_failed", "RocksDB failed to write in the background"));
    if (stopped_) return *stopped_;
    return {};
}

RocksStore::Put RocksDbLog::meta_put(const Head& head, std::uint64_t answers) const {
    const LogMeta meta{head.lineage, head.epoch, head.seq, head.hash, answers};
    return {Column::meta, meta_key(), meta_value(meta)};
}

AppendResult RocksDbLog::append(std::span<const Append> batch, Epoch epoch, WallMicros now_micros) {
    if (auto ready = usable(); !ready)
        return append_failed(AppendOutcome::indeterminate, ready.error());
    AppendResult planned = heads_.plan(batch, epoch, now_micros);
    if (planned.outcome != AppendOutcome::ok) return planned;
    for (const Append& append : batch) {
        if (!append.answer) continue;
        const auto known = find_answer(append.answer->command_id);
        if (!known)
            return append_failed(AppendOutcome::indeterminate,
                                 stop("log_read_failed", known.error()));
        if (known->has_value()) return already_answered(append.answer->command_id);
    }
    if (auto stored = store_batch(planned, batch); !stored)
        return append_failed(AppendOutcome::indeterminate,
                             stop("log_write_failed", stored.error()));
    const bool head_due =
        now_micros < head_synced_at_ || now_micros - head_synced_at_ >= head_sync_micros_max;
    if (!head_due) return planned;
    head_synced_at_ = now_micros;
    if (auto synced = sync_head(); !synced)
        return append_failed(AppendOutcome::indeterminate, synced.error());
    return planned;
}

Result<> RocksDbLog::store_batch(const AppendResult& planned, std::span<const Append> batch) {
    std::vector<RocksStore::Put> puts;
    puts.reserve(planned.records.size() * 2 + batch.size() + 1);
    for (const Record& record : planned.records) {
        puts.push_back({Column::events, event_key(record.seq), encode_record(record)});
        puts.push_back(
            {Column::streams, stream_key(record.stream, record.stream_seq), seq_value(record.seq)});
    }
    std::uint64_t answers = answers_;
    for (const Append& append : batch) {
        if (!append.answer) continue;
        const ByteView key = append.answer->command_id.view();
        puts.push_back(
            {Column::answers, Bytes(key.begin(), key.end()), answer_value(*append.answer)});
        ++answers;
    }
    Head head = heads_.head();
    head.seq = planned.records.back().seq;
    head.hash = planned.records.back().hash;
    puts.push_back(meta_put(head, answers));
    DROVER_CRASH_POINT("log.before_store");
    TRY_VOID(store_->write(puts));
    DROVER_CRASH_POINT("log.stored");
    for (const Record& record : planned.records) heads_.advance(record);
    answers_ = answers;
    return {};
}

Result<> RocksDbLog::read(Seq from, const RecordVisitor& visit) const {
    if (stopped_) return *stopped_;
    if (from == 0) return position_invalid();
    if (from > heads_.head().seq) return {};
    TRY(const Hash before, hash_at(from - 1));
    ChainCheck chain(from - 1, before);
    std::optional<Error> failure;
    bool wanted = true;
    const auto see = [&](ByteView, ByteView stored) {
        const auto record = chain.next(stored);
        if (!record) {
            failure = record.error();
            return false;
        }
        wanted = visit(*record);
        return wanted;
    };
    TRY_VOID(store_->scan(Column::events, event_key(from), see));
    if (failure) return *failure;
    if (wanted && chain.seq() != heads_.head().seq) return event_missing(chain.seq() + 1);
    return {};
}

Result<> RocksDbLog::read_stream(StreamId stream, StreamSeq from,
                                 const RecordVisitor& visit) const {
    if (stopped_) return *stopped_;
    if (from == 0) return position_invalid();
    const StreamHead end = heads_.stream(stream);
    std::optional<StreamHead> before;
    if (from == 1) before = StreamHead{};
    for (StreamSeq at = from == 1 ? 1 : from - 1; at <= end.seq; ++at) {
        TRY(const auto entry, store_->get(Column::streams, stream_key(stream, at)));
        if (!entry)
            return Error(Errc::corrupt, "index_damaged",
                         "stream " + stream_text(stream) + " lacks " + std::to_string(at));
        TRY(const StreamEntry found, decode_stream_entry(stream_key(stream, at), *entry));
        TRY(const Record record, checked_event(found.seq));
        if (record.stream != stream || record.stream_seq != at)
            return Error(
                Errc::corrupt, "index_damaged",
                "stream " + stream_text(stream) + " has another event at " + std::to_string(at));
        if (before) {
            TRY_VOID(check_stream_link(record, *before));
            if (!visit(record)) return {};
        }
        before = StreamHead{record.stream_seq, record.hash};
    }
    return {};
}

Result<Bytes> RocksDbLog::stored_event(Seq seq) const {
    TRY(auto stored, store_->get(Column::events, event_key(seq)));
    if (!stored) return event_missing(seq);
    return std::move(*stored);
}

/// One event by itself: its bytes give its hash; its place in the chain is not looked at.
Result<Record> RocksDbLog::checked_event(Seq seq) const {
    TRY(const Bytes stored, stored_event(seq));
    TRY(const Record alone, decode_record(stored));
    return ChainCheck(seq - 1, alone.prev_hash).next(stored);
}

Result<Hash> RocksDbLog::hash_at(Seq seq) const {
    if (stopped_) return *stopped_;
    if (seq == 0) return Hash{};
    if (seq > heads_.head().seq)
        return Error(Errc::not_found, "event_not_found",
                     "the log ends at event " + std::to_string(heads_.head().seq));
    TRY(const Record record, checked_event(seq));
    return record.hash;
}

Result<std::optional<CommandAnswer>> RocksDbLog::find_answer(const Uuid& command_id) const {
    if (stopped_) return *stopped_;
    TRY(const auto value, store_->get(Column::answers, command_id.view()));
    if (!value) return std::optional<CommandAnswer>{};
    TRY(auto answer, decode_answer(command_id.view(), *value));
    return std::optional<CommandAnswer>(std::move(answer));
}

Result<Epoch> RocksDbLog::raise_epoch(WallMicros now_micros) {
    TRY_VOID(usable());
    Head head = heads_.head();
    ++head.epoch;
    const std::array puts{meta_put(head, answers_)};
    DROVER_CRASH_POINT("epoch.before_store");
    if (auto stored = store_->write(puts); !stored) return stop("log_write_failed", stored.error());
    DROVER_CRASH_POINT("epoch.stored");
    heads_.set_epoch(head.epoch);
    head_synced_at_ = now_micros;
    TRY_VOID(sync_head());
    DROVER_CRASH_POINT("epoch.head_synced");
    return head.epoch;
}

Result<> RocksDbLog::sync_head() {
    TRY_VOID(usable());
    if (head_file_.says(heads_.head())) return {};
    DROVER_CRASH_POINT("head.before_sync");
    if (auto written = head_file_.write(heads_.head()); !written)
        return stop("head_sync_failed", written.error());
    DROVER_CRASH_POINT("head.synced");
    return {};
}

Error refusal(const Survey& surveyed, const std::filesystem::path& directory, Seq head_file_seq) {
    const Finding& first = surveyed.findings.front();
    const Seq known = std::max(surveyed.heads.head().seq, head_file_seq);
    return Error(Errc::corrupt, first.id, directory.native() + ": " + first.detail,
                 "all files of the directory, as they were: " + std::to_string(surveyed.events) +
                     " events can be read",
                 "restore the log directory from a backup taken after event " +
                     std::to_string(known) + "; keep this directory unchanged");
}

/// Names the numbers also where RocksDB itself refused, and says what to do.
Error refusal(const Error& cause, const std::filesystem::path& directory,
              const std::optional<HeadSlot>& head_file) {
    if (cause.code() != Errc::corrupt) return cause;
    const std::string known =
        head_file ? "event " + std::to_string(head_file->seq) : "the last one you know of";
    return Error(Errc::corrupt, cause.id(),
                 directory.native() + ": " + cause.detail() + "; the head file says " + known,
                 "all files of the directory",
                 "restore the log directory from a backup taken after " + known +
                     "; keep this directory unchanged");
}

/// Reads everything without changing anything, so that a refusal leaves the evidence as it was.
Result<Survey> examine(const LogPaths& paths, const std::filesystem::path& directory,
                       const std::optional<HeadSlot>& head_file, const ReadingBegins& begin) {
    auto store = RocksStore::open(paths.database, RocksStore::Access::read_only);
    if (!store) return refusal(store.error(), directory, head_file);
    auto surveyed = survey(**store, head_file, {}, begin);
    if (!surveyed) return refusal(surveyed.error(), directory, head_file);
    if (!surveyed->findings.empty())
        return refusal(*surveyed, directory, head_file ? head_file->seq : 0);
    return surveyed;
}

Error log_missing(const LogPaths& paths, const std::filesystem::path& directory) {
    const auto head_file = HeadFile::read(paths.head);
    if (!head_file) return head_file.error();
    if (!head_file->has_value() || (*head_file)->seq == 0)
        return Error(Errc::not_found, "log_missing", directory.native() + " holds no log",
                     "nothing was touched", "name the right directory, or create a log there");
    const std::string last = std::to_string((*head_file)->seq);
    return Error(Errc::corrupt, "log_shorter_than_head",
                 directory.native() + " holds no database; its head file says " + last,
                 "the head file",
                 "restore the log directory from a backup taken after event " + last +
                     "; keep this directory unchanged");
}

/// "Cannot tell" must not look like "no": a creation would write over the head file of a log.
Result<bool> is_there(const std::filesystem::path& path) {
    std::error_code failure;
    const bool there = std::filesystem::exists(path, failure);
    if (failure) return errno_error(failure.value(), "look at", path.native());
    return there;
}

/// RocksDB copies its write-ahead log into tables when it opens for writing. It may abort instead
/// of failing when a volume fills up meanwhile, so a volume that is too full is refused beforehand.
Result<> check_space(const std::filesystem::path& directory,
                     const std::filesystem::path& database) {
    std::uint64_t needed = open_bytes_min;
    std::error_code failure;
    std::filesystem::directory_iterator at(database, failure);
    for (; !failure && at != std::filesystem::directory_iterator(); at.increment(failure)) {
        std::error_code vanished;
        const auto size = at->file_size(vanished);
        if (at->path().extension() == ".log" && !vanished) needed += size;
    }
    const std::uint64_t free = volume_free_bytes(directory);
    if (free >= needed) return {};
    return Error(Errc::unavailable, "log_disk_full",
                 "the volume of " + directory.native() + " has " + std::to_string(free) +
                     " bytes free; opening the log needs " + std::to_string(needed),
                 "every acknowledged event", "free space on that volume, then start again");
}

/// The database that was opened for writing has to end where the one that was examined ended.
Result<> check_end(const RocksStore& store, const Survey& surveyed) {
    const Head& end = surveyed.heads.head();
    TRY(const auto value, store.get(Column::meta, meta_key()));
    if (value) {
        TRY(const LogMeta meta, decode_meta(*value));
        if (meta.seq == end.seq && meta.hash == end.hash && meta.answers == surveyed.answers)
            return {};
    }
    return Error(Errc::corrupt, "meta_differs",
                 "the log ended at event " + std::to_string(end.seq) +
                     " when it was examined, and elsewhere once it was open");
}

Result<std::unique_ptr<EventLog>> try_open(const std::filesystem::path& directory,
                                           const ReadingBegins& begin) {
    const LogPaths paths(directory);
    TRY(const bool present, is_there(paths.database));
    if (!present) return log_missing(paths, directory);
    TRY(OwnerFile owner, OwnerFile::acquire(paths.owner));
    TRY(const auto head_slot, HeadFile::read(paths.head));
    TRY(Survey surveyed, examine(paths, directory, head_slot, begin));
    DROVER_CRASH_POINT("open.surveyed");
    TRY_VOID(check_space(directory, paths.database));
    auto store = RocksStore::open(paths.database, RocksStore::Access::read_write);
    if (!store) return refusal(store.error(), directory, head_slot);
    if (auto same = check_end(**store, surveyed); !same)
        return refusal(same.error(), directory, head_slot);
    DROVER_CRASH_POINT("open.database_opened");
    TRY(HeadFile head_file, HeadFile::open(paths.head));
    auto log = std::make_unique<RocksDbLog>(std::move(owner), directory, std::move(*store),
                                            std::move(head_file), std::move(surveyed));
    // The log may be ahead by what came after the last head sync; from here on it must not be
    // shorter.
    TRY_VOID(log->sync_head());
    DROVER_CRASH_POINT("open.head_synced");
    return std::unique_ptr<EventLog>(std::move(log));
}

/// Only the owner meets a full volume: everybody else is refused before anything is written.
bool is_disk_full(const Error& error) {
    return error.code() == Errc::unavailable &&
           (error.id() == "log_disk_full" || error.id() == "file_error");
}

Result<> build_log(const LogPaths& paths, const Uuid& lineage) {
    std::error_code failure;
    std::filesystem::remove_all(paths.unfinished_database, failure);
    if (failure) return errno_error(failure.value(), "remove", paths.unfinished_database.native());
    DROVER_CRASH_POINT("create.before_head_file");
    TRY_VOID(HeadFile::create(paths.head, lineage));
    DROVER_CRASH_POINT("create.head_file_made");
    {
        TRY(auto store, RocksStore::create(paths.unfinished_database));
        LogMeta meta;
        meta.lineage = lineage;
        const std::array puts{RocksStore::Put{Column::meta, meta_key(), meta_value(meta)}};
        TRY_VOID(store->write(puts));
    }
    // The rename makes it a log; whatever came before may be begun again.
    DROVER_CRASH_POINT("create.database_made");
    std::filesystem::rename(paths.unfinished_database, paths.database, failure);
    if (failure) return errno_error(failure.value(), "rename", paths.database.native());
    DROVER_CRASH_POINT("create.database_renamed");
    return sync_directory(paths.database.parent_path());
}

}  // namespace

Result<> create_rocksdb_log(const std::filesystem::path& directory, const Uuid& lineage) {
    const LogPaths paths(directory);
    TRY(const bool made, is_there(directory));
    // Also when it is there: the attempt that made it may have failed before it was synced.
    const auto parent = directory.has_parent_path() ? directory.parent_path() : ".";
    TRY_VOID(made ? sync_directory(parent) : make_directory_durably(directory));
    TRY(const OwnerFile owner, OwnerFile::acquire(paths.owner));
    TRY(const auto head_slot, HeadFile::read(paths.head));
    TRY(const bool present, is_there(paths.database));
    if (present || (head_slot && head_slot->seq > 0))
        return Error(Errc::conflict, "log_exists",
                     directory.native() + " holds a log, or the rest of one", "nothing was touched",
                     "open it, or name an empty directory");
    TRY_VOID(check_space(directory, paths.database));
    return build_log(paths, lineage);
}

Result<std::unique_ptr<EventLog>> open_rocksdb_log(const std::filesystem::path& directory,
                                                   const OpenOptions& options) {
    const LogPaths paths(directory);
    auto log = try_open(directory, options.begin_reading);
    if (!log && is_disk_full(log.error())) {
        TRY(const bool released, release_ballast(paths.ballast));
        if (!released) return log;
        log::warn("eventlog", "the volume is full; the ballast file was given up",
                  "dir=" + directory.native());
        return try_open(directory, options.begin_reading);
    }
    if (!log) return log;
    DROVER_CRASH_POINT("open.before_ballast");
    auto kept = keep_ballast(paths.ballast, options.ballast_bytes);
    if (!kept || (!*kept && options.ballast_bytes > 0))
        log::warn("eventlog", "no ballast file: too little space on the volume",
                  "dir=" + directory.native());
    DROVER_CRASH_POINT("open.ballast_kept");
    return log;
}

}  // namespace drover::eventlog
