#include "eventlog/copy.h"

#include "base/file.h"
#include "base/sha256.h"
#include "eventlog/audit.h"
#include "eventlog/rocksdb_log.h"
#include "log_testing.h"

#include <map>

namespace drover::eventlog::testing {
namespace {

namespace fs = std::filesystem;

const OpenOptions no_ballast{.ballast_bytes = 0};
constexpr WallMicros now_micros = 1'700'000'000'000'000;

std::unique_ptr<EventLog> make_log(const fs::path& directory) {
    REQUIRE(create_rocksdb_log(directory, uuid(1)));
    auto log = open_rocksdb_log(directory, no_ballast);
    REQUIRE(log);
    REQUIRE((*log)->raise_epoch(now_micros));
    return std::move(*log);
}

void append_events(EventLog& log, StreamSeq from, StreamSeq count) {
    for (StreamSeq i = from; i < from + count; ++i) {
        const Append append = append_to(job(1), i);
        REQUIRE(log.append({&append, 1}, log.head().epoch, now_micros).outcome ==
                AppendOutcome::ok);
    }
}

std::map<fs::path, Hash> bytes_of(const fs::path& directory) {
    std::map<fs::path, Hash> out;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        if (!entry.is_regular_file()) continue;
        const auto bytes = read_file(entry.path(), 1U << 30);
        REQUIRE(bytes);
        out.emplace(fs::relative(entry.path(), directory), sha256(*bytes));
    }
    return out;
}

}  // namespace

TEST_CASE("copy: what a writer had acknowledged is in a copy made beside it, and opens") {
    const TemporaryDirectory directory;
    auto log = make_log(directory.path() / "log");
    append_events(*log, 0, 40);
    const auto copied = copy_log(directory.path() / "log", directory.path() / "copy");
    REQUIRE(copied);
    CHECK(copied->seq == 40);
    CHECK(copied->hash == log->head().hash);
    append_events(*log, 40, 3);  // the writer goes on, and the copy does not
    const auto report = verify_log_directory(directory.path() / "copy");
    REQUIRE(report);
    CHECK(report->whole());
    CHECK(report->last_seq == 40);
    auto opened = open_rocksdb_log(directory.path() / "copy", no_ballast);
    REQUIRE(opened);
    CHECK((*opened)->head().epoch == log->head().epoch);
    append_events(**opened, 40, 1);
}

TEST_CASE("copy: nothing is copied from a damaged log, nor over another one") {
    const TemporaryDirectory directory;
    {
        auto log = make_log(directory.path() / "log");
        append_events(*log, 0, 5);
    }
    REQUIRE(create_rocksdb_log(directory.path() / "other", uuid(2)));
    CHECK(copy_log(directory.path() / "log", directory.path() / "other").error().id() ==
          "log_exists");
    CHECK(copy_log(directory.path() / "nothing", directory.path() / "copy").error().id() ==
          "log_missing");
    fs::remove(directory.path() / "log" / "HEAD");
    CHECK(copy_log(directory.path() / "log", directory.path() / "copy").error().code() ==
          Errc::corrupt);
}

TEST_CASE("copy: reading a log changes no byte of its directory") {
    const TemporaryDirectory directory;
    {
        auto log = make_log(directory.path() / "log");
        append_events(*log, 0, 7);
    }
    const auto before = bytes_of(directory.path());
    std::uint64_t seen = 0;
    const auto head = read_log_directory(directory.path() / "log", [&](const Record& record) {
        CHECK(record.seq == ++seen);
        return true;
    });
    REQUIRE(head);
    CHECK(seen == 7);
    CHECK(bytes_of(directory.path()) == before);
}

TEST_CASE("lineage: a copy goes on as another lineage, with the events it had") {
    const TemporaryDirectory directory;
    Hash hash;
    {
        auto log = make_log(directory.path() / "log");
        append_events(*log, 0, 7);
        hash = log->head().hash;
    }
    CHECK(begin_lineage(directory.path() / "log", uuid(9), 1).error().id() == "epoch_too_low");
    REQUIRE(begin_lineage(directory.path() / "log", uuid(9), 1001));
    auto log = open_rocksdb_log(directory.path() / "log", no_ballast);
    REQUIRE(log);
    CHECK((*log)->head().lineage == uuid(9));
    CHECK((*log)->head().epoch == 1001);
    CHECK((*log)->head().hash == hash);
    append_events(**log, 7, 2);
    const auto raised = (*log)->raise_epoch(now_micros);
    REQUIRE(raised);
    CHECK(*raised == 1002);
    CHECK(begin_lineage(directory.path() / "log", uuid(8), 2000).error().id() == "log_owned");
}

}  // namespace drover::eventlog::testing
