/// Writes that fail: the log stops for good, and the next start has everything acknowledged.
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "eventlog/audit.h"
#include "eventlog/ballast.h"
#include "eventlog/head_file.h"
#include "eventlog/rocksdb_log.h"
#include "tests/eventlog/log_testing.h"
#include "tests/eventlog/writer_process.h"

#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>

#include <catch2/catch.hpp>

#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

namespace drover::eventlog {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr WallMicros noon = 1'700'000'000'000'000;

std::unique_ptr<EventLog> must_open(const fs::path& directory, std::uint64_t ballast_bytes = 0) {
    auto log = open_rocksdb_log(directory, OpenOptions{.ballast_bytes = ballast_bytes});
    REQUIRE(log);
    return std::move(*log);
}

std::unique_ptr<EventLog> new_log(const fs::path& directory, std::uint64_t ballast_bytes = 0) {
    REQUIRE(create_rocksdb_log(directory, uuid(1)));
    auto log = must_open(directory, ballast_bytes);
    REQUIRE(log->raise_epoch(noon));
    return log;
}

AppendResult append_next(EventLog& log, std::size_t payload_bytes, WallMicros now = noon) {
    Append append = append_to(job(1), log.stream_head(job(1)).seq);
    append.events[0].payload.resize(payload_bytes);
    SeededRandom(log.head().seq).fill(append.events[0].payload);  // does not compress
    return log.append(std::span(&append, 1), log.head().epoch, now);
}

/// While it lives, no file of this process can grow beyond `bytes`: every write there fails
/// (EFBIG).
class FilesLimited {
  public:
    explicit FilesLimited(rlim_t bytes) {
        std::signal(SIGXFSZ, SIG_IGN);
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &before_) == 0);
        const rlimit limited{bytes, before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &limited) == 0);
    }

    FilesLimited(const FilesLimited&) = delete;
    FilesLimited& operator=(const FilesLimited&) = delete;

    ~FilesLimited() { CHECK(::setrlimit(RLIMIT_FSIZE, &before_) == 0); }

  private:
    rlimit before_{};
};

void check_stopped(EventLog& log) {
    CHECK(append_next(log, 10).outcome == AppendOutcome::indeterminate);
    CHECK_FALSE(log.sync_head());
    CHECK_FALSE(log.raise_epoch(noon));
    CHECK_FALSE(log.read(1, [](const Record&) { return true; }));
    CHECK_FALSE(log.hash_at(1));
    CHECK_FALSE(log.find_answer(uuid(1)));
}

