/// The workload of the demo and of the end-to-end tests: a program that keeps writing while its
/// disks are moved, and that keeps a list, outside of those disks, of what was acknowledged to it.
///
///   live-writer database --db F --acked F --pid F --origin NAME [--pause-us N]   one row a
///   transaction live-writer raw --device F --pid F [--pause-us N]                            4 KiB
///   writes, O_DSYNC live-writer seed --db F --bytes N        a database file of exactly N bytes,
///   mostly free pages live-writer check --db F --acked F       exit 0: integrity ok and every
///   acknowledged row is there
#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"

#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

volatile std::sig_atomic_t stop_asked = 0;

using Options = std::map<std::string, std::string>;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "live-writer: %s\n", what.c_str());
    std::exit(1);
}

const std::string& need(const Options& options, const std::string& name) {
    const auto found = options.find(name);
    if (found == options.end()) fail("missing --" + name);
    return found->second;
}

std::uint64_t number(const Options& options, const std::string& name, std::uint64_t otherwise) {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 10);
}

class Database {
  public:
    explicit Database(const std::string& path, bool read_only = false) {
        const int flags =
            read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
        if (sqlite3_open_v2(path.c_str(), &handle_, flags, nullptr) != SQLITE_OK)
            fail("open " + path + ": " + sqlite3_errmsg(handle_));
        sqlite3_busy_timeout(handle_, 5000);
    }

    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    ~Database() { sqlite3_close(handle_); }

    void run(const std::string& sql) {
        char* message = nullptr;
        if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, &message) != SQLITE_OK)
            fail(sql.substr(0, 60) + ": " + (message ? message : "error"));
    }

    /// The first column of every row.
    std::vector<std::string> column(const std::string& sql) {
        std::vector<std::string> values;
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
            fail(sql + ": " + sqlite3_errmsg(handle_));
        int step = SQLITE_ROW;
        while ((step = sqlite3_step(statement)) == SQLITE_ROW)
            values.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(statement, 0)));
        if (step != SQLITE_DONE) fail(sql + ": " + sqlite3_errmsg(handle_));
        sqlite3_finalize(statement);
        return values;
    }

  private:
    sqlite3* handle_ = nullptr;
};

void write_pid(const Options& options) {
    const std::string text = std::to_string(::getpid()) + "\n";
    if (!drover::write_file_durably(need(options, "pid"), drover::as_bytes(text), 0644))
        fail("cannot write the pid file");
}

void wait_a_little(std::uint64_t micros) {
    const timespec pause{static_cast<time_t>(micros / 1'000'000),
                         static_cast<long>(micros % 1'000'000) * 1000};
    nanosleep(&pause, nullptr);
}

