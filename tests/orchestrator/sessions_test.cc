// The sessions with agents: each keeps to its own jobs, each report counts once, no name has two
// hosts.
#include "world.h"

#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

using statemachine::Phase;

TEST_CASE(
    "sessions: a report is acknowledged once its facts are durable, and a repeat changes nothing") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    agent.answers = false;
    world.plan("web");
    const Effect effect = agent.find(EffectKind::preflight)->effect;
    const Report report{world.random.uuid(), effect.id, success_of(effect).front()};
    world.report(agent, report);
    CHECK(agent.acknowledged.empty());
    REQUIRE_FALSE(world.settle());
    REQUIRE(agent.acknowledged == std::vector<Uuid>{report.report_id});
    const auto seq = world.core->state().seq;

    world.disconnect(agent);
    world.connect(agent);
    world.report(agent, report);
    REQUIRE_FALSE(world.settle());
    CHECK(agent.acknowledged.size() == 2);
    CHECK(world.core->state().seq == seq);
}

TEST_CASE("sessions: every agent gets each new anchor, and the newest one when it comes") {
    World world;
    FakeAgent& here = world.add_agent("old");
    const Uuid lineage = world.core->state().lineage;
    world.core->sessions().announce({lineage, 5, "five"});
    REQUIRE_FALSE(world.settle());
    FakeAgent& late = world.add_agent("new");
    world.core->sessions().announce({lineage, 9, "nine"});
    REQUIRE_FALSE(world.settle());
    CHECK(here.anchors == std::vector<AnchorMade>{{lineage, 5, "five"}, {lineage, 9, "nine"}});
    CHECK(late.anchors == here.anchors);
}

TEST_CASE("sessions: an agent that keeps no anchors is sent none") {
    World world;
    FakeAgent& old = world.add_agent("old");
    old.capabilities.clear();
    world.disconnect(old);
    world.connect(old);
    world.core->sessions().announce({world.core->state().lineage, 5, "five"});
    REQUIRE_FALSE(world.settle());
    CHECK(old.anchors.empty());
}

TEST_CASE("sessions: on an older copy nothing is asked, taken or written any more") {
    World world;
    FakeAgent& old = world.add_agent("old");
    old.answers = false;
    FakeAgent& knows_more = world.add_agent("new");
    world.plan("web");
    const Effect effect = old.find(EffectKind::preflight)->effect;
    world.disconnect(knows_more);
    const auto head = world.log.head();
    knows_more.witness = {head.lineage, head.epoch, head.seq + 1, Hash{}};
    world.connect(knows_more);
    REQUIRE_FALSE(world.settle());
    REQUIRE(world.core->sessions().older_copy());
    CHECK(world.core->sessions().older_copy()->id() == "log_behind");
    world.report(old, {world.random.uuid(), effect.id, success_of(effect).front()});
    world.pass_ms(60'000);
    REQUIRE_FALSE(world.settle());
    CHECK(old.acknowledged.empty());
    CHECK(world.log.head().seq == head.seq);
}

TEST_CASE("sessions: a report that is of no use any more is acknowledged and dropped") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    agent.answers = false;
    world.add_agent("new");
    world.plan("web");
    const Effect effect = agent.find(EffectKind::preflight)->effect;
    REQUIRE(world.command("web", statemachine::Cancel{}));
    const auto seq = world.core->state().seq;
    const Report late{world.random.uuid(), effect.id, success_of(effect).front()};
    world.report(agent, late);
    REQUIRE_FALSE(world.settle());
    CHECK(agent.acknowledged == std::vector<Uuid>{late.report_id});
    CHECK(world.core->state().seq == seq);
    CHECK(world.core->sessions().stale_reports() == 1);
}

TEST_CASE("sessions: an agent cannot report for the job side of another agent") {
    World world;
    FakeAgent& victim = world.add_agent("old");
    victim.answers = false;
    FakeAgent& stranger = world.add_agent("stranger");
    world.plan("web");
    const Effect effect = victim.find(EffectKind::preflight)->effect;
    const auto seq = world.core->state().seq;
    const Report forged{world.random.uuid(), effect.id, success_of(effect).front()};
    world.report(stranger, forged);
    REQUIRE_FALSE(world.settle());
    CHECK(stranger.is_closed);
    REQUIRE(stranger.refused.size() == 1);
    CHECK(stranger.refused.front().id() == "not_your_job");
    CHECK(stranger.acknowledged.empty());
    CHECK(world.core->state().seq == seq);
    CHECK_FALSE(world.job("web").preflight[0]);
}