TEST_CASE("disk: after a failed write the log stops for good and a restart has all of it",
          "[disk]") {
    log::set_level(log::Level::error);
    const TemporaryDirectory directory;
    auto log = new_log(directory.path());
    while (log->head().seq < 20) REQUIRE(append_next(*log, 1000).outcome == AppendOutcome::ok);
    {
        const FilesLimited limited(16 << 10);
        const auto failed = append_next(*log, 100'000);
        CHECK(failed.outcome == AppendOutcome::indeterminate);
        CHECK(failed.error.id() == "log_write_failed");
        CHECK_FALSE(failed.error.kept().empty());
        check_stopped(*log);
    }
    check_stopped(*log);  // also when the disk would take it again
    log.reset();
    // The next process, played by this one with a copy: RocksDB's lock on the original stays held.
    const TemporaryDirectory copy;
    fs::copy(directory.path(), copy.path() / "log", fs::copy_options::recursive);
    log = must_open(copy.path() / "log");
    CHECK(log->head().seq >= 20);
    CHECK(log->head().seq <= 21);  // a write that failed half-way may or may not be there
    CHECK(append_next(*log, 10).outcome == AppendOutcome::ok);
}

TEST_CASE("disk: after a failed head sync the log stops for good", "[disk]") {
    const TemporaryDirectory directory;
    auto log = new_log(directory.path());
    REQUIRE(append_next(*log, 10).outcome == AppendOutcome::ok);
    {
        const FilesLimited limited(0);
        const auto synced = log->sync_head();
        REQUIRE_FALSE(synced);
        CHECK(synced.error().id() == "head_sync_failed");
        check_stopped(*log);
    }
    check_stopped(*log);
    log.reset();
    CHECK(must_open(directory.path())->head().seq == 1);
}

TEST_CASE("head: append syncs it when 250 ms of wall time passed, or the clock went back",
          "[disk]") {
    const TemporaryDirectory directory;
    const auto log = new_log(directory.path());
    const auto head_file_seq = [&] {
        return HeadFile::read(directory.path() / "HEAD").value()->seq;
    };
    REQUIRE(append_next(*log, 10, noon + 1).outcome == AppendOutcome::ok);
    REQUIRE(append_next(*log, 10, noon + 249'999).outcome == AppendOutcome::ok);
    CHECK(head_file_seq() == 0);
    REQUIRE(append_next(*log, 10, noon + 250'000).outcome == AppendOutcome::ok);
    CHECK(head_file_seq() == 3);
    REQUIRE(append_next(*log, 10, noon + 250'001).outcome == AppendOutcome::ok);
    CHECK(head_file_seq() == 3);
    REQUIRE(append_next(*log, 10, noon).outcome == AppendOutcome::ok);
    CHECK(head_file_seq() == 5);
    REQUIRE(append_next(*log, 10, noon + 1).outcome == AppendOutcome::ok);
    CHECK(head_file_seq() == 5);
    REQUIRE(log->sync_head());
    CHECK(head_file_seq() == 6);
    REQUIRE(log->raise_epoch(noon + 2));
    CHECK(HeadFile::read(directory.path() / "HEAD").value()->epoch == 2);
}

TEST_CASE("directory: opening makes no log and creating replaces none", "[disk]") {
    const TemporaryDirectory directory;
    const auto path = directory.path() / "a" / "b";
    CHECK(open_rocksdb_log(path).error().id() == "log_missing");
    CHECK_FALSE(fs::exists(path));
    CHECK(open_rocksdb_log(directory.path()).error().id() == "log_missing");
    CHECK(verify_log_directory(directory.path()).error().id() == "log_missing");
    REQUIRE(create_rocksdb_log(path, uuid(1)));
    CHECK(create_rocksdb_log(path, uuid(2)).error().id() == "log_exists");
    CHECK(must_open(path)->head().lineage == uuid(1));
}

TEST_CASE("directory: a creation that was cut short is begun again", "[disk]") {
    const TemporaryDirectory directory;
    REQUIRE(HeadFile::create(directory.path() / "HEAD", uuid(9)));
    fs::create_directory(directory.path() / "rocksdb.creating");
    std::ofstream(directory.path() / "rocksdb.creating" / "CURRENT") << "half";
    CHECK(open_rocksdb_log(directory.path()).error().id() == "log_missing");
    REQUIRE(create_rocksdb_log(directory.path(), uuid(1)));
    CHECK(must_open(directory.path())->head().lineage == uuid(1));
}

TEST_CASE("ballast: it is set aside once and left away where space is short", "[disk]") {
    const TemporaryDirectory directory;
    auto log = new_log(directory.path(), 1 << 20);
    CHECK(fs::file_size(directory.path() / "BALLAST") == 1 << 20);
    const auto path = directory.path() / "other";
    const auto too_much = keep_ballast(path, volume_free_bytes(directory.path()));
    REQUIRE(too_much);
    CHECK_FALSE(*too_much);
    CHECK_FALSE(fs::exists(path));
}

/// A volume of its own, small enough to be filled.
class SmallVolume {
  public:
    SmallVolume() {
        mounted_ = ::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=48m") == 0;
        if (!mounted_) reason_ = std::strerror(errno);
    }

    SmallVolume(const SmallVolume&) = delete;
    SmallVolume& operator=(const SmallVolume&) = delete;

    ~SmallVolume() {
        if (mounted_) CHECK(::umount2(directory_.path().c_str(), MNT_DETACH) == 0);
    }

    [[nodiscard]] bool mounted() const { return mounted_; }

    [[nodiscard]] const std::string& reason() const { return reason_; }

    [[nodiscard]] fs::path path() const { return directory_.path(); }

  private:
    TemporaryDirectory directory_;
    bool mounted_ = false;
    std::string reason_;
};

TEST_CASE("disk: a log on a read-only volume is refused by name, and can be audited", "[disk]") {
    const SmallVolume volume;
    if (!volume.mounted()) {
        std::cout << "skipped: a small volume cannot be mounted here: " << volume.reason() << "\n";
        return;
    }
    const auto path = volume.path() / "log";
    REQUIRE(append_next(*new_log(path), 10).outcome == AppendOutcome::ok);
    const auto remount = [&](unsigned long flags) {
        return ::mount("tmpfs", volume.path().c_str(), "tmpfs", MS_REMOUNT | flags, "size=48m");
    };
    REQUIRE(remount(MS_RDONLY) == 0);
    const auto refused = open_rocksdb_log(path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id() == "file_error");
    CHECK(refused.error().detail().find("Read-only file system") != std::string::npos);
    CHECK_FALSE(create_rocksdb_log(volume.path() / "other", uuid(1)));
    CHECK(verify_log_directory(path)->whole());
    REQUIRE(remount(0) == 0);
    CHECK(must_open(path)->head().seq == 1);
}

/// Leaves `bytes` of the volume free.
void fill_volume(const fs::path& volume, std::uint64_t bytes) {
    std::ofstream filler(volume / "filler", std::ios::binary | std::ios::app);
    const std::string chunk(64 << 10, 'f');
    while (volume_free_bytes(volume) > bytes && filler.good())
        filler.write(chunk.data(), static_cast<std::streamsize>(chunk.size())).flush();
}

TEST_CASE("disk: a full volume stops the log, and the ballast lets it open again", "[disk]") {
    const SmallVolume volume;
    if (!volume.mounted()) {
        std::cout << "skipped: a small volume cannot be mounted here: " << volume.reason() << "\n";
        return;
    }
    log::set_level(log::Level::error);
    const auto path = volume.path() / "log";
    constexpr std::uint64_t ballast = 12U << 20;
    new_log(path, ballast).reset();
    REQUIRE(fs::exists(path / "BALLAST"));
    fill_volume(volume.path(), 5U << 20);
    Seq acknowledged = 0;
    {
        Writer writer(path);
        const auto deadline = SteadyClock::now() + std::chrono::seconds(60);
        while (const auto seq = writer.next(deadline)) acknowledged = *seq;
        CHECK(writer.wait() == 1);  // it said that it stopped, and did not crash
    }
    CHECK(acknowledged > 100);
    CHECK(volume_free_bytes(volume.path()) < (64U << 10));
    CHECK(verify_log_directory(path)->whole());

    auto log = must_open(path, ballast);
    CHECK(log->head().seq >= acknowledged);
    CHECK_FALSE(fs::exists(path / "BALLAST"));
    REQUIRE(log->raise_epoch(noon));
    CHECK(append_next(*log, 1000, SystemClock().wall_micros()).outcome == AppendOutcome::ok);
    log.reset();
    fill_volume(volume.path(), 1U << 20);
    const auto refused = open_rocksdb_log(path);  // full again, and nothing left to give up
    CHECK(refused.error().id() == "log_disk_full");
    CHECK(refused.error().next().find("free space") != std::string::npos);
    fs::remove(volume.path() / "filler");
    log = must_open(path, ballast);
    CHECK(fs::exists(path / "BALLAST"));
    CHECK(verify(*log)->whole());
}

}  // namespace
}  // namespace drover::eventlog
