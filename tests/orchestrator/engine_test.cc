// The engine: one append for what arrived together, one answer for ever, nothing before it is
// durable.
#include "base/sha256.h"
#include "statemachine/codec.h"
#include "statemachine/evolve.h"
#include "statemachine/outstanding.h"
#include "world.h"

#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

using statemachine::Phase;

Submission pause_command(const std::string& job, const Uuid& id, std::uint8_t digest) {
    JobCommand command;
    command.job = job;
    command.command = {id, "operator:ann", "because", statemachine::Cancel{}};
    Hash request;
    request.data.fill(digest);
    return {std::move(command), request};
}

std::vector<EffectId> outstanding_ids(const statemachine::Job& job) {
    std::vector<EffectId> ids;
    for (const Effect& effect : statemachine::outstanding(job)) ids.push_back(effect.id);
    return ids;
}

std::size_t count_events(const eventlog::EventLog& log, statemachine::EventKind kind) {
    std::size_t count = 0;
    REQUIRE(log.read(1, [&](const eventlog::Record& record) {
        if (record.kind == static_cast<std::uint16_t>(kind)) ++count;
        return true;
    }));
    return count;
}

}  // namespace

TEST_CASE("engine: what waits together is committed by one append") {
    World world;
    std::vector<World::Slot> slots;
    for (int i = 0; i < 100; ++i) {
        const std::string name = "job-" + std::to_string(i);
        slots.push_back(world.submit(name, statemachine::Plan{world.spec(name)}));
    }
    const auto before = world.core->engine().counters().appends;
    REQUIRE(world.core->engine().step(world.now().wall_micros));
    CHECK(world.core->engine().counters().appends == before + 1);
    for (const auto& slot : slots) {
        REQUIRE(slot->has_value());
        CHECK(slot->value().has_value());
    }
    CHECK(world.core->state().jobs.size() == 100);
}

TEST_CASE("engine: each command is decided on what the one before it left") {
    World world;
    const auto planned = world.submit("web", statemachine::Plan{world.spec("web")});
    const auto cancelled = world.submit("web", statemachine::Cancel{});
    const auto started = world.submit("web", statemachine::Start{});
    REQUIRE_FALSE(world.settle());
    CHECK(planned->value().has_value());
    CHECK_FALSE(cancelled->value()->rejected);
    REQUIRE(started->value()->rejected);
    CHECK(started->value()->rejected->id == "wrong_phase");
    CHECK(world.phase("web") == Phase::cancelled);
}

TEST_CASE("engine: a wish of an agent is decided on what its batch has decided about it") {
    World world;
    const auto wish = [&world](RegistryWish wished) {
        return world.submit(
            {RegistryCommand{world.random.uuid(), "operator:ann", std::move(wished)}, Hash{}});
    };
    const auto token_of = [](const std::string& agent) { return sha256(as_bytes(agent)); };
    const auto too_early = wish(Enrol{"one", token_of("one"), Hash{}, {}});
    const auto one = wish(CreateToken{"one", token_of("one"), 900});
    const auto two = wish(CreateToken{"two", token_of("two"), 900});
    const auto enrolled = wish(Enrol{"two", token_of("two"), token_of("first"), {}});
    const auto again = wish(Enrol{"two", token_of("two"), token_of("second"), {}});
    const auto stolen = wish(Enrol{"two", token_of("one"), token_of("third"), {}});
    REQUIRE(world.core->engine().step(world.now().wall_micros));
    CHECK(too_early->value().error().id() == "enrolment_denied");
    CHECK(one->value().has_value());
    CHECK(two->value().has_value());
    CHECK(enrolled->value().has_value());
    CHECK(again->value().error().id() == "enrolment_denied");
    CHECK(stolen->value().error().id() == "enrolment_denied");
    CHECK(world.core->state().registry.agents.size() == 1);
}

TEST_CASE("engine: a retry gets the recorded answer, also from a new process") {
    World world;
    world.plan("web");
    const Uuid id = world.random.uuid();
    const auto first = world.submit(pause_command("web", id, 1));
    const auto in_batch = world.submit(pause_command("web", id, 1));
    REQUIRE_FALSE(world.settle());
    const auto seq = world.core->state().seq;
    REQUIRE(first->value());
    CHECK(*first->value() == *in_batch->value());

    world.kill();
    world.start();
    const auto again = world.submit(pause_command("web", id, 1));
    REQUIRE_FALSE(world.settle());
    REQUIRE(again->value());
    CHECK(*again->value() == *first->value());
    CHECK(world.core->state().seq == seq + 1);  // the start of the new process, nothing else
}