TEST_CASE("sessions: an agent's progress shows only on its own side") {
    World world;
    FakeAgent& source = world.add_agent("old");
    world.plan("web");
    Progress progress;
    progress.job = world.job("web").id;
    progress.passes = 7;
    progress.side = Side::source;
    world.core->sessions().received(source.connection, ProgressMade{progress}, world.now());
    progress.side = Side::target;
    world.core->sessions().received(source.connection, ProgressMade{progress}, world.now());
    const JobId id = world.job("web").id;
    REQUIRE(world.core->telemetry().latest(id, Side::source));
    CHECK(world.core->telemetry().latest(id, Side::source)->progress.passes == 7);
    CHECK_FALSE(world.core->telemetry().latest(id, Side::target));
}

TEST_CASE("sessions: an agent that was never enrolled here is refused") {
    World world;
    FakeAgent& unknown = world.add_twin("unknown", "unknown", "host-1");
    CHECK(unknown.is_closed);
    REQUIRE_FALSE(unknown.refused.empty());
    CHECK(unknown.refused.front().id() == "agent_unknown");
}

TEST_CASE("sessions: two hosts under one name are both refused, and stay so for a while") {
    World world;
    FakeAgent& real = world.add_agent("old");
    FakeAgent& clone = world.add_twin("clone", "old", "host-2");
    CHECK(real.is_closed);
    CHECK(clone.is_closed);
    CHECK(real.refused.back().id() == "agent_host_conflict");
    CHECK(clone.refused.back().id() == "agent_host_conflict");
    CHECK_FALSE(world.core->sessions().presence("old")->alarm.empty());

    world.connect(real);
    REQUIRE_FALSE(world.settle());
    CHECK(real.refused.back().id() == "agent_suspended");

    world.pass_ms(host_conflict_hold_ms);
    world.connect(real);
    REQUIRE_FALSE(world.settle());
    CHECK(world.core->sessions().is_connected("old"));
    CHECK(real.welcome);
}

TEST_CASE("sessions: a name is bound to its host until it is enrolled again") {
    World world;
    FakeAgent& real = world.add_agent("old");
    world.disconnect(real);
    FakeAgent& moved = world.add_twin("moved", "old", "host-2");
    CHECK(moved.is_closed);
    CHECK(moved.refused.back().id() == "agent_host_changed");
    CHECK_FALSE(moved.welcome);

    Hash token;
    token.data.fill(0x77);
    REQUIRE(world.registry(CreateToken{"old", token, 900}));
    REQUIRE(world.registry(Enrol{"old", token, token, {}}));
    world.connect(moved);
    REQUIRE_FALSE(world.settle());
    CHECK(world.core->sessions().is_connected("old"));
}

TEST_CASE("sessions: nobody is welcomed before its name is durably bound to its host") {
    World world;
    Hash token;
    token.data.fill(0x77);
    REQUIRE(world.registry(CreateToken{"old", token, 900}));
    REQUIRE(world.registry(Enrol{"old", token, token, {}}));
    world.log.set_free_bytes(world.options.reserve_bytes - 1);
    FakeAgent& agent = world.add_twin("old", "old", "host-1");
    CHECK(agent.is_closed);
    CHECK(agent.refused.back().id() == "log_volume_full");
    CHECK_FALSE(agent.welcome);

    world.log.set_free_bytes(UINT64_MAX);
    world.connect(agent);
    REQUIRE_FALSE(world.settle());
    CHECK(agent.welcome);

    // With the binding durable a full volume keeps nobody out, and lets no copy in.
    world.disconnect(agent);
    world.log.set_free_bytes(world.options.reserve_bytes - 1);
    FakeAgent& moved = world.add_twin("moved", "old", "host-2");
    CHECK(moved.refused.back().id() == "agent_host_changed");
    CHECK_FALSE(moved.welcome);
    world.connect(agent);
    REQUIRE_FALSE(world.settle());
    CHECK(agent.welcome);
}

