/// The proof by induction is refused as soon as one of its conditions does not hold.
#include "replicator/peer_codec.h"
#include "replicator/source_induction.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"
#include "wire/memory_link.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

/// A source in touch with a target that says what it is told to say.
struct Scripted {
    Scripted()
        : lab({mib}) {
        SourceConfig config;
        config.ticket = lab.signed_ticket(1);
        config.state_directory = lab.directory.path() / "source";
        config.boot_id = lab.boot_id;
        config.disks.push_back({lab.open_source_disk(0),
                                std::make_unique<testing::MarkingTracker>(*lab.source_disks[0])});
        SourceStateKey key;
        key.job = config.ticket.job;
        key.boot_id = lab.boot_id;
        key.sizes_bytes = {mib};
        key.tracker_generations = {lab.source_disks[0]->generation};
        auto state = SourceState::open(config.state_directory, key, random.uuid());
        REQUIRE(ok(state));
        job = std::make_unique<SourceJob>(std::move(config), std::move(*state), lab.recorder, clock,
                                          random);
        job->reads_back = true;
        job->state.set_phase(0, CopyPhase::tracked);
        job->state.set_acked_batch(7, true);
        holding.checkpoint.generation = job->state.generation();
        holding.checkpoint.batch = 7;
    }

    /// The id of the refusal; empty if it is proved.
    std::string refusal() {
        auto links = wire::make_memory_links();
        REQUIRE(ok(links.second->send(encode(TargetMessage(read_back)))));
        REQUIRE(ok(links.second->send(encode(TargetMessage(holding)))));
        PeerChannel control(*links.first, 5'000);
        const auto done = prove_by_induction(*job, control);
        if (!done) return done.error().id();
        CHECK(done->disks == std::vector<DiskProof>(1));
        CHECK(done->mismatches.empty());
        return {};
    }

    Lab lab;
    SystemClock clock;
    SystemRandom random;
    std::unique_ptr<SourceJob> job;
    ReadBackFound read_back;
    Holding holding;
};

TEST_CASE("induction: it holds when nothing is left on either side") {
    CHECK(Scripted().refusal().empty());
}

TEST_CASE("induction: each condition that does not hold refuses alone") {
    struct Case {
        const char* id;
        std::function<void(Scripted&)> broken;
    };

    const Case cases[] = {
        {"proof_incomplete", [](Scripted& s) { s.lab.source_disks[0]->dirty().set(3, 1); }},
        {"proof_incomplete", [](Scripted& s) { s.job->state.pending(0, 0).set(3, 1); }},
        {"proof_incomplete", [](Scripted& s) { s.job->state.pending(0, 1).set(3, 1); }},
        {"proof_incomplete", [](Scripted& s) { s.job->state.unread(0, 0).set(3, 1); }},
        {"proof_incomplete", [](Scripted& s) { s.job->state.unread(0, 1).set(3, 1); }},
        {"proof_incomplete", [](Scripted& s) { s.job->lost_disks = 1; }},
        {"proof_incomplete",
         [](Scripted& s) { s.lab.source_disks[0]->verdict = Audit::Verdict::lost; }},
        {"proof_incomplete",
         [](Scripted& s) { s.lab.source_disks[0]->verdict = Audit::Verdict::repaired; }},
        {"proof_incomplete",
         [](Scripted& s) { s.job->state.set_phase(0, CopyPhase::catching_up); }},
        {"proof_other_copy", [](Scripted& s) { s.holding.checkpoint.batch = 6; }},
        {"proof_other_copy", [](Scripted& s) { s.holding.checkpoint.batch = 8; }},
        {"proof_other_copy", [](Scripted& s) { s.holding.checkpoint.generation = Generation(); }},
        {"proof_other_copy",
         [](Scripted& s) { s.holding.checkpoint.state = CheckpointState::invalid; }},
        {"proof_other_copy",
         [](Scripted& s) { s.holding.checkpoint.state = CheckpointState::promoted; }},
        {"proof_unapplied", [](Scripted& s) { s.holding.journal_lag_bytes = 1; }},
        {"proof_unread", [](Scripted& s) { s.read_back.unverified_bytes = 1; }},
        {"proof_unread",
         [](Scripted& s) {
             s.read_back.differing = {{0, 0, 4096}};
         }},
        {"proof_unread", [](Scripted& s) { s.job->reads_back = false; }},
    };
    for (const Case& one : cases) {
        INFO(&one - cases);
        Scripted scripted;
        one.broken(scripted);
        CHECK(scripted.refusal() == one.id);
    }
}

TEST_CASE("induction: a busy moment of the tracker is waited for") {
    Scripted scripted;
    scripted.lab.source_disks[0]->verdict = Audit::Verdict::busy;
    CHECK(scripted.refusal().empty());
}

TEST_CASE("induction: after a drain it holds, and no disk is read for it") {
    Lab lab({4 * mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    lab.source->update(lab.signed_ticket(lab.serial), ReplicateMode::connected, {}, false);
    const auto done = lab.source->prove();
    REQUIRE(ok(done));
    CHECK(done->disks == std::vector<DiskProof>(1));
    CHECK(lab.recorder.last().bytes_compared == 0);
    // What the target has now, not what it had.
    lab.source_disks[0]->write_block(5, 0x77);
    const auto late = lab.source->prove();
    REQUIRE_FALSE(late.has_value());
    CHECK(late.error().id() == "proof_incomplete");
}

TEST_CASE("induction: a point that somebody restored by hand is another copy") {
    Lab lab({4 * mib});
    const testing::TemporaryDirectory journals("/var/tmp");
    lab.journal = JournalPlace{journals.path(), 8 * mib, 8 * mib, 4};
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    lab.source->update(lab.signed_ticket(lab.serial), ReplicateMode::connected, {}, false);
    REQUIRE(ok(lab.source->prove()));
    REQUIRE_FALSE(lab.target->progress().points.empty());
    REQUIRE(ok(lab.target->restore_point(lab.target->progress().points.front().batch)));
    const auto done = lab.source->prove();
    REQUIRE_FALSE(done.has_value());
    CHECK(done.error().id() == "proof_other_copy");
}

}  // namespace
}  // namespace drover::replicator