TEST_CASE("engine: another request under a used command id is refused") {
    World world;
    world.plan("web");
    const Uuid id = world.random.uuid();
    const auto first = world.submit(pause_command("web", id, 1));
    const auto in_batch = world.submit(pause_command("web", id, 2));
    REQUIRE_FALSE(world.settle());
    const auto later = world.submit(pause_command("web", id, 2));
    REQUIRE_FALSE(world.settle());
    CHECK(first->value().has_value());
    CHECK(in_batch->value().error().id() == "idempotency_conflict");
    CHECK(later->value().error().id() == "idempotency_conflict");
}

TEST_CASE("engine: a refusal is an event, but not more than ten times a minute") {
    World world;
    world.plan("web");
    for (int i = 0; i < 15; ++i) {
        const auto answer = world.command("web", statemachine::Start{});
        REQUIRE(answer);
        CHECK(answer->rejected);
    }
    CHECK(count_events(world.log, statemachine::EventKind::command_rejected) == 10);
    const JobEntry* entry = world.core->state().find("web");
    REQUIRE(entry->last_rejection);
    CHECK(entry->last_rejection->rejected.action == "start");

    world.clock.advance_micros(rejections_window_micros);
    CHECK(world.command("web", statemachine::Start{}));
    CHECK(count_events(world.log, statemachine::EventKind::command_rejected) == 11);
}

TEST_CASE("engine: an append of unknown outcome stops it, and nobody is answered") {
    for (const auto fault :
         {eventlog::AppendFault::indeterminate_lost, eventlog::AppendFault::indeterminate_kept,
          eventlog::AppendFault::conflict}) {
        World world;
        world.add_agent("old");
        world.plan("web");
        world.agent("old").wanted.clear();
        world.log.fail_next_append(fault);
        const auto slot = world.submit("web", statemachine::Cancel{});
        CHECK(world.settle());
        CHECK_FALSE(slot->has_value());
        CHECK(world.agent("old").wanted.empty());

        // A retry after the restart has the same effect whatever had become of the first try.
        world.kill();
        world.start();
        const auto again = world.command("web", statemachine::Cancel{});
        REQUIRE(again);
        CHECK(world.phase("web") == Phase::cancelled);
    }
}

TEST_CASE("engine: a recovered state equals the live one after every step of a whole life") {
    World world;
    world.add_agent("old");
    world.add_agent("new");
    const auto check = [&world](Phase phase) {
        CHECK(world.phase("web") == phase);
        const auto rebuilt = replay(world.log);
        REQUIRE(rebuilt);
        CHECK(*rebuilt == world.core->state());
        CHECK(statemachine::digest_of(rebuilt->find("web")->job) ==
              statemachine::digest_of(world.job("web")));
    };
    world.plan("web");
    check(Phase::ready);
    REQUIRE(world.command("web", statemachine::Start{}));
    check(Phase::syncing);
    REQUIRE(world.command("web", statemachine::Cutover{}));
    check(Phase::holding);
    REQUIRE(
        world.command("web", statemachine::Rollback{statemachine::RollbackMode::discard, "lost"}));
    check(Phase::rolled_back);
    REQUIRE(world.command("web", statemachine::Resync{"lost"}));
    check(Phase::syncing);
    REQUIRE(world.command("web", statemachine::Cutover{}));
    check(Phase::holding);
    REQUIRE(world.command("web", statemachine::Commit{"web"}));
    check(Phase::committed);
    CHECK(world.core->sessions().stale_reports() >= 1);

    world.kill();
    world.start();
    check(Phase::committed);
}

TEST_CASE(
    "engine: killed after the commit and before the network, the same effects are wanted again") {
    World world;
    world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    const auto slot = world.submit("web", statemachine::Cutover{});
    world.turn_unheard();
    REQUIRE(slot->has_value());
    const auto before = outstanding_ids(world.job("web"));
    const auto answer = **slot;
    world.agent("old").wanted.clear();

    world.kill();
    world.start();
    CHECK(outstanding_ids(world.job("web")) == before);
    world.agent("old").silent_on = {EffectKind::fence};
    world.connect(world.agent("old"));
    REQUIRE_FALSE(world.settle());
    const EffectWanted* fence = world.agent("old").find(EffectKind::fence);
    REQUIRE(fence);
    CHECK(fence->epoch == world.core->engine().epoch());
    CHECK(std::find(before.begin(), before.end(), fence->effect.id) != before.end());
    CHECK(answer.has_value());
}