/// A rollback journal, never WAL: the only file a clean stop leaves is the database itself, so the
/// same program works where the whole "disk" is the database file.
int run_database(const Options& options) {
    Database database(need(options, "db"));
    database.run("PRAGMA journal_mode=" +
                 std::string(options.contains("in-image") ? "MEMORY" : "TRUNCATE"));
    database.run("PRAGMA synchronous=FULL");
    database.run(
        "CREATE TABLE IF NOT EXISTS ledger(id INTEGER PRIMARY KEY, origin TEXT, body TEXT)");
    drover::Fd acked(
        ::open(need(options, "acked").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (!acked.valid()) fail("cannot open the list of acknowledged rows");
    const std::string& origin = need(options, "origin");
    const std::uint64_t pause_us = number(options, "pause-us", 2000);
    const auto last = database.column("SELECT coalesce(max(id),0) FROM ledger");
    std::uint64_t id = std::strtoull(last.at(0).c_str(), nullptr, 10);
    drover::SystemClock clock;
    write_pid(options);
    while (stop_asked == 0) {
        ++id;
        database.run("INSERT INTO ledger VALUES(" + std::to_string(id) + ",'" + origin +
                     "',hex(randomblob(100)))");
        const std::string line =
            std::to_string(id) + " " + origin + " " + std::to_string(clock.wall_micros()) + "\n";
        if (!drover::write_all(acked.get(), drover::as_bytes(line), "acked"))
            fail("cannot write the list");
        if (pause_us > 0) wait_a_little(pause_us);
    }
    return 0;
}

int run_raw(const Options& options) {
    const std::string& path = need(options, "device");
    drover::Fd fd(::open(path.c_str(), O_WRONLY | O_DSYNC | O_CLOEXEC));
    if (!fd.valid()) fail("open " + path + ": " + std::strerror(errno));
    const off_t end = ::lseek(fd.get(), 0, SEEK_END);
    const auto blocks = static_cast<std::uint64_t>(end) / 4096;
    if (blocks == 0) fail(path + " is empty");
    const std::uint64_t pause_us = number(options, "pause-us", 5000);
    drover::SystemRandom random;
    std::vector<std::uint8_t> block(4096);
    write_pid(options);
    while (stop_asked == 0) {
        random.fill(block);
        const auto at = static_cast<off_t>(random.below(blocks) * 4096);
        if (::pwrite(fd.get(), block.data(), block.size(), at) != 4096)
            fail("write " + path + ": " + std::strerror(errno));
        wait_a_little(pause_us);
    }
    return 0;
}

int seed(const Options& options) {
    const std::uint64_t bytes = number(options, "bytes", 0);
    if (bytes < 1U << 20 || bytes % 4096 != 0)
        fail("--bytes must be a multiple of 4096, 1 MiB or more");
    Database database(need(options, "db"));
    database.run("PRAGMA page_size=4096; PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF");
    database.run("CREATE TABLE filler(body BLOB)");
    const auto pages = [&] {
        return std::strtoull(database.column("PRAGMA page_count").at(0).c_str(), nullptr, 10);
    };
    while (pages() + 300 < bytes / 4096)
        database.run("INSERT INTO filler VALUES(randomblob(1048576))");
    while (pages() < bytes / 4096) database.run("INSERT INTO filler VALUES(randomblob(3000))");
    database.run("DELETE FROM filler WHERE rowid % 2 = 0");
    return pages() == bytes / 4096 ? 0 : 1;
}

int check(const Options& options) {
    Database database(need(options, "db"), true);
    const auto integrity = database.column("PRAGMA integrity_check");
    const auto present = database.column("SELECT id || ' ' || origin FROM ledger");
    std::map<std::string, bool> rows;
    for (const auto& row : present) rows[row] = true;
    const auto text = drover::read_text(need(options, "acked"));
    if (!text) fail(text.error().text());
    std::uint64_t acknowledged = 0;
    std::uint64_t missing = 0;
    std::size_t at = 0;
    while (at < text->size()) {
        const std::size_t end = text->find('\n', at);
        if (end == std::string::npos) break;  // a line cut by the kill was never acknowledged
        const std::string line = text->substr(at, end - at);
        at = end + 1;
        ++acknowledged;
        if (!rows.contains(line.substr(0, line.rfind(' ')))) ++missing;
    }
    std::printf("integrity=%s rows=%zu acknowledged=%" PRIu64 " missing=%" PRIu64 "\n",
                integrity.at(0).c_str(), present.size(), acknowledged, missing);
    return integrity.at(0) == "ok" && missing == 0 ? 0 : 1;
}

void on_stop(int) {
    stop_asked = 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) fail("usage: live-writer database|raw|seed|check --OPTION VALUE ...");
    Options options;
    for (int i = 2; i < argc; ++i) {
        const std::string name = argv[i];
        if (name.rfind("--", 0) != 0) fail("unexpected argument " + name);
        options[name.substr(2)] =
            i + 1 < argc && std::strncmp(argv[i + 1], "--", 2) != 0 ? argv[++i] : "";
    }
    std::signal(SIGTERM, on_stop);
    std::signal(SIGINT, on_stop);
    const std::string mode = argv[1];
    if (mode == "database") return run_database(options);
    if (mode == "raw") return run_raw(options);
    if (mode == "seed") return seed(options);
    if (mode == "check") return check(options);
    fail("unknown mode " + mode);
}
