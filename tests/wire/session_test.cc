#include "tests/schemas/samples.h"
#include "wire/agent_session.h"
#include "wire/orchestrator_session.h"

#include <catch2/catch.hpp>

namespace drover::wire {
namespace {

using samples::hash;
using samples::uuid;

/// An agent that has obeyed the command at 70 of log 1 under epoch 4.
AgentSession new_agent(std::vector<Report> pending = {}) {
    return AgentSession(samples::hello(), std::move(pending));
}

/// The log that agent knows, at 90 under epoch 5.
LogView log_view() {
    return {{uuid(1), 5, 90, hash(13)}, [](std::uint64_t seq) -> std::optional<Hash> {
                if (seq > 90) return std::nullopt;
                return seq == 70 ? hash(12) : hash(99);
            }};
}

template <class Wanted, class Message>
const Wanted* get(const std::vector<Message>& messages) {
    for (const Message& message : messages) {
        if (const auto* found = std::get_if<Wanted>(&message)) return found;
    }
    return nullptr;
}

std::string closed(const AgentStep& step) {
    return step.close ? step.close->id() : "";
}

std::string closed(const OrchestratorStep& step) {
    return step.close ? step.close->id() : "";
}

std::string answer_to(const Welcome& welcome) {
    AgentSession session = new_agent();
    (void)session.connected(0);
    const AgentStep step = session.received(welcome, 1);
    if (step.close) {
        CHECK(get<Refused>(step.send) != nullptr);
        CHECK_FALSE(session.is_welcomed());
        CHECK_FALSE(step.persist.has_value());
    }
    return closed(step);
}

Report report(std::uint8_t id) {
    return {uuid(id), samples::effect_id(EffectKind::fence), CleanupDone{}};
}

TEST_CASE("agent session: Hello is the first message and names the witness") {
    AgentSession session = new_agent();
    const AgentStep step = session.connected(0);
    REQUIRE(step.send.size() == 1);
    CHECK(std::get<Hello>(step.send[0]) == samples::hello());
}

TEST_CASE("agent session: a Welcome of the same log is accepted and its epoch made durable first") {
    AgentSession session = new_agent();
    (void)session.connected(0);
    const AgentStep step = session.received(samples::welcome(), 1);
    CHECK(step.welcomed);
    REQUIRE(step.persist.has_value());
    CHECK(*step.persist == Witness{uuid(1), 5, 70, hash(12)});
    CHECK(session.is_welcomed());
}

TEST_CASE("agent session: a lower epoch than the highest seen is refused") {
    Welcome welcome = samples::welcome();
    welcome.epoch = 3;
    CHECK(answer_to(welcome) == "stale_epoch");
}

TEST_CASE("agent session: another log is refused") {
    Welcome welcome = samples::welcome();
    welcome.lineage = uuid(50);
    CHECK(answer_to(welcome) == "other_lineage");
}

TEST_CASE("agent session: a log that cannot show the witness's hash is refused") {
    Welcome welcome = samples::welcome();
    welcome.hash_at_witness = hash(50);
    CHECK(answer_to(welcome) == "witness_mismatch");
    welcome.hash_at_witness.reset();
    CHECK(answer_to(welcome) == "witness_mismatch");
    welcome = samples::welcome();
    welcome.head_seq = 69;
    CHECK(answer_to(welcome) == "witness_mismatch");
}

TEST_CASE("agent session: a protocol version outside its range is refused") {
    Welcome welcome = samples::welcome();
    welcome.version = protocol_max + 1;
    CHECK(answer_to(welcome) == "protocol_version");
}

TEST_CASE("agent session: a new agent adopts the log that welcomes it") {
    Hello hello = samples::hello();
    hello.witness = {};
    AgentSession session(hello, {});
    (void)session.connected(0);
    Welcome welcome = samples::welcome();
    welcome.hash_at_witness.reset();
    const AgentStep step = session.received(welcome, 1);
    REQUIRE(step.persist.has_value());
    CHECK(*step.persist == Witness{uuid(1), 5, 0, Hash{}});
}

TEST_CASE("agent session: an effect before Welcome is a protocol error") {
    AgentSession session = new_agent();
    (void)session.connected(0);
    const AgentStep step = session.received(samples::wanted(samples::effects()[0]), 1);
    CHECK(closed(step) == "protocol_error");
    CHECK(step.effects.empty());
}

TEST_CASE("agent session: a second Welcome is a protocol error") {
    AgentSession session = new_agent();
    (void)session.connected(0);
    (void)session.received(samples::welcome(), 1);
    CHECK(closed(session.received(samples::welcome(), 2)) == "protocol_error");
}

TEST_CASE("agent session: effects of the session's epoch, log and agent are handed on; no others") {
    const EffectWanted good = samples::wanted(samples::effects()[2]);
    const auto answer = [](const EffectWanted& wanted) {
        AgentSession session = new_agent();
        (void)session.connected(0);
        (void)session.received(samples::welcome(), 1);
        const AgentStep step = session.received(wanted, 2);
        CHECK(step.effects.size() == (step.close ? 0 : 1));
        return closed(step);
    };
    CHECK(answer(good).empty());
    EffectWanted stale = good;
    stale.epoch = 4;
    CHECK(answer(stale) == "protocol_error");
    EffectWanted foreign = good;
    foreign.effect.id.lineage = uuid(50);
    CHECK(answer(foreign) == "protocol_error");
    EffectWanted misdirected = good;
    misdirected.effect.agent = "target";
    CHECK(answer(misdirected) == "protocol_error");
}

TEST_CASE("agent session: only standing effects can be withdrawn") {
    AgentSession session = new_agent();
    (void)session.connected(0);
    (void)session.received(samples::welcome(), 1);
    const EffectWithdrawn standing{samples::effect_id(EffectKind::replicate), 5};
    CHECK(session.received(standing, 2).withdrawn.size() == 1);
    const EffectWithdrawn one_shot{samples::effect_id(EffectKind::release), 5};
    CHECK(closed(session.received(one_shot, 3)) == "protocol_error");
}

TEST_CASE("agent session: the witness moves forward and never back") {
    AgentSession session = new_agent();
    const Witness newer{uuid(1), 5, 80, hash(20)};
    CHECK(session.obeyed(newer, 1).persist == newer);
    CHECK_FALSE(session.obeyed({uuid(1), 5, 75, hash(21)}, 2).persist.has_value());
    CHECK_FALSE(session.obeyed({uuid(1), 5, 80, hash(22)}, 2).persist.has_value());
    CHECK_FALSE(session.obeyed({uuid(50), 9, 95, hash(23)}, 2).persist.has_value());
    CHECK(session.witness() == newer);
    const auto older_epoch = session.obeyed({uuid(1), 4, 81, hash(24)}, 3).persist;
    REQUIRE(older_epoch.has_value());
    CHECK(older_epoch->epoch == 5);
}

TEST_CASE("agent session: reports are sent again after every reconnect until acknowledged") {
    AgentSession session = new_agent({report(30)});
    CHECK(session.report(report(31), 0).send.empty());
    for (int round = 0; round < 2; ++round) {
        (void)session.connected(10);
        const AgentStep step = session.received(samples::welcome(), 11);
        REQUIRE(step.send.size() == 2);
        CHECK(std::get<ReportMade>(step.send[0]).report == report(30));
        CHECK(std::get<ReportMade>(step.send[1]).report == report(31));
        session.disconnected();
    }
    (void)session.connected(20);
    (void)session.received(samples::welcome(), 21);
    const AgentStep acknowledged = session.received(ReportAck{uuid(30)}, 22);
    CHECK(acknowledged.acknowledged == std::vector<Uuid>{uuid(30)});
    CHECK(session.received(ReportAck{uuid(30)}, 23).acknowledged.empty());
    CHECK(session.report(report(32), 24).send.size() == 1);
    session.disconnected();
    (void)session.connected(30);
    CHECK(session.received(samples::welcome(), 31).send.size() == 2);
}

TEST_CASE("agent session: anchors are taken after the welcome, and only of its log") {
    AgentSession session = new_agent();
    const Welcome welcome = samples::welcome();
    const AnchorMade made{welcome.lineage, 7, "line"};
    (void)session.connected(0);
    CHECK(session.received(made, 1).close.has_value());
    session.disconnected();
    (void)session.connected(2);
    (void)session.received(welcome, 3);
    CHECK(session.received(made, 4).anchors == std::vector<AnchorMade>{made});
    CHECK(session.received(AnchorMade{uuid(77), 8, "line"}, 5).anchors.empty());
}

TEST_CASE("agent session: telemetry without a welcome is dropped") {
    AgentSession session = new_agent();
    CHECK(session.progress(samples::progress(), 0).send.empty());
    (void)session.connected(0);
    CHECK(session.progress(samples::progress(), 1).send.empty());
    (void)session.received(samples::welcome(), 2);
    CHECK(session.progress(samples::progress(), 3).send.size() == 1);
}

TEST_CASE("agent session: heartbeats keep the session; silence beyond dead_ms closes it") {
    AgentSession session = new_agent();
    (void)session.connected(0);
    Welcome welcome = samples::welcome();
    welcome.heartbeat_ms = 1000;
    welcome.dead_ms = 4000;
    (void)session.received(welcome, 0);
    CHECK(session.tick(400).send.empty());
    CHECK(get<Heartbeat>(session.tick(500).send) != nullptr);
    CHECK(session.tick(600).send.empty());
    (void)session.received(Heartbeat{}, 3000);
    CHECK(closed(session.tick(6999)).empty());
    CHECK(closed(session.tick(7000)) == "orchestrator_silent");
    CHECK_FALSE(session.is_welcomed());
    CHECK_FALSE(session.tick(90'000).close.has_value());
}

TEST_CASE("agent session: an orchestrator that never answers Hello is given up") {
    AgentSession session = new_agent();
    (void)session.connected(0);
    CHECK(closed(session.tick(20'000)) == "orchestrator_silent");
}

TEST_CASE("agent session: a refusal is shown as the other side worded it") {
    AgentSession session = new_agent();
    (void)session.connected(0);
    const AgentStep step = session.received(samples::refused(), 1);
    REQUIRE(step.close.has_value());
    CHECK(*step.close == samples::refused().error);
    CHECK(step.send.empty());
}

// ---- the orchestrator's half ----

std::string answer_to(const Hello& hello) {
    OrchestratorSession session("source");
    (void)session.connected(0);
    const OrchestratorStep step = session.received(hello, log_view(), 1);
    if (step.close) {
        CHECK(get<Refused>(step.send) != nullptr);
        CHECK(get<Welcome>(step.send) == nullptr);
        CHECK_FALSE(step.hello.has_value());
    }
    return closed(step);
}

TEST_CASE("orchestrator session: Hello is answered with Welcome and the hash at the witness") {
    OrchestratorSession session("source", 1000, 4000);
    CHECK(session.connected(0).send.empty());
    const OrchestratorStep step = session.received(samples::hello(), log_view(), 1);
    REQUIRE(step.send.size() == 1);
    const auto& welcome = std::get<Welcome>(step.send[0]);
    CHECK(welcome.epoch == 5);
    CHECK(welcome.head_seq == 90);
    CHECK(welcome.hash_at_witness == hash(12));
    CHECK(welcome.heartbeat_ms == 1000);
    CHECK(session.hello() == samples::hello());
}

TEST_CASE("orchestrator session: an agent that is new has no witness to show") {
    Hello hello = samples::hello();
    hello.witness = {};
    OrchestratorSession session("source");
    (void)session.connected(0);
    const OrchestratorStep step = session.received(hello, log_view(), 1);
    REQUIRE(step.send.size() == 1);
    CHECK_FALSE(std::get<Welcome>(step.send[0]).hash_at_witness.has_value());
}

TEST_CASE("orchestrator session: the name must be the certificate's") {
    Hello hello = samples::hello();
    hello.agent = "target";
    CHECK(answer_to(hello) == "agent_name_mismatch");
}

TEST_CASE(
    "orchestrator session: an agent that remembers more than our log is told that we are stale") {
    Hello hello = samples::hello();
    hello.witness.epoch = 6;
    CHECK(answer_to(hello) == "newer_epoch");
    hello = samples::hello();
    hello.witness.lineage = uuid(50);
    CHECK(answer_to(hello) == "other_lineage");
    hello = samples::hello();
    hello.witness.seq = 91;
    CHECK(answer_to(hello) == "log_behind");
    hello = samples::hello();
    hello.witness.hash = hash(50);
    CHECK(answer_to(hello) == "log_differs");
}

TEST_CASE("orchestrator session: an agent without a common version is refused") {
    Hello hello = samples::hello();
    hello.version_min = protocol_max + 1;
    hello.version_max = protocol_max + 2;
    CHECK(answer_to(hello) == "protocol_version");
}

TEST_CASE("orchestrator session: anything before Hello, and a second Hello, is a protocol error") {
    OrchestratorSession session("source");
    (void)session.connected(0);
    const OrchestratorStep early = session.received(ReportMade{report(30)}, log_view(), 1);
    CHECK(closed(early) == "protocol_error");
    CHECK(early.reports.empty());
    (void)session.connected(0);
    (void)session.received(samples::hello(), log_view(), 1);
    CHECK(closed(session.received(samples::hello(), log_view(), 2)) == "protocol_error");
    CHECK(session.received(ReportMade{report(30)}, log_view(), 3).reports.empty());
}

TEST_CASE("orchestrator session: nothing is sent to an agent that was not accepted") {
    OrchestratorSession session("source");
    const EffectWanted wanted = samples::wanted(samples::effects()[2]);
    CHECK(session.want(wanted, 0).send.empty());
    (void)session.connected(0);
    CHECK(session.want(wanted, 1).send.empty());
    (void)session.received(samples::hello(), log_view(), 2);
    CHECK(session.want(wanted, 3).send.size() == 1);
    CHECK(session.withdraw({wanted.effect.id, 5}, 3).send.size() == 1);
    CHECK(session.acknowledge(uuid(30), 3).send.size() == 1);
}

TEST_CASE("orchestrator session: an accepted agent's messages are handed on") {
    OrchestratorSession session("source");
    (void)session.connected(0);
    (void)session.received(samples::hello(), log_view(), 1);
    CHECK(session.received(ReportMade{report(30)}, log_view(), 2).reports.size() == 1);
    CHECK(session.received(ProgressMade{samples::progress()}, log_view(), 2).progress.size() == 1);
    const EffectTaken taken{samples::effect_id(EffectKind::drain)};
    CHECK(session.received(taken, log_view(), 2).taken == std::vector<EffectId>{taken.id});
}

TEST_CASE("orchestrator session: silence beyond dead_ms closes, also before Hello") {
    OrchestratorSession session("source", 1000, 4000);
    (void)session.connected(0);
    CHECK(closed(session.tick(4000)) == "agent_silent");
    (void)session.connected(5000);
    (void)session.received(samples::hello(), log_view(), 5000);
    CHECK(get<Heartbeat>(session.tick(5500).send) != nullptr);
    (void)session.received(Heartbeat{}, log_view(), 8000);
    CHECK(closed(session.tick(11'999)).empty());
    CHECK(closed(session.tick(12'000)) == "agent_silent");
}

TEST_CASE("orchestrator session: before next_tick() a tick has nothing to do") {
    OrchestratorSession session("source", 1000, 4000);
    (void)session.connected(0);
    (void)session.received(samples::hello(), log_view(), 100);
    std::size_t beats = 0;
    std::string why;
    for (SteadyMillis now = 100; why.empty() && now < 10'000; ++now) {
        const bool is_early = now < session.next_tick();
        const OrchestratorStep step = session.tick(now);
        if (is_early) REQUIRE((step.send.empty() && !step.close));
        beats += step.send.size();
        why = closed(step);
    }
    CHECK(why == "agent_silent");
    CHECK(beats == 7);
    CHECK(session.next_tick() > 1'000'000'000);
}

TEST_CASE("sessions: both halves agree with each other") {
    AgentSession agent = new_agent({report(30)});
    OrchestratorSession orchestrator("source");
    (void)orchestrator.connected(0);
    AgentStep from_agent = agent.connected(0);
    const OrchestratorStep greeted = orchestrator.received(from_agent.send[0], log_view(), 1);
    REQUIRE(greeted.send.size() == 1);
    from_agent = agent.received(greeted.send[0], 2);
    REQUIRE(from_agent.welcomed);
    REQUIRE(from_agent.send.size() == 1);
    const OrchestratorStep reported = orchestrator.received(from_agent.send[0], log_view(), 3);
    REQUIRE(reported.reports.size() == 1);
    const auto ack = orchestrator.acknowledge(reported.reports[0].report_id, 4);
    CHECK(agent.received(ack.send[0], 5).acknowledged.size() == 1);
}

}  // namespace
}  // namespace drover::wire
