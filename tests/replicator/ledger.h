/// What a real database is for the tests of points: ledgers in SQLite whose every transaction can
/// be checked after a crash recovery, and the order in which they and a second disk were written.
///
/// A writer's transaction n stores rows that follow from n, moves money between accounts, and notes
/// n as the writer's last one. Around it, on a disk of its own and past every cache:
///
///   write n as intended ─► transaction n, committed and synced ─► write n as done
///
/// so that whatever a power cut leaves on both disks, done <= last <= intended.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "tests/replicator/loop_disk.h"

#include <array>
#include <atomic>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

struct sqlite3;

namespace drover::replicator {

/// One connection. False or -1 is an error, or that another connection was in the way for too long.
class Database {
  public:
    explicit Database(const std::filesystem::path& file);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    [[nodiscard]] bool run(const std::string& sql);
    [[nodiscard]] std::int64_t number(const std::string& sql);
    [[nodiscard]] std::string text(const std::string& sql);
    [[nodiscard]] bool put_row(std::uint64_t writer, std::uint64_t n, std::uint64_t part);
    /// Rows of which something is not as put_row() made it, or "", or what failed.
    [[nodiscard]] std::string wrong_rows();
    [[nodiscard]] std::string problem() const;

  private:
    sqlite3* handle_ = nullptr;
};

inline constexpr std::array ledger_modes = {"wal", "delete"};  ///< a database for each
inline constexpr std::uint64_t writers_of_ledger = 2;
inline constexpr std::uint64_t ledger_writers = writers_of_ledger * ledger_modes.size();

[[nodiscard]] bool make_ledgers(const std::filesystem::path& directory);

/// What a writer knows was committed, and when it was told so.
class Acknowledgements {
  public:
    void add(WallMicros at, std::uint64_t n);
    /// The last one of which the writer knew at that time.
    [[nodiscard]] std::uint64_t last_before(WallMicros time) const;

  private:
    mutable std::mutex mutex_;
    std::deque<std::pair<WallMicros, std::uint64_t>> known_;
};

/// Writes until told to stop, with a pause now and then so that there are quiet moments. False if
/// the database or the disk failed it.
[[nodiscard]] bool write_ledger(const std::filesystem::path& directory, std::uint64_t writer,
                                const LoopDisk& order, Acknowledgements& acknowledgements,
                                std::atomic<bool>& stop);

/// What was found wrong, in words; by what it means.
struct Wrong {
    std::vector<std::string> database;      ///< damaged, half a transaction, a hole
    std::vector<std::string> order;         ///< of the writes on both disks
    std::vector<std::string> acknowledged;  ///< before the point was taken, and not in it

    [[nodiscard]] std::size_t count() const {
        return database.size() + order.size() + acknowledged.size();
    }
};

/// The last transaction of each writer after the databases' own crash recovery.
using Lasts = std::array<std::uint64_t, ledger_writers>;

/// Opens the databases, which recovers them, and looks at everything.
[[nodiscard]] Lasts check_ledgers(const std::filesystem::path& directory, Wrong& wrong);
/// `order`: the other disk's contents.
void check_order(const Lasts& lasts, ByteView order, Wrong& wrong);

}  // namespace drover::replicator
