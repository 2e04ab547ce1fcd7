/// Who may talk to a target, and what a promoted target does with a source that comes back.
#include "replicator/checkpoint.h"
#include "tests/replicator/replica_lab.h"
#include "tests/replicator/result_checks.h"

#include <catch2/catch.hpp>

namespace drover::replicator {
namespace {

using testing::eventually;
using testing::Lab;
using testing::ok;

constexpr std::uint64_t mib = 1U << 20;

/// Starts a source and waits until the reason of its refusal is shown.
bool refused_with(Lab& lab, const std::string& id) {
    if (!lab.source) lab.start_source();
    return eventually([&] { return lab.recorder.last().detail.find(id) != std::string::npos; });
}

bool untouched(Lab& lab) {
    const Bytes& target = lab.target_disks[0]->contents();
    return std::all_of(target.begin(), target.end(), [](std::uint8_t byte) { return byte == 0; });
}

TEST_CASE("gate: a forged ticket opens nothing") {
    Lab lab({mib});
    lab.start_target();
    lab.key = *wire::make_signing_key();  // another orchestrator's
    CHECK(refused_with(lab, "ticket_forged"));
    CHECK(untouched(lab));
}

TEST_CASE("gate: an expired ticket opens nothing") {
    Lab lab({mib});
    lab.not_after_micros = SystemClock().wall_micros() - 1;
    lab.start_target();
    CHECK(refused_with(lab, "ticket_expired"));
    CHECK(untouched(lab));
}

TEST_CASE("gate: another agent cannot use somebody's ticket") {
    Lab lab({mib});
    lab.source_identity = "drover:agent:mallory";
    lab.start_target();
    CHECK(refused_with(lab, "ticket_not_yours"));
    CHECK(untouched(lab));
}

TEST_CASE("gate: garbage as a first frame is answered with a refusal and nothing else") {
    Lab lab({mib});
    lab.start_target();
    auto links = lab.dial();
    REQUIRE(ok(links));
    REQUIRE(ok(links->control->send(Bytes(100, 0xff))));
    CHECK(ok(links->control->receive(5'000)));
    CHECK_FALSE(ok(links->control->receive(5'000)));
    REQUIRE(ok(links->bulk->send(Bytes(100, 0xff))));
    CHECK_FALSE(ok(links->bulk->receive(5'000)));
}

TEST_CASE("gate: a superseded ticket is refused even after a restart of the target") {
    Lab lab({mib});
    lab.serial = 5;
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    lab.kill_source();
    lab.kill_target();
    lab.serial = 4;
    lab.start_target();
    CHECK(refused_with(lab, "ticket_superseded"));
}

TEST_CASE("ticket: a newer one replaces the connection and the work goes on") {
    Lab lab({4 * mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    const std::size_t dials = lab.dials();
    lab.source->update(lab.signed_ticket(2), ReplicateMode::transfer, {}, false);
    REQUIRE(eventually([&] { return lab.dials() > dials; }));
    lab.source_disks[0]->write_block(0, 0x44);
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.last().bytes_sent_mirror == 4 * mib);
    const auto checkpoint = read_checkpoint(lab.directory.path() / "target");
    REQUIRE(ok(checkpoint));
    CHECK((*checkpoint)->serial == 2);
}

TEST_CASE("promote: durably first, then the disks are let go") {
    Lab lab({mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    REQUIRE(ok(lab.target->promote()));
    REQUIRE(ok(lab.target->promote()));
    CHECK(lab.target->progress().promoted);
    const auto checkpoint = read_checkpoint(lab.directory.path() / "target");
    REQUIRE(ok(checkpoint));
    CHECK((*checkpoint)->state == CheckpointState::promoted);
    CHECK((*checkpoint)->generation.is_zero());
    lab.kill_target();
    lab.start_target();
    CHECK(lab.target->progress().promoted);
}

TEST_CASE("promote: a target that cannot write it down releases nothing") {
    Lab lab({mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    std::filesystem::remove_all(lab.directory.path() / "target");
    REQUIRE_FALSE(ok(lab.target->promote()));
    CHECK_FALSE(lab.target->progress().promoted);
}

TEST_CASE("promoted: a source is refused until the loss is acknowledged under a newer ticket") {
    Lab lab({4 * mib});
    lab.mirror();
    REQUIRE(ok(lab.source->drain({})));
    REQUIRE(ok(lab.target->promote()));
    lab.kill_source();
    lab.kill_target();
    // The workload on the target writes.
    lab.target_disks[0]->contents()[100] ^= 0xff;
    const Bytes theirs = lab.target_disks[0]->contents();
    SECTION("the same ticket") {
        lab.overwrite_acknowledged = true;
    }
    SECTION("a newer ticket without the acknowledgement") {
        lab.serial = 2;
    }
    lab.start_target();
    CHECK(refused_with(lab, "target_promoted"));
    CHECK(lab.target_disks[0]->contents() == theirs);
    // The operator acknowledges: a comparison finds what the workload wrote.
    lab.kill_source();
    lab.kill_target();
    lab.serial = 3;
    lab.overwrite_acknowledged = true;
    lab.start_target();
    lab.start_source();
    REQUIRE(eventually([&] { return lab.recorder.mirrors().size() == 2; }));
    REQUIRE(ok(lab.source->drain({})));
    CHECK(lab.differing_bytes() == 0);
    CHECK(lab.recorder.last().bytes_sent_sync == 64U << 10);
}

TEST_CASE("target: disks that are smaller than the ticket says are refused at once") {
    Lab lab({mib});
    TargetConfig config;
    config.ticket = lab.signed_ticket(1);
    config.disks.push_back(std::make_unique<MemoryDevice>(mib - 512));
    config.state_directory = lab.directory.path() / "small";
    SystemClock clock;
    SystemRandom random;
    const auto opened = open_target_replica(std::move(config), clock, random);
    REQUIRE_FALSE(ok(opened));
    CHECK(opened.error().id() == "target_too_small");
}

}  // namespace
}  // namespace drover::replicator
