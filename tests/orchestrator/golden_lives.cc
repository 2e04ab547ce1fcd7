#include "golden_lives.h"

#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

using statemachine::Phase;

const Error broken(Errc::io, "disk_failed", "the disk answered with an error",
                   "what was copied so far", "look at the disk, then retry");

void rest(World& world) {
    REQUIRE_FALSE(world.settle());
}

void accepted(World& world, statemachine::Wish wish) {
    const auto answer = world.command("web", std::move(wish));
    REQUIRE(answer);
    INFO((answer->rejected ? answer->rejected->detail : ""));
    REQUIRE_FALSE(answer->rejected);
}

void refused(World& world, statemachine::Wish wish) {
    const auto answer = world.command("web", std::move(wish));
    REQUIRE(answer);
    REQUIRE(answer->rejected);
}

void later(World& world, std::int64_t seconds) {
    world.pass_ms(seconds * 1000);
    rest(world);
}

/// A job with hooks and a limit, in sync.
void sync(World& world) {
    world.add_agent("old");
    world.add_agent("new");
    JobSpec spec = world.spec("web");
    spec.hooks = {{HookStep::pre_fence, "stop-web"}, {HookStep::validate, "check-web"}};
    spec.limits.rate_bytes_per_s = 100U << 20;
    accepted(world, statemachine::Plan{spec});
    later(world, 5);
    accepted(world, statemachine::Start{});
    later(world, 60);
    REQUIRE(world.phase("web") == Phase::syncing);
}

void cut_over(World& world) {
    accepted(world, statemachine::Cutover{});
    later(world, 30);
    REQUIRE(world.phase("web") == Phase::holding);
}

/// The agent says `body` about the newest effect of this kind.
void say(World& world, const std::string& agent, EffectKind kind, ReportBody body) {
    const EffectWanted* wanted = world.agent(agent).find(kind);
    REQUIRE(wanted != nullptr);
    world.report(world.agent(agent), {world.random.uuid(), wanted->effect.id, std::move(body)});
    rest(world);
}

void commit(World& world) {
    accepted(world, statemachine::Commit{"web"});
    later(world, 5);
    REQUIRE(world.phase("web") == Phase::committed);
}

void committed(World& world) {
    sync(world);
    cut_over(world);
    later(world, 3600);
    commit(world);
}

void rolled_back_then_committed(World& world) {
    sync(world);
    cut_over(world);
    statemachine::Rollback back;
    back.acknowledged_loss = "what the new server wrote since noon";
    accepted(world, back);
    later(world, 10);
    REQUIRE(world.phase("web") == Phase::rolled_back);
    accepted(world, statemachine::Resync{"what the new server wrote since noon"});
    later(world, 120);
    cut_over(world);
    commit(world);
}

void cancelled_and_deleted(World& world) {
    sync(world);
    refused(world, statemachine::Commit{"web"});
    accepted(world, statemachine::Cancel{});
    later(world, 5);
    accepted(world, statemachine::DeleteData{"web"});
    later(world, 5);
    REQUIRE(world.job("web").data_deleted);
}

void parked_and_retried(World& world) {
    sync(world);
    world.agent("new").silent_on = {EffectKind::verify};
    world.agent("old").silent_on = {EffectKind::verify};
    accepted(world, statemachine::Cutover{});
    later(world, 3);
    const bool at_target = world.agent("new").find(EffectKind::verify) != nullptr;
    say(world, at_target ? "new" : "old", EffectKind::verify, StepFailed{broken});
    REQUIRE(world.job("web").parked);
    refused(world, statemachine::Commit{"web"});
    world.agent("new").silent_on.clear();
    world.agent("old").silent_on.clear();
    accepted(world, statemachine::Retry{});
    later(world, 10);
    REQUIRE(world.phase("web") == Phase::holding);
    commit(world);
}

void breached(World& world) {
    sync(world);
    cut_over(world);
    say(world, "old", EffectKind::hold_fence, FenceBreach{3});
    REQUIRE(world.job("web").fence_breached);
    statemachine::Rollback back;
    back.acknowledged_loss = "all of it";
    static_cast<void>(world.command("web", back).has_value());
    later(world, 10);
}

void validation_waived(World& world) {
    sync(world);
    world.agent("new").silent_on = {EffectKind::validate};
    accepted(world, statemachine::Cutover{});
    later(world, 3);
    REQUIRE(world.phase("web") == Phase::validating);
    say(world, "new", EffectKind::validate, StepFailed{broken});
    accepted(world, statemachine::WaiveValidation{});
    later(world, 10);
    REQUIRE(world.phase("web") == Phase::holding);
    commit(world);
}

void outage_too_long(World& world) {
    sync(world);
    world.agent("old").silent_on = {EffectKind::drain};
    world.agent("new").silent_on = {EffectKind::drain};
    statemachine::Arm arm;
    arm.outage_max_s = 120;
    accepted(world, arm);
    accepted(world, statemachine::Disarm{});
    accepted(world, arm);
    accepted(world, statemachine::Cutover{});
    later(world, 200);
    REQUIRE(world.phase("web") == Phase::rolled_back);
    accepted(world, statemachine::Cancel{});
    later(world, 5);
}

/// Long enough for several digests of its state; links go and come, and droverd is killed.
void long_and_restless(World& world) {
    sync(world);
    for (std::uint64_t round = 0; round < 12; ++round) {
        accepted(world, statemachine::Pause{});
        later(world, 10);
        accepted(world, statemachine::Resume{});
        accepted(world, statemachine::Throttle{{round * 1000}});
        FakeAgent& agent = world.agent(round % 2 == 0 ? "old" : "new");
        world.disconnect(agent);
        later(world, 60);
        if (round == 6) {
            world.kill();
            world.start();
            world.connect(world.agent("old"));
            world.connect(world.agent("new"));
        } else {
            world.connect(agent);
        }
        later(world, 20);
    }
    cut_over(world);
    commit(world);
}

}  // namespace

const std::vector<Life>& golden_lives() {
    static const std::vector<Life> lives{{"committed", committed},
                                         {"rolled-back-then-committed", rolled_back_then_committed},
                                         {"cancelled-and-deleted", cancelled_and_deleted},
                                         {"parked-and-retried", parked_and_retried},
                                         {"breached", breached},
                                         {"validation-waived", validation_waived},
                                         {"outage-too-long", outage_too_long},
                                         {"long-and-restless", long_and_restless}};
    return lives;
}

}  // namespace drover::orchestrator::testing
