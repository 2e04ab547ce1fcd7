/// A log whose writer is killed with SIGKILL, again and again, loses nothing it acknowledged.
#include "base/random.h"
#include "eventlog/audit.h"
#include "eventlog/rocksdb_log.h"
#include "tests/eventlog/budget.h"
#include "tests/eventlog/log_testing.h"
#include "tests/eventlog/writer_process.h"

#include <chrono>

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;

constexpr std::uint64_t rounds_in_ci = 850;
constexpr std::uint64_t rounds_floor = 800;
constexpr auto time_in_ci = std::chrono::seconds(100);
constexpr std::uint64_t rounds_per_log = 25;  ///< a start takes longer the longer the log is
constexpr std::uint64_t rounds_per_audit = 25;
constexpr std::uint64_t life_micros_max = 6'000;
constexpr std::uint64_t opening_millis_max = 25;

void check_payloads(const EventLog& log) {
    for (const Record& record : all_events(log)) REQUIRE(get_u64(record.payload, 0) == record.seq);
}

/// A log whose writers are killed. What one acknowledged, the next one has to find: its start reads
/// and checks everything, as every start does.
class Victim {
  public:
    Victim() { REQUIRE(create_rocksdb_log(directory_.path(), uuid(1))); }

    /// Killed anywhere in the milliseconds after it was opened.
    void kill_while_appending(Random& random) {
        Writer writer(directory_.path());
        const auto opened = writer.next(SteadyClock::now() + std::chrono::seconds(20));
        REQUIRE(opened);
        REQUIRE(*opened >= acknowledged_);
        acknowledged_ = *opened;
        const auto moment =
            SteadyClock::now() + std::chrono::microseconds(random.below(life_micros_max));
        while (SteadyClock::now() < moment)
            if (const auto seq = writer.next(moment)) acknowledged_ = *seq;
        acknowledged_ = writer.kill(acknowledged_);
    }

    /// Killed while it is still opening, most of the time; returns whether it was.
    bool kill_while_opening(Random& random) {
        Writer writer(directory_.path());
        const auto moment =
            SteadyClock::now() + std::chrono::milliseconds(1 + random.below(opening_millis_max));
        const auto opened = writer.next(moment);
        if (opened) REQUIRE(*opened >= acknowledged_);
        acknowledged_ = std::max(acknowledged_, writer.kill());
        return !opened;
    }

    /// From outside, with everything that an audit looks at.
    void audit() const {
        const auto report = verify_log_directory(directory_.path());
        REQUIRE(report);
        REQUIRE(report->whole());
        REQUIRE(report->last_seq >= acknowledged_);
    }

    /// The number of events acknowledged, after a last start.
    Seq close() const {
        const auto log = open_rocksdb_log(directory_.path(), OpenOptions{.ballast_bytes = 0});
        REQUIRE(log);
        REQUIRE((*log)->head().seq >= acknowledged_);
        check_payloads(**log);
        return acknowledged_;
    }

  private:
    /// In memory: what a killed process wrote is there without a sync, so real syncs only cost
    /// time.
    TemporaryDirectory directory_{fast_directory()};
    Seq acknowledged_ = 0;
};

TEST_CASE("kill: a writer killed at any moment loses nothing it acknowledged", "[kill]") {
    SystemRandom random;
    Budget budget(rounds_floor, rounds_in_ci, time_in_ci);
    std::uint64_t while_opening = 0;
    Seq acknowledged = 0;
    while (budget.more()) {
        Victim victim;
        for (std::uint64_t round = 1; round <= rounds_per_log && budget.more(); ++round) {
            // Every eighth dies while it is still opening.
            if (round % 8 != 0)
                victim.kill_while_appending(random);
            else if (victim.kill_while_opening(random))
                ++while_opening;
            if (round % rounds_per_audit == 0) victim.audit();
            budget.count();
        }
        acknowledged += victim.close();
    }
    budget.report("writers killed, " + std::to_string(while_opening) + " of them while opening, " +
                  std::to_string(acknowledged) + " events acknowledged, 0 lost");
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
