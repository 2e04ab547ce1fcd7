// The digest of a state: frozen, and of everything in it but what only the log knows.
#include "statemachine/state_digest.h"

#include "samples.h"
#include "scenario.h"

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

// These never change: logs hold such digests.
constexpr const char* digest_of_nothing =
    "c89d5978325781bc855d74a7c0215779c61e7a6b7baab732039710fc06021650";
constexpr const char* digest_of_all =
    "10fe1985c1022f877dcb5beacebe9754fdc775d5f038720972259d05eb97b0d4";
constexpr const char* digest_of_nothing_2 =
    "861f7d0ca00fb5aacc3a337bc908255b94b2447ed4c53308d0e671ba5fbcbad1";
constexpr const char* digest_of_all_2 =
    "3aece70ecaa280e7d5a83ab3f849d3726fa3b27fdf88bf2ef1c8e38f7e295624";

/// A state with no optional left empty, so that the form of every field is under the digest.
Job full_job() {
    Job job = at(Phase::holding).job();
    job.pause_reason = "lunch";
    job.parked = ParkedState{EffectKind::drain, Error(Errc::io, "broke", "it", "all", "look"), 5};
    job.quarantined = "why";
    job.findings = {{Severity::warning, "id", "object", "detail", "next"}};
    job.generation_lost = "reboot";
    job.repair = {{1, 2, 3}};
    job.rollback = RollbackStarted{RollbackMode::keep, "ann", "operator", "yes"};
    job.release_pending = bytes_of<FenceToken>(7);
    job.reconciling = Reconciling{7, 8, {}};
    job.reconciling->worlds[0] = JobWorld{};
    job.spec.hooks = {{HookStep::validate, "check"}};
    return job;
}

/// The same for what version 2 has beside it.
Job fuller_job() {
    Job job = full_job();
    job.spec.comparison = Comparison::during_hold;
    job.spec.disks.front().skip_free_space = true;
    job.proof = {{bytes_of<Hash>(3), bytes_of<Hash>(3), 9, 8, 7}};
    job.test = StartTestDone{4, PointKind::filesystem, 5, "qcow2", {"/run/a"}};
    job.test_reverting = true;
    job.verifies_by_induction = true;
    job.hold_proof = {{bytes_of<Hash>(4), bytes_of<Hash>(4), 6, 5, 4}};
    job.hold_written = {{0, 1, 2}};
    job.copy_suspect = true;
    job.copy_differs = true;
    job.comparison_waived = true;
    job.changes_known = true;
    job.target_changed_bytes = 11;
    return job;
}

}  // namespace

TEST_CASE("state digest: released versions do not change") {
    CHECK(state_digest(Job{}, 1).value().hex() == digest_of_nothing);
    CHECK(state_digest(full_job(), 1).value().hex() == digest_of_all);
    CHECK(state_digest(Job{}, 2).value().hex() == digest_of_nothing_2);
    CHECK(state_digest(fuller_job(), 2).value().hex() == digest_of_all_2);
    CHECK_FALSE(state_digest(Job{}, 0));
    CHECK_FALSE(state_digest(Job{}, digest_version + 1));
}

TEST_CASE("state digest: every fact of a life makes another one") {
    const Job before = at(Phase::holding).job();
    for (const Event& event : sample_events()) {
        Job job = before;
        if (!evolve(job, event, {900, Hash{}, start_micros})) continue;
        INFO(name_of(kind_of(event)));
        CHECK(state_digest(job, digest_version) != state_digest(before, digest_version));
    }
}

TEST_CASE("state digest: an event's own hash is not in it, its place and time are") {
    const auto after = [](const EventPosition& position) {
        Job job = at(Phase::holding).job();
        REQUIRE(evolve(job, Committed{"ann"}, position));
        return state_digest(job, 1);
    };
    const Hash known = bytes_of<Hash>(3);
    CHECK(after({900, Hash{}, start_micros}) == after({900, known, start_micros}));
    CHECK(after({900, known, start_micros}) != after({901, known, start_micros}));
    CHECK(after({900, known, start_micros}) != after({900, known, start_micros + 1}));
}

}  // namespace drover::statemachine::testing
