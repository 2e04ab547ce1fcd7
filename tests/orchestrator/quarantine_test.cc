// A job whose history is not legal is left alone, is seen, and holds up nobody else.
#include "orchestrator/job_json.h"
#include "orchestrator/metrics.h"
#include "statemachine/codec.h"
#include "statemachine/outstanding.h"
#include "world.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

using statemachine::Phase;
namespace json = boost::json;

void append_fact(World& world, const JobId& job, const statemachine::Event& fact) {
    eventlog::Append append;
    append.stream = {eventlog::StreamKind::job, job};
    append.expected_stream_seq = world.log.stream_head(append.stream).seq;
    append.events.push_back({static_cast<std::uint16_t>(kind_of(fact)), 1, Uuid{}, "system", 0,
                             statemachine::encode_event(fact)});
    REQUIRE(world.log.append({&append, 1}, world.core->engine().epoch(), start_micros).outcome ==
            eventlog::AppendOutcome::ok);
}

/// "bad" is in sync; then it was committed without a cutover, says the log.
void damage(World& world) {
    for (const char* name : {"old", "new"}) world.add_agent(name);
    world.sync("bad");
    append_fact(world, world.job("bad").id, statemachine::Committed{"operator:nobody"});
    world.kill();
    world.start();
    REQUIRE(world.core->state().find("bad")->illegal);
}

json::object shown(const World& world) {
    return job_json(*world.core, *world.core->state().find("bad"), world.now().wall_micros);
}

std::vector<std::string> texts(const json::value& list) {
    std::vector<std::string> out;
    for (const json::value& text : list.as_array()) out.emplace_back(text.as_string());
    return out;
}

}  // namespace

TEST_CASE("quarantine: what is wrong, what was expected and what goes on is shown") {
    World world;
    damage(world);
    const json::object job = shown(world);
    CHECK(job.at("quarantined").as_bool());
    CHECK(job.at("phase").as_string() == "syncing");
    CHECK(job.at("allowed_actions").as_array().empty());
    const json::object& quarantine = job.at("quarantine").as_object();
    CHECK(quarantine.at("id").as_string() == "history_not_legal");
    CHECK(quarantine.at("event").at("event").as_string() == "Committed");
    CHECK(quarantine.at("left_out").to_number<int>() == 1);
    const auto expected = texts(quarantine.at("expected"));
    CHECK(std::count(expected.begin(), expected.end(), "CutoverArmed") == 1);
    std::set<std::string> kinds;
    for (const json::value& effect : quarantine.at("agents_keep").as_array())
        kinds.emplace(effect.at("kind").as_string());
    CHECK(kinds.contains("replicate"));
    const std::string metrics = metrics_text(*world.core);
    CHECK(metrics.find("drover_jobs_quarantined 1\n") != std::string::npos);
}

TEST_CASE("quarantine: no effect leaves, none is taken back, and no command is taken") {
    World world;
    damage(world);
    for (const char* name : {"old", "new"}) world.connect(world.agent(name));
    REQUIRE_FALSE(world.settle());
    world.pass_ms(60'000);
    for (const char* name : {"old", "new"}) {
        CHECK(world.agent(name).wanted.empty());
        CHECK(world.agent(name).withdrawn.empty());
    }
    const std::vector<statemachine::Wish> wishes = {statemachine::Cancel{}, statemachine::Pause{},
                                                    statemachine::LiftQuarantine{},
                                                    statemachine::DeleteData{}};
    for (const statemachine::Wish& wish : wishes)
        CHECK(world.command("bad", wish).error().id() == "job_history_not_legal");
}

TEST_CASE("quarantine: a fact after the illegal one changes nothing") {
    World world;
    damage(world);
    const JobEntry before = *world.core->state().find("bad");
    append_fact(world, before.job.id, statemachine::Cancelled{"operator:test"});
    world.kill();
    world.start();
    CHECK(*world.core->state().find("bad") == before);
    CHECK(shown(world).at("quarantine").at("left_out").to_number<int>() == 2);
}

TEST_CASE("quarantine: reports about the job stay with its agent and take no other's room") {
    World world;
    damage(world);
    FakeAgent& agent = world.agent("old");
    const Effect replicate = statemachine::outstanding(world.job("bad")).front();
    const auto generation = world.job("bad").generation;
    world.connect(agent);
    REQUIRE_FALSE(world.settle());
    const std::size_t acknowledged = agent.acknowledged.size();
    for (std::size_t i = 0; i <= reports_waiting_max; ++i)
        world.report(agent, {world.random.uuid(), replicate.id,
                             DataStateNow{DataState::catching_up, generation, 0}});
    REQUIRE_FALSE(world.settle());
    CHECK(agent.acknowledged.size() == acknowledged);
    CHECK(agent.refused.empty());
    CHECK(world.core->sessions().is_connected("old"));
}

}  // namespace drover::orchestrator::testing
