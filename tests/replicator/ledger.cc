#include "tests/replicator/ledger.h"

#include "replicator/block_map.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include <sqlite3.h>
#include <unistd.h>

namespace drover::replicator {
namespace {

constexpr std::uint64_t accounts = 16;
constexpr std::uint64_t money = 1000;  ///< of an account at first
constexpr std::uint64_t parts = 3;     ///< rows of a transaction
constexpr std::uint64_t rows_bytes_max = 6000;
/// Transactions whose rows are kept, so that databases stay small.
constexpr std::uint64_t kept = 32;
constexpr int busy_ms = 10'000;
constexpr std::uint64_t pause_us_max = 12'000;
constexpr std::size_t acknowledgements_max = 4096;

std::filesystem::path file_of(const std::filesystem::path& directory, std::size_t ledger) {
    return directory / (std::string(ledger_modes[ledger]) + ".db");
}

Bytes row_of(std::uint64_t writer, std::uint64_t n, std::uint64_t part) {
    SeededRandom random(writer << 48 | n << 8 | part);
    Bytes row(100 + random.below(rows_bytes_max));
    random.fill(row);
    return row;
}

std::string text_of(std::uint64_t number) {
    return std::to_string(number);
}

/// Far from one another on the other disk.
std::uint64_t intended_at(std::uint64_t writer) {
    return (writer * 97 + 11) * block_bytes;
}

std::uint64_t done_at(std::uint64_t writer) {
    return (writer * 61 + 1200) * block_bytes;
}

bool write_number(const Fd& disk, std::uint64_t offset, std::uint64_t number, DirectBuffer& block) {
    std::ranges::fill(block.bytes(), std::uint8_t{0});
    std::memcpy(block.bytes().data(), &number, sizeof(number));
    return ::pwrite(disk.get(), block.bytes().data(), block_bytes, static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(block_bytes);
}

bool begin_ledger(Database& database, const std::string& mode) {
    // EXTRA: a rollback journal's end is only durable once its directory is synced. The small
    // limit lets the write-ahead log be moved into the database often.
    return database.text("pragma journal_mode=" + mode) == mode &&
           database.run("pragma synchronous=extra; pragma wal_autocheckpoint=60");
}

bool commit_transaction(Database& database, std::uint64_t writer, std::uint64_t n,
                        SeededRandom& random) {
    const std::uint64_t amount = random.below(9);
    const std::string from = text_of(random.below(accounts));
    const std::string to = text_of(random.below(accounts));
    if (!database.run("begin immediate")) return false;
    for (std::uint64_t part = 0; part < parts; ++part)
        if (!database.put_row(writer, n, part)) return false;
    std::string sql = "update account set money=money-" + text_of(amount) + " where id=" + from +
                      "; update account set money=money+" + text_of(amount) + " where id=" + to +
                      "; update progress set last=" + text_of(n) +
                      " where writer=" + text_of(writer) + ";";
    if (n > kept)
        sql += "delete from row where writer=" + text_of(writer) + " and n=" + text_of(n - kept);
    return database.run(sql) && database.run("commit");
}

void check_writer(Database& database, std::uint64_t writer, std::uint64_t last,
                  std::vector<std::string>& wrong) {
    const std::string of_writer = " from row where writer=" + text_of(writer);
    const auto rows = database.number("select count(*)" + of_writer);
    const auto transactions = database.number("select count(distinct n)" + of_writer);
    const auto newest = database.number("select coalesce(max(n), 0)" + of_writer);
    const std::uint64_t expected = std::min(last, kept);
    if (std::cmp_not_equal(rows, expected * parts) || std::cmp_not_equal(transactions, expected) ||
        std::cmp_not_equal(newest, last))
        wrong.push_back("writer " + text_of(writer) + " ended with " + text_of(last) + ": " +
                        std::to_string(rows) + " rows of " + std::to_string(transactions) +
                        " transactions up to " + std::to_string(newest));
}

}  // namespace

Database::Database(const std::filesystem::path& file) {
    (void)sqlite3_open(file.c_str(), &handle_);
    (void)sqlite3_busy_timeout(handle_, busy_ms);
}

Database::~Database() {
    (void)sqlite3_close(handle_);
}

bool Database::run(const std::string& sql) {
    return sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
}

std::string Database::problem() const {
    return sqlite3_errmsg(handle_);
}

std::string Database::text(const std::string& sql) {
    sqlite3_stmt* query = nullptr;
    std::string found;
    if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &query, nullptr) == SQLITE_OK &&
        sqlite3_step(query) == SQLITE_ROW) {
        const auto* text = sqlite3_column_text(query, 0);
        if (text != nullptr) found = reinterpret_cast<const char*>(text);
    } else {
        found = problem();
    }
    (void)sqlite3_finalize(query);
    return found;
}

std::int64_t Database::number(const std::string& sql) {
    sqlite3_stmt* query = nullptr;
    std::int64_t found = -1;
    if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &query, nullptr) == SQLITE_OK &&
        sqlite3_step(query) == SQLITE_ROW)
        found = sqlite3_column_int64(query, 0);
    (void)sqlite3_finalize(query);
    return found;
}

