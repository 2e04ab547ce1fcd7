/// Every call of the C library by which this process touches files below one directory: RocksDB's
/// and the head, owner and ballast files' alike. The definitions in c_library.cc take the place of
/// the C library's, for shared libraries, too. A layer inside RocksDB would see only half of a log,
/// and not in which order the two halves reach the device.
///
/// Nothing happens until FileCalls::begin(), which a test calls in a process of its own (Child).
#pragma once

#include "tests/eventlog/volume.h"

#include <functional>
#include <mutex>

namespace drover::eventlog::testing {

enum class Op : std::uint8_t {
    open,
    create,  ///< open of a file that is not there
    close,
    read,
    write,
    sync,
    resize,
    allocate,
    rename,
    remove,
    make_directory,
    link,
    lock,
    look  ///< stat, access, opendir, readdir, statvfs
};

[[nodiscard]] std::string to_string(Op op);
/// Whether the call may change what a power failure leaves.
[[nodiscard]] bool changes_files(Op op);

enum class Fault : std::uint8_t {
    none,
    io_error,     ///< EIO, nothing is done
    no_space,     ///< ENOSPC, nothing is done; only where a filesystem says so
    short_write,  ///< half of it is written and counted; the caller has to go on
    torn_write,   ///< half of it is written, and EIO
    failed_sync,  ///< EIO, and what was not synced is never written
    power_loss    ///< nothing is done any more, by anybody
};

[[nodiscard]] std::string to_string(Fault fault);
[[nodiscard]] bool applies(Fault fault, Op op);

/// The call with this number (from 1, of those that the fault applies to, and at this site if one
/// is named) meets the fault.
struct PlannedFault {
    Fault fault = Fault::none;
    std::uint64_t at = 0;
    bool lasting = false;  ///< every later call that the fault applies to meets it, too
    std::string site = {};
};

/// Syncs that say they are done without doing anything.
enum class Lies : std::uint8_t { none, of_the_database, of_everything };

class FileCalls {
  public:
    struct Options {
        std::filesystem::path root;
        std::vector<PlannedFault> faults;
        Lies lies = Lies::none;
        /// Called with the lock held when the power fails; does not return.
        std::function<void(const Volume&)> on_power_loss;
        /// Called for each fault that is met, with the name of the site.
        std::function<void(const std::string&)> on_fault;
    };

    /// From here on, for the rest of the process.
    static FileCalls& begin(Options options);
    /// From here on every call is the C library's again.
    static void end();

    /// The power fails between two calls.
    void lose_power();

    struct Site {
        Op op;
        std::string name;  ///< "operation file" with # for numbers
    };

    /// Of every call so far, in order.
    [[nodiscard]] std::vector<Site> history();

    /// One call: holds the lock for as long as it lives.
    class Call;

  private:
    struct OpenFile {
        std::string path;  ///< relative to the root
        Volume::Inode node;
    };

    explicit FileCalls(Options options);
    Fault decide(Op op, const std::string& path);
    [[nodiscard]] bool lies_about(const std::string& path) const;

    Options options_;
    std::mutex mutex_;
    Volume volume_;
    std::map<int, OpenFile> open_files_;  ///< by descriptor
    std::vector<Site> history_;
    std::vector<std::uint64_t> met_;  ///< calls seen that the planned fault applies to
};

}  // namespace drover::eventlog::testing
