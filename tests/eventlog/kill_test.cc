/// A log whose writer is killed with SIGKILL, again and again, loses nothing it acknowledged.
#include "base/random.h"
#include "eventlog/audit.h"
#include "eventlog/rocksdb_log.h"
#include "tests/eventlog/log_testing.h"
#include "tests/eventlog/writer_process.h"

#include <chrono>
#include <iostream>

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;
constexpr int rounds_min = 60;
constexpr int rounds_max = 200;
constexpr auto time_max = std::chrono::seconds(6);

void check_payloads(const EventLog& log) {
    for (const Record& record : all_events(log)) REQUIRE(get_u64(record.payload, 0) == record.seq);
}

TEST_CASE("kill: a writer killed at any moment loses nothing it acknowledged", "[kill]") {
    const TemporaryDirectory directory;
    SystemRandom random;
    REQUIRE(create_rocksdb_log(directory.path(), uuid(1)));
    const auto started = SteadyClock::now();
    Seq acknowledged = 0;
    int rounds = 0;
    int killed_while_opening = 0;
    while (rounds < rounds_min ||
           (rounds < rounds_max && SteadyClock::now() - started < time_max)) {
        Writer writer(directory.path());
        // Every eighth dies while it is still opening; the others anywhere in the 40 ms after.
        if (rounds % 8 == 7) {
            const auto moment =
                SteadyClock::now() + std::chrono::milliseconds(1 + random.below(25));
            const auto opened = writer.next(moment);
            if (opened) CHECK(*opened >= acknowledged);
            if (!opened) ++killed_while_opening;
            acknowledged = std::max(acknowledged, writer.kill());
        } else {
            const auto opened = writer.next(SteadyClock::now() + std::chrono::seconds(20));
            REQUIRE(opened);
            CHECK(*opened >= acknowledged);
            acknowledged = *opened;
            const auto moment =
                SteadyClock::now() + std::chrono::microseconds(random.below(40'000));
            while (SteadyClock::now() < moment)
                if (const auto seq = writer.next(moment)) acknowledged = *seq;
            acknowledged = writer.kill(acknowledged);
        }
        ++rounds;
        const auto report = verify_log_directory(directory.path());
        REQUIRE(report);
        REQUIRE(report->whole());
        REQUIRE(report->last_seq >= acknowledged);
    }
    const auto log = open_rocksdb_log(directory.path(), OpenOptions{.ballast_bytes = 0});
    REQUIRE(log);
    CHECK((*log)->head().seq >= acknowledged);
    check_payloads(**log);
    std::cout << rounds << " writers killed, " << killed_while_opening << " of them while opening, "
              << acknowledged << " events acknowledged, 0 lost\n";
}

TEST_CASE("owner: a second process is refused by the pid of the first, until that one is dead",
          "[owner]") {
    const TemporaryDirectory directory;
    REQUIRE(create_rocksdb_log(directory.path(), uuid(1)));
    Writer writer(directory.path());
    REQUIRE(writer.next(SteadyClock::now() + std::chrono::seconds(20)));
    const auto second = open_rocksdb_log(directory.path(), OpenOptions{.ballast_bytes = 0});
    REQUIRE_FALSE(second);
    CHECK(second.error().id() == "log_owned");
    CHECK(second.error().detail().find("pid=" + std::to_string(writer.pid()) + " ") !=
          std::string::npos);
    CHECK(create_rocksdb_log(directory.path(), uuid(2)).error().id() == "log_owned");
    writer.kill();
    CHECK(open_rocksdb_log(directory.path(), OpenOptions{.ballast_bytes = 0}));
}

TEST_CASE("audit: a log can be verified while its writer appends", "[audit]") {
    const TemporaryDirectory directory;
    REQUIRE(create_rocksdb_log(directory.path(), uuid(1)));
    Writer writer(directory.path());
    Seq acknowledged = 0;
    for (int look = 0; look < 10; ++look) {
        const auto seq = writer.next(SteadyClock::now() + std::chrono::seconds(20));
        REQUIRE(seq);
        acknowledged = *seq;
        const auto report = verify_log_directory(directory.path());
        REQUIRE(report);
        CHECK(report->whole());
        CHECK(report->last_seq >= acknowledged);
    }
}

}  // namespace
}  // namespace drover::eventlog