bool Database::put_row(std::uint64_t writer, std::uint64_t n, std::uint64_t part) {
    const Bytes row = row_of(writer, n, part);
    const std::string sql = "insert into row values(" + text_of(writer) + "," + text_of(n) + "," +
                            text_of(part) + ",?)";
    sqlite3_stmt* insert = nullptr;
    const bool is_put =
        sqlite3_prepare_v2(handle_, sql.c_str(), -1, &insert, nullptr) == SQLITE_OK &&
        sqlite3_bind_blob(insert, 1, row.data(), static_cast<int>(row.size()), SQLITE_STATIC) ==
            SQLITE_OK &&
        sqlite3_step(insert) == SQLITE_DONE;
    (void)sqlite3_finalize(insert);
    return is_put;
}

std::string Database::wrong_rows() {
    sqlite3_stmt* query = nullptr;
    std::string wrong;
    (void)sqlite3_prepare_v2(handle_, "select writer, n, part, payload from row", -1, &query,
                             nullptr);
    int step = sqlite3_step(query);
    for (; step == SQLITE_ROW; step = sqlite3_step(query)) {
        std::array<std::uint64_t, 3> key{};
        for (int i = 0; i < 3; ++i)
            key[static_cast<std::size_t>(i)] =
                static_cast<std::uint64_t>(sqlite3_column_int64(query, i));
        const auto* payload = static_cast<const std::uint8_t*>(sqlite3_column_blob(query, 3));
        const ByteView found(payload, static_cast<std::size_t>(sqlite3_column_bytes(query, 3)));
        if (!std::ranges::equal(found, row_of(key[0], key[1], key[2])))
            wrong += " " + text_of(key[0]) + "/" + text_of(key[1]) + "/" + text_of(key[2]);
    }
    if (step != SQLITE_DONE) wrong += " " + problem();
    (void)sqlite3_finalize(query);
    return wrong;
}

bool make_ledgers(const std::filesystem::path& directory) {
    std::string sql =
        "create table row(writer, n, part, payload, primary key(writer, n, part));"
        "create table account(id integer primary key, money);"
        "create table progress(writer integer primary key, last);";
    for (std::uint64_t id = 0; id < accounts; ++id)
        sql += "insert into account values(" + text_of(id) + "," + text_of(money) + ");";
    for (std::uint64_t writer = 0; writer < ledger_writers; ++writer)
        sql += "insert into progress values(" + text_of(writer) + ",0);";
    for (std::size_t ledger = 0; ledger < ledger_modes.size(); ++ledger) {
        Database database(file_of(directory, ledger));
        if (!begin_ledger(database, ledger_modes[ledger]) || !database.run(sql)) return false;
    }
    return true;
}

void Acknowledgements::add(WallMicros at, std::uint64_t n) {
    const std::lock_guard lock(mutex_);
    known_.emplace_back(at, n);
    if (known_.size() > acknowledgements_max) known_.pop_front();
}

std::uint64_t Acknowledgements::last_before(WallMicros time) const {
    const std::lock_guard lock(mutex_);
    std::uint64_t last = 0;
    for (const auto& [at, n] : known_)
        if (at < time) last = n;
    return last;
}

bool write_ledger(const std::filesystem::path& directory, std::uint64_t writer,
                  const LoopDisk& order, Acknowledgements& acknowledgements,
                  std::atomic<bool>& stop) {
    const std::size_t ledger = writer % ledger_modes.size();
    Database database(file_of(directory, ledger));
    if (!begin_ledger(database, ledger_modes[ledger])) return false;
    const Fd disk = order.open();
    DirectBuffer block(block_bytes);
    SeededRandom random(writer + 1);
    for (std::uint64_t n = 1; !stop; ++n) {
        if (!write_number(disk, intended_at(writer), n, block)) return false;
        if (!commit_transaction(database, writer, n, random)) return false;
        acknowledgements.add(SystemClock().wall_micros(), n);
        if (!write_number(disk, done_at(writer), n, block)) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(pause_us_max)));
    }
    return true;
}

Lasts check_ledgers(const std::filesystem::path& directory, Wrong& wrong) {
    Lasts lasts{};
    for (std::size_t ledger = 0; ledger < ledger_modes.size(); ++ledger) {
        const std::string name = std::string(ledger_modes[ledger]) + ": ";
        Database database(file_of(directory, ledger));
        const std::string integrity = database.text("pragma integrity_check");
        if (integrity != "ok") wrong.database.push_back(name + integrity);
        if (const std::string rows = database.wrong_rows(); !rows.empty())
            wrong.database.push_back(name + "rows" + rows);
        const auto sum = database.number("select sum(money) from account");
        if (std::cmp_not_equal(sum, accounts * money))
            wrong.database.push_back(name + "the sum is " + std::to_string(sum));
        for (std::uint64_t writer = ledger; writer < ledger_writers;
             writer += ledger_modes.size()) {
            const auto last =
                database.number("select last from progress where writer=" + text_of(writer));
            lasts[writer] = static_cast<std::uint64_t>(std::max<std::int64_t>(last, 0));
            check_writer(database, writer, lasts[writer], wrong.database);
        }
    }
    return lasts;
}

void check_order(const Lasts& lasts, ByteView order, Wrong& wrong) {
    for (std::uint64_t writer = 0; writer < ledger_writers; ++writer) {
        const std::uint64_t intended = get_u64(order, intended_at(writer));
        const std::uint64_t done = get_u64(order, done_at(writer));
        const std::uint64_t last = lasts[writer];
        if (done > last || last > intended || intended > done + 1)
            wrong.order.push_back("writer " + text_of(writer) + " intended " + text_of(intended) +
                                  ", committed " + text_of(last) + ", has done " + text_of(done));
    }
}

}  // namespace drover::replicator
