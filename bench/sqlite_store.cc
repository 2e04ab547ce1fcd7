#include "bench/measure.h"
#include "bench/store.h"

#include <sqlite3.h>

namespace drover::bench {
namespace {

/// One process owns the file, as one process owns drover's log: the exclusive mode spares SQLite
/// its locks and its shared memory.
constexpr const char* setup =
    "PRAGMA locking_mode=EXCLUSIVE;"
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=FULL;"
    "CREATE TABLE events(stream BLOB NOT NULL, seq INTEGER NOT NULL, payload BLOB NOT NULL,"
    " PRIMARY KEY(stream, seq)) WITHOUT ROWID;";

/// The version before must be there and this one must not: the first is the condition, the second
/// the primary key.
constexpr const char* insert =
    "INSERT INTO events SELECT ?1, ?2 + 1, ?3"
    " WHERE ?2 = 0 OR EXISTS(SELECT 1 FROM events WHERE stream = ?1 AND seq = ?2)";

class SqliteStore final : public Store {
  public:
    SqliteStore(const std::string& directory, bool grouped)
        : grouped_(grouped) {
        check(sqlite3_open((directory + "/events.db").c_str(), &database_));
        check(sqlite3_exec(database_, setup, nullptr, nullptr, nullptr));
        insert_ = prepare(insert);
        begin_ = prepare("BEGIN IMMEDIATE");
        commit_ = prepare("COMMIT");
    }

    ~SqliteStore() override {
        for (sqlite3_stmt* statement : {insert_, begin_, commit_}) sqlite3_finalize(statement);
        sqlite3_close(database_);
    }

    SqliteStore(const SqliteStore&) = delete;
    SqliteStore& operator=(const SqliteStore&) = delete;

    [[nodiscard]] std::string name() const override {
        return grouped_ ? "sqlite grouped" : "sqlite";
    }

    void open(std::size_t) override {}

    void submit(const StoreAppend& append) override { waiting_.push_back(append); }

    void complete(std::vector<StoreDone>& done) override {
        const std::size_t taken = grouped_ ? waiting_.size() : 1;
        if (taken > 1) run(begin_);
        for (std::size_t i = 0; i < taken; ++i)
            done.push_back({waiting_[i].producer, !store(waiting_[i])});
        if (taken > 1) run(commit_);
        waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(taken));
        ++commits_;
    }

    [[nodiscard]] std::uint64_t commits() const override { return commits_; }

  private:
    void check(int code) const {
        if (code != SQLITE_OK) fail(std::string("sqlite: ") + sqlite3_errmsg(database_));
    }

    sqlite3_stmt* prepare(const char* text) {
        sqlite3_stmt* statement = nullptr;
        check(sqlite3_prepare_v3(database_, text, -1, SQLITE_PREPARE_PERSISTENT, &statement,
                                 nullptr));
        return statement;
    }

    void run(sqlite3_stmt* statement) {
        if (sqlite3_step(statement) != SQLITE_DONE) check(sqlite3_errcode(database_));
        sqlite3_reset(statement);
    }

    /// False for a conflict.
    bool store(const StoreAppend& append) {
        const auto& id = append.stream.data;
        check(sqlite3_bind_blob(insert_, 1, id.data(), static_cast<int>(id.size()), SQLITE_STATIC));
        check(sqlite3_bind_int64(insert_, 2, append.expected));
        check(sqlite3_bind_blob(insert_, 3, append.payload.data(),
                                static_cast<int>(append.payload.size()), SQLITE_STATIC));
        const int code = sqlite3_step(insert_);
        sqlite3_reset(insert_);
        if (code == SQLITE_CONSTRAINT) return false;
        if (code != SQLITE_DONE) check(code);
        return sqlite3_changes(database_) == 1;
    }

    bool grouped_;
    sqlite3* database_ = nullptr;
    sqlite3_stmt* insert_ = nullptr;
    sqlite3_stmt* begin_ = nullptr;
    sqlite3_stmt* commit_ = nullptr;
    std::vector<StoreAppend> waiting_;
    std::uint64_t commits_ = 0;
};

}  // namespace

std::unique_ptr<Store> make_sqlite_store(const std::string& directory, bool grouped) {
    return std::make_unique<SqliteStore>(directory, grouped);
}

}  // namespace drover::bench
