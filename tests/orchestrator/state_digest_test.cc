// Digests of state in the log: where they stand, and what a replay makes of one that differs.
#include "statemachine/state_digest.h"

#include "history/offline_replay.h"
#include "statemachine/codec.h"
#include "world.h"

#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

void add_agents(World& world) {
    world.add_agent("old");
    world.add_agent("new");
}

std::vector<StateDigest> digests_in(const eventlog::EventLog& log) {
    std::vector<StateDigest> found;
    REQUIRE(log.read(1, [&found](const eventlog::Record& record) {
        if (record.stream.kind != eventlog::StreamKind::system) return true;
        const auto fact = decode_fact(record.kind, record.kind_version, record.payload);
        REQUIRE(fact);
        if (const auto* digest = std::get_if<StateDigest>(&*fact)) found.push_back(*digest);
        return true;
    }));
    return found;
}

/// Two facts each time.
void pause_and_resume(World& world, const std::string& job, int times) {
    for (int i = 0; i < times; ++i) {
        REQUIRE_FALSE(world.command(job, statemachine::Pause{})->rejected);
        REQUIRE_FALSE(world.command(job, statemachine::Resume{})->rejected);
    }
}

/// The log of `from` with `change` done to its events, under a chain that is right again.
eventlog::MemoryLog rewritten(
    const eventlog::MemoryLog& from,
    const std::function<void(const eventlog::Record&, eventlog::NewEvent&)>& change) {
    eventlog::MemoryLog log(from.head().lineage);
    eventlog::Epoch epoch = 0;
    REQUIRE(from.read(1, [&](const eventlog::Record& record) {
        while (epoch < record.epoch) epoch = log.raise_epoch(record.wall_micros).value();
        eventlog::NewEvent event{record.kind,  record.kind_version, record.command_id,
                                 record.actor, record.cause,        record.payload};
        change(record, event);
        const eventlog::Append append{
            record.stream, log.stream_head(record.stream).seq, {std::move(event)}, {}};
        return log.append({&append, 1}, epoch, record.wall_micros).outcome ==
               eventlog::AppendOutcome::ok;
    }));
    REQUIRE(log.head().seq == from.head().seq);
    return log;
}

}  // namespace

TEST_CASE("state digests: one stands behind every 32nd fact of a job, in the same append") {
    World world;
    add_agents(world);
    world.sync("web");
    pause_and_resume(world, "web", 40);
    const auto found = digests_in(world.log);
    REQUIRE(found.size() == world.job("web").version / statemachine::digest_every);
    for (std::size_t i = 0; i < found.size(); ++i) {
        CHECK(found[i].job == world.job("web").id);
        CHECK(found[i].stream_seq / statemachine::digest_every == i + 1);
        CHECK(found[i].version == statemachine::digest_version);
    }
    // Nobody's state came to another digest: neither live nor on replay.
    CHECK_FALSE(world.core->state().find("web")->illegal);
    const auto rebuilt = replay(world.log);
    REQUIRE(rebuilt);
    CHECK(*rebuilt == world.core->state());
}

TEST_CASE("state digests: commands of one batch leave the digest of what each led to") {
    World world;
    add_agents(world);
    world.sync("web");
    for (int i = 0; i < 60; ++i) {
        if (i % 2 == 0) {
            (void)world.submit("web", statemachine::Pause{});
        } else {
            (void)world.submit("web", statemachine::Resume{});
        }
    }
    REQUIRE_FALSE(world.settle());
    CHECK(digests_in(world.log).size() >= 2);
    CHECK_FALSE(world.core->state().find("web")->illegal);
    CHECK(replay(world.log).value() == world.core->state());
}

TEST_CASE("state digests: a job whose facts lead elsewhere is left alone, the others run") {
    World world;
    add_agents(world);
    world.sync("web");
    world.plan("other");
    pause_and_resume(world, "web", 20);
    // Another size of the backlog in one fact: legal, and not what was decided.
    const JobId web = world.job("web").id;
    bool changed = false;
    eventlog::MemoryLog log =
        rewritten(world.log, [&](const eventlog::Record& record, eventlog::NewEvent& event) {
            if (changed || record.stream.id != web) return;
            auto fact = decode_record_fact(record);
            auto* limits = std::get_if<statemachine::DataStateChanged>(
                &std::get<statemachine::Event>(fact.value()));
            if (limits == nullptr) return;
            limits->backlog_bytes += 1;
            event.payload = statemachine::encode_event(*limits);
            changed = true;
        });
    REQUIRE(changed);
    const auto state = replay(log);
    REQUIRE(state);
    const JobEntry* entry = state->find("web");
    REQUIRE(entry->illegal);
    CHECK(entry->illegal->id() == "state_diverged");
    CHECK_FALSE(entry->illegal->next().empty());
    CHECK_FALSE(state->find("other")->illegal);
    // It names the first digest that differs: what is before it is right.
    CHECK(entry->job.version == digests_in(world.log).front().stream_seq);

    world.kill();
    world.log = std::move(log);
    world.start();
    CHECK(world.command("web", statemachine::Cancel{}).error().id() == "job_history_not_legal");
    CHECK_FALSE(world.command("other", statemachine::Cancel{})->rejected);
}

TEST_CASE("offline replay: what is not legal, missing, altered or led elsewhere is found") {
    World world;
    add_agents(world);
    world.sync("web");
    pause_and_resume(world, "web", 20);
    std::vector<eventlog::Record> records;
    REQUIRE(world.log.read(1, [&records](const eventlog::Record& record) {
        records.push_back(record);
        return true;
    }));
    using Change = std::function<bool(eventlog::Record&)>;  // false leaves the event out
    const auto found = [&](const Change& change) {
        OfflineReplay replay(world.log.head().lineage);
        for (eventlog::Record record : records) {
            if (!change(record)) continue;
            REQUIRE(replay.take(eventlog::encode_record(record)));
        }
        std::set<std::string> ids;
        for (const ReplayFinding& finding : replay.findings()) ids.insert(finding.id);
        return ids;
    };
    using Ids = std::set<std::string>;
    CHECK(found([](eventlog::Record&) { return true; }).empty());
    const auto is = [](const eventlog::Record& record, statemachine::EventKind kind) {
        return record.stream.kind == eventlog::StreamKind::job &&
               record.kind == static_cast<std::uint16_t>(kind);
    };
    CHECK(found([&](eventlog::Record& record) {
              return !is(record, statemachine::EventKind::mirror_started);
          }) == Ids{"event_missing", "history_not_legal"});
    CHECK(found([&](eventlog::Record& record) {
              if (!is(record, statemachine::EventKind::data_state_changed)) return true;
              auto fact = std::get<statemachine::Event>(decode_record_fact(record).value());
              std::get<statemachine::DataStateChanged>(fact).backlog_bytes += 1;
              record.payload = statemachine::encode_event(fact);
              return true;
          }) == Ids{"event_hash_wrong", "state_diverged"});
}

TEST_CASE("starts: two copies of a log that start at the same time write different events") {
    World world;
    world.plan("web");
    world.kill();
    eventlog::MemoryLog one = world.log;
    eventlog::MemoryLog two = world.log;
    SystemRandom random;
    const auto start = [&random, &world](eventlog::MemoryLog& log) {
        REQUIRE(Core::start({log, random, [](ByteView) { return Result<Bytes>(Bytes(64)); }, {}},
                            world.now()));
    };
    start(one);
    start(two);
    CHECK(one.head().seq == two.head().seq);
    CHECK(one.head().hash != two.head().hash);
}

}  // namespace drover::orchestrator::testing