TEST_CASE("sessions: an agent that speaks before it is welcomed is refused") {
    World world;
    Hash token;
    token.data.fill(0x77);
    REQUIRE(world.registry(CreateToken{"old", token, 900}));
    REQUIRE(world.registry(Enrol{"old", token, token, {}}));
    world.core->sessions().opened(99, "old", "127.0.0.9", world.now());
    Hello hello;
    hello.agent = "old";
    hello.host_identity = "host-1";
    world.core->sessions().received(99, hello, world.now());
    world.core->sessions().received(99, Heartbeat{}, world.now());
    const Outbox outbox = world.core->sessions().take_outbox();
    REQUIRE(outbox.close.size() == 1);
    CHECK(outbox.close.front().why.id() == "protocol_error");
}

TEST_CASE("sessions: the same host that connects again replaces its dead connection") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    FakeAgent& again = world.add_twin("again", "old", "host-1");
    CHECK(agent.is_closed);
    CHECK(agent.refused.back().id() == "agent_reconnected");
    CHECK_FALSE(again.is_closed);
    CHECK(world.core->sessions().is_connected("old"));
}

TEST_CASE("sessions: a lost agent is a fact after a moment of grace, not at once") {
    World world;
    FakeAgent& source = world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    CHECK(world.job("web").agent_connected == std::array<bool, 2>{true, true});

    world.disconnect(source);
    world.pass_ms(link_grace_ms - 500);
    REQUIRE_FALSE(world.settle());
    CHECK(world.job("web").agent_connected[0]);
    world.connect(source);
    world.pass_ms(1000);
    REQUIRE_FALSE(world.settle());
    CHECK(world.job("web").agent_connected[0]);

    world.disconnect(source);
    world.pass_ms(link_grace_ms);
    REQUIRE_FALSE(world.settle());
    CHECK_FALSE(world.job("web").agent_connected[0]);
    world.connect(source);
    REQUIRE_FALSE(world.settle());
    CHECK(world.job("web").agent_connected[0]);
}

TEST_CASE("sessions: an agent that does not come back after a restart of droverd is lost") {
    World world;
    world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    world.kill();
    world.start();
    REQUIRE_FALSE(world.settle());
    CHECK(world.job("web").agent_connected[0]);
    world.pass_ms(link_grace_ms);
    REQUIRE_FALSE(world.settle());
    CHECK_FALSE(world.job("web").agent_connected[0]);
    CHECK_FALSE(world.job("web").agent_connected[1]);
}

TEST_CASE("sessions: bytes that are no message close the connection and nothing else") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    world.core->sessions().unreadable(agent.connection, Error(Errc::invalid, "bad_message", "no"));
    REQUIRE_FALSE(world.settle());
    CHECK(agent.is_closed);
    CHECK_FALSE(world.core->sessions().is_connected("old"));
    world.connect(agent);
    REQUIRE_FALSE(world.settle());
    CHECK(world.core->sessions().is_connected("old"));
}

TEST_CASE("sessions: reports that had to wait are taken in the order in which they came") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    const EffectId replicate = agent.find(EffectKind::replicate)->effect.id;
    const auto say = [&](DataState state) {
        world.report(agent, {world.random.uuid(), replicate,
                             DataStateNow{state, world.job("web").generation, 0}});
        REQUIRE_FALSE(world.settle());
    };
    world.log.set_free_bytes(world.options.reserve_bytes - 1);
    const DataState last = DataState::in_sync;
    for (int i = 0; i < 8; ++i) {
        say(DataState::disconnected);
        say(DataState::catching_up);
    }
    world.log.set_free_bytes(UINT64_MAX);
    say(last);  // must not overtake those that wait
    world.pass_ms(1000);
    REQUIRE_FALSE(world.settle());
    CHECK(world.job("web").data_state == last);
    CHECK(agent.acknowledged.size() >= 17);
}

TEST_CASE("sessions: two different reports under one id are an alarm, not a fact") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    agent.answers = false;
    world.plan("web");
    const Effect effect = agent.find(EffectKind::preflight)->effect;
    Report report{world.random.uuid(), effect.id, success_of(effect).front()};
    world.report(agent, report);
    REQUIRE_FALSE(world.settle());
    std::get<PreflightDone>(report.body).journal_mode = "other";
    world.report(agent, report);
    REQUIRE_FALSE(world.settle());
    CHECK(agent.is_closed);
    CHECK(agent.refused.back().id() == "report_conflict");
}

}  // namespace drover::orchestrator::testing