TEST_CASE(
    "engine: with too little space it refuses, keeps reports waiting, and resumes by itself") {
    World world;
    world.add_agent("old");
    world.add_agent("new");
    world.agent("old").answers = false;
    world.agent("new").answers = false;
    world.plan("web");
    const auto seq = world.core->state().seq;
    world.log.set_free_bytes(world.options.reserve_bytes - 1);

    const auto refused = world.command("web", statemachine::Cancel{});
    CHECK(refused.error().id() == "log_volume_full");
    FakeAgent& agent = world.agent("old");
    const Effect effect = agent.find(EffectKind::preflight)->effect;
    const Report report{world.random.uuid(), effect.id, success_of(effect).front()};
    world.report(agent, report);
    REQUIRE_FALSE(world.settle());
    CHECK(agent.acknowledged.empty());
    CHECK(world.core->state().seq == seq);

    world.log.set_free_bytes(UINT64_MAX);
    world.pass_ms(1000);
    REQUIRE_FALSE(world.settle());
    CHECK(agent.acknowledged == std::vector<Uuid>{report.report_id});
    CHECK(world.job("web").preflight[0]);
}

TEST_CASE("engine: a full queue refuses at once") {
    World world;
    std::vector<World::Slot> slots;
    for (std::size_t i = 0; i < commands_queued_max; ++i) {
        slots.push_back(world.submit("nope", statemachine::Pause{}));
    }
    const auto refused = world.submit("nope", statemachine::Pause{});
    REQUIRE(refused->has_value());
    CHECK(refused->value().error().id() == "queue_full");
    REQUIRE_FALSE(world.settle());
    CHECK(slots.back()->value().error().id() == "job_not_found");
}

TEST_CASE("engine: a disk is in one job at a time, a name too") {
    World world;
    world.plan("web");
    CHECK(world.command("web", statemachine::Plan{world.spec("web")}).error().id() ==
          "job_name_taken");
    JobSpec other = world.spec("other");
    other.disks = world.spec("web").disks;
    CHECK(world.command("other", statemachine::Plan{other}).error().id() == "disk_in_other_job");
    // Two plans for one disk in one batch: the second sees the first.
    JobSpec third = world.spec("third");
    JobSpec fourth = world.spec("fourth");
    fourth.disks = third.disks;
    const auto taken = world.submit("third", statemachine::Plan{third});
    const auto late = world.submit("fourth", statemachine::Plan{fourth});
    REQUIRE_FALSE(world.settle());
    CHECK(taken->value().has_value());
    CHECK(late->value().error().id() == "disk_in_other_job");

    REQUIRE(world.command("web", statemachine::Cancel{}));
    world.add_agent("old");
    world.add_agent("new");
    const JobId first = world.job("web").id;
    CHECK(world.command("web", statemachine::Plan{world.spec("web")}));
    CHECK(world.job("web").id != first);
    CHECK(world.core->state().find(uuid_text(first))->job.phase == Phase::cancelled);
}

TEST_CASE("engine: a command for another version of the job is refused") {
    World world;
    world.plan("web");
    Submission submission = pause_command("web", world.random.uuid(), 1);
    std::get<JobCommand>(submission.command).expected_version = world.job("web").version + 1;
    const auto slot = world.submit(std::move(submission));
    REQUIRE_FALSE(world.settle());
    CHECK(slot->value().error().id() == "version_mismatch");
}

TEST_CASE("recovery: an unknown event stops the start, an illegal history stops one job") {
    World world;
    world.plan("good");
    world.plan("bad");
    eventlog::Append append;
    append.stream = {eventlog::StreamKind::job, world.job("bad").id};
    append.expected_stream_seq = world.log.stream_head(append.stream).seq;
    // Released, but never planned to be fenced.
    const statemachine::Event illegal = statemachine::TargetActivated{1};
    append.events.push_back({static_cast<std::uint16_t>(kind_of(illegal)), 1, Uuid{}, "system", 0,
                             statemachine::encode_event(illegal)});
    REQUIRE(world.log.append({&append, 1}, world.core->engine().epoch(), start_micros).outcome ==
            eventlog::AppendOutcome::ok);
    world.kill();
    world.start();
    REQUIRE(world.core->state().find("bad")->illegal);
    CHECK(world.command("bad", statemachine::Cancel{}).error().id() == "job_history_not_legal");
    CHECK(world.command("good", statemachine::Cancel{}));
    CHECK(world.phase("good") == Phase::cancelled);

    append.expected_stream_seq = world.log.stream_head(append.stream).seq;
    append.events.front().kind = 999;
    REQUIRE(world.log.append({&append, 1}, world.core->engine().epoch(), start_micros).outcome ==
            eventlog::AppendOutcome::ok);
    const auto rebuilt = replay(world.log);
    REQUIRE_FALSE(rebuilt);
    CHECK(rebuilt.error().id() == "unknown_event");
}

}  // namespace drover::orchestrator::testing
