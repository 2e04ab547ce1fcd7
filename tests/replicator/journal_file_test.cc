#include "replicator/journal_file.h"

#include "replicator/redo_journal.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

#include <sys/stat.h>

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t mib = 1U << 20;

TEST_CASE("journal file: all of it is allocated, zero, and in nobody's way") {
    const TemporaryDirectory directory("/var/tmp");
    const auto path = directory.path() / journal_file_name;
    const auto file = make_journal_file(path, 3 * mib + 4096);
    REQUIRE(ok(file));
    CHECK((*file)->facts().size_bytes == 3 * mib + 4096);
    Bytes content(3 * mib + 4096, 1);
    REQUIRE(ok((*file)->read(0, content)));
    CHECK(std::ranges::count(content, 0) == std::ssize(content));

    struct stat status {};

    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK(static_cast<std::uint64_t>(status.st_blocks) * 512 >= 3 * mib + 4096);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK_FALSE(std::filesystem::exists(path.native() + ".new"));
    // Made anew, nothing of the earlier one is left.
    REQUIRE(ok((*file)->write(0, Bytes(4096, 7))));
    REQUIRE(ok(make_journal_file(path, mib)));
    const auto again = open_journal_file(path);
    REQUIRE(ok(again));
    Bytes block(4096, 1);
    REQUIRE(ok((*again)->read(0, block)));
    CHECK(block == Bytes(4096));
}

TEST_CASE("journal file: without room for it nothing is left behind") {
    const TemporaryDirectory directory("/var/tmp");
    const auto path = directory.path() / journal_file_name;
    CHECK(make_journal_file(path, std::uint64_t{1} << 52).error().id() == "journal_no_space");
    CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("journal file: memory is no place for it") {
    CHECK(check_journal_directory("/dev/shm").error().id() == "journal_not_durable");
    CHECK(check_journal_directory("/no/such/place").error().code() == Errc::not_found);
}

TEST_CASE("journal file: a journal in it is found again") {
    const TemporaryDirectory directory("/var/tmp");
    const auto path = directory.path() / journal_file_name;
    MemoryDevice disk(mib);
    const RedoJournal::Disks disks{&disk};
    JournalShape shape;
    shape.key = journal_key(JobId(), disks);
    shape.redo_bytes = 4 * mib;
    shape.undo_bytes = 4 * mib;
    shape.points_max = 4;
    {
        const auto file = make_journal_file(path, journal_rings_at + 8 * mib);
        REQUIRE(ok(file));
        REQUIRE(ok(RedoJournal::format(**file, shape, BatchMark())));
        auto journal = RedoJournal::open(**file, disks, shape.key);
        REQUIRE(ok(journal));
        REQUIRE(ok((*journal)->commit({1, true, 10, {}})));
        for (std::uint64_t number = 2; number < 5; ++number) {
            const Bytes data(65536 + 512, static_cast<std::uint8_t>(number));
            const RecordEntry range{number * 512, 65536 + 512, 0, false};
            REQUIRE(ok((*journal)->add({number, range, data})));
            REQUIRE(ok((*journal)->commit({number, true, 10, {}})));
        }
        CHECK(disk.contents()[4096] == 0);
    }
    const auto file = open_journal_file(path);
    REQUIRE(ok(file));
    auto journal = RedoJournal::open(**file, disks, shape.key);
    REQUIRE(ok(journal));
    CHECK((*journal)->applied().batch == 4);
    CHECK(disk.contents()[4096] == 4);
    REQUIRE(ok((*journal)->restore(2)));
    CHECK(disk.contents()[4096] == 2);
    REQUIRE(ok((*journal)->restore(1)));
    CHECK(disk.contents() == Bytes(mib));
}

}  // namespace
}  // namespace drover::replicator::testing
