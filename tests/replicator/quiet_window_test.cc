#include "replicator/quiet_window.h"

#include "replicator/scan_tracker.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

constexpr std::uint64_t mib = 1U << 20;

struct TwoDisks {
    TrackedDisk first{mib};
    TrackedDisk second{mib};
    MarkingTracker first_tracker{first};
    MarkingTracker second_tracker{second};
    QuietWindow window{{&first_tracker, &second_tracker}};

    [[nodiscard]] QuietWindow::Sight look() {
        auto sight = window.look();
        REQUIRE(ok(sight));
        return *sight;
    }
};

TEST_CASE("quiet window: no write completed and exact audits make a point") {
    TwoDisks disks;
    disks.first.write_block(3, 7);
    disks.window.begin();
    CHECK(disks.look().is_quiet);
    disks.window.begin();
    CHECK(disks.look().is_quiet);
}

TEST_CASE("quiet window: a write to any disk in between makes none") {
    TwoDisks disks;
    disks.window.begin();
    (GENERATE(true, false) ? disks.first : disks.second).write_block(3, 7);
    CHECK_FALSE(disks.look().is_quiet);
    // Still not, until a round began after it.
    CHECK_FALSE(disks.look().is_quiet);
    disks.window.begin();
    CHECK(disks.look().is_quiet);
}

TEST_CASE("quiet window: an audit of any disk that is not exact makes none, and is handed on") {
    TwoDisks disks;
    const auto verdict =
        GENERATE(Audit::Verdict::busy, Audit::Verdict::repaired, Audit::Verdict::lost);
    const bool first = GENERATE(true, false);
    (first ? disks.first : disks.second).verdict = verdict;
    disks.window.begin();
    const QuietWindow::Sight sight = disks.look();
    CHECK_FALSE(sight.is_quiet);
    REQUIRE(sight.audits.size() == 2);
    CHECK(sight.audits[first ? 0 : 1].verdict == verdict);
}

TEST_CASE("quiet window: content comparison by pass never makes a point") {
    TwoDisks disks;
    const TemporaryDirectory directory;
    TrackerOptions options;
    options.state_directory = directory.path();
    const auto scan = ScanTracker::open(disks.second.disk, options);
    REQUIRE(ok(scan));
    QuietWindow window({&disks.first_tracker, scan->get()});
    CHECK_FALSE(window.is_possible());
    window.begin();
    const auto sight = window.look();
    REQUIRE(ok(sight));
    CHECK_FALSE(sight->is_quiet);
    CHECK_FALSE(QuietWindow({}).is_possible());
}

}  // namespace
}  // namespace drover::replicator::testing
