// The past and what would be: over random lives, a state that is rebuilt is the state that was, and
// what a command would do is what it then does.
#include "history/comparison.h"
#include "history/difference.h"
#include "history/fact_json.h"
#include "history/job_past.h"
#include "history/replay_check.h"
#include "history/what_if.h"
#include "statemachine/codec.h"
#include "statemachine/outstanding.h"
#include "world.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

void add_agents(World& world) {
    world.add_agent("old");
    world.add_agent("new");
}

namespace json = boost::json;

constexpr int lives = 40;
constexpr int steps_per_life = 60;

/// Anything that a person may type, mostly with the arguments that it needs.
statemachine::Wish random_wish(SeededRandom& dice) {
    const auto& wishes = statemachine::operator_wishes();
    statemachine::Wish wish = wishes.at(dice.below(wishes.size()));
    const std::string loss = dice.below(3) == 0 ? "" : "all of it";
    if (auto* commit = std::get_if<statemachine::Commit>(&wish)) commit->confirm = "web";
    if (auto* deletion = std::get_if<statemachine::DeleteData>(&wish)) deletion->confirm = "web";
    if (auto* rollback = std::get_if<statemachine::Rollback>(&wish))
        rollback->acknowledged_loss = loss;
    if (auto* resync = std::get_if<statemachine::Resync>(&wish)) resync->acknowledged_loss = loss;
    if (auto* throttle = std::get_if<statemachine::Throttle>(&wish))
        throttle->limits.rate_bytes_per_s = dice.below(1000);
    return wish;
}

/// Steps that end a life are rare, so that there is one to look at.
bool is_the_end(const statemachine::Wish& wish) {
    return std::holds_alternative<statemachine::Cancel>(wish) ||
           std::holds_alternative<statemachine::Commit>(wish);
}

/// The world does something by itself: a link goes, an agent falls silent or fails, time passes.
void happen(World& world, SeededRandom& dice) {
    FakeAgent& agent = world.agent(dice.below(2) == 0 ? "old" : "new");
    switch (dice.below(5)) {
        case 0:
            if (agent.connection == 0) {
                world.connect(agent);
            } else {
                world.disconnect(agent);
            }
            break;
        case 1:
            agent.answers = !agent.answers;
            break;
        case 2:
            if (agent.connection != 0 && !agent.wanted.empty()) {
                const Error broken(Errc::io, "broke", "it broke", "all", "look");
                world.report(agent, {world.random.uuid(), agent.wanted.back().effect.id,
                                     StepFailed{broken}});
            }
            break;
        case 3:
            world.pass_ms(static_cast<std::int64_t>(dice.below(60'000)));
            break;
        default:
            if (agent.connection == 0) world.connect(agent);
            agent.answers = true;
            break;
    }
    REQUIRE_FALSE(world.settle());
}

JobCommand command_on_web(World& world, statemachine::Wish wish) {
    JobCommand command;
    command.job = "web";
    command.command = {world.random.uuid(), "operator:ann", "because", std::move(wish)};
    return command;
}

json::object what_if(World& world, const JobCommand& command) {
    const auto decision = world.core->engine().dry_run(command, world.now().wall_micros);
    REQUIRE(decision);
    const auto shown =
        what_if_json(*world.core->state().find("web"),
                     {"tried", *decision, world.core->state().seq + 1, world.now().wall_micros});
    REQUIRE(shown);
    return *shown;
}

/// The facts of the job from `first` on, in the form of what-if.
json::array facts_from(const World& world, eventlog::Seq first) {
    json::array out;
    REQUIRE(world.log.read(first, [&](const eventlog::Record& record) {
        if (record.stream.kind != eventlog::StreamKind::job) return true;
        const auto fact = decode_record_fact(record);
        json::object data = data_json(fact.value());
        if (name_of(*fact) == "CutoverStarted") data["token"] = nullptr;
        out.push_back(
            {{"seq", record.seq}, {"event", to_json(name_of(*fact))}, {"data", std::move(data)}});
        return true;
    }));
    return out;
}

json::array outstanding_of(const statemachine::Job& job) {
    json::array out;
    for (const Effect& effect : statemachine::outstanding(job)) {
        out.push_back({{"kind", to_json(name_of(effect.id.kind))},
                       {"side", to_json(name_of(effect.id.side))},
                       {"agent", effect.agent}});
    }
    return out;
}

/// Tries the command, gives it, and compares. True if it was accepted.
bool try_and_do(World& world, statemachine::Wish wish) {
    const JobCommand command = command_on_web(world, std::move(wish));
    INFO(action_of(command.command.wish));
    const json::object tried = what_if(world, command);
    const eventlog::Seq before = world.core->state().seq;
    const auto slot = world.submit({command, Hash{}});
    REQUIRE(world.core->engine().step(world.now().wall_micros));
    const Answer answer = slot->value().value();
    CHECK(world.core->state().find("web")->illegal == std::nullopt);
    if (answer.rejected) {
        const json::object& refused = tried.at("refused").as_object();
        CHECK(refused.at("id").as_string() == answer.rejected->id.c_str());
        CHECK(refused.at("detail").as_string() == answer.rejected->detail.c_str());
        CHECK(refused.at("next").as_string() == answer.rejected->next.c_str());
        CHECK(tried.at("events").as_array().empty());
        return false;
    }
    CHECK(tried.at("accepted").as_bool());
    if (answer.event_count > 0) {
        CHECK(json::serialize(tried.at("events")) ==
              json::serialize(facts_from(world, before + 1)));
    } else {
        CHECK(tried.at("events").as_array().empty());
    }
    CHECK(json::serialize(tried.at("outstanding")) ==
          json::serialize(outstanding_of(world.job("web"))));
    CHECK(tried.at("phase_after").as_string() ==
          to_json(statemachine::name_of(world.phase("web"))));
    return true;
}

/// A job in a world where anything happens; `look` is called whenever it has come to rest.
template <class Look>
unsigned live(std::uint64_t seed, const Look& look) {
    World world;
    add_agents(world);
    SeededRandom dice(seed);
    if (dice.below(4) == 0) {
        world.plan("web");
    } else {
        world.sync("web");
    }
    unsigned accepted = 0;
    for (int step = 0; step < steps_per_life; ++step) {
        INFO("seed " << seed << ", step " << step);
        if (dice.below(2) == 0) {
            happen(world, dice);
        } else {
            statemachine::Wish wish = random_wish(dice);
            if (is_the_end(wish) && dice.below(8) != 0) continue;
            if (try_and_do(world, std::move(wish))) ++accepted;
            REQUIRE_FALSE(world.settle());
        }
        look(world);
    }
    return accepted;
}

}  // namespace

TEST_CASE("what-if: it says what the command then does, over random lives") {
    unsigned accepted = 0;
    for (std::uint64_t seed = 1; seed <= lives; ++seed) {
        accepted += live(seed, [](const World&) {});
    }
    // Lives in which everything is refused prove nothing.
    CHECK(accepted > lives * 3);
}

TEST_CASE("job at: it is the live state of when that event was the last, over random lives") {
    for (std::uint64_t seed = 1; seed <= lives; ++seed) {
        std::map<eventlog::Seq, JobEntry> was;
        eventlog::MemoryLog log{Uuid{}};
        live(seed, [&](const World& world) {
            was[world.core->state().seq] = *world.core->state().find("web");
            log = world.log;
        });
        INFO("seed " << seed);
        REQUIRE(was.size() > 5);
        for (const auto& [seq, entry] : was) {
            INFO("seq " << seq);
            const auto past = job_at(log, was.rbegin()->second, seq);
            REQUIRE(past);
            CHECK(past->entry == entry);
        }
    }
}

TEST_CASE("job at: a point that is not there is an error that says what to do") {
    World world;
    world.plan("web");
    const JobEntry& web = *world.core->state().find("web");
    const auto too_far = job_at(world.log, web, world.core->state().seq + 1);
    CHECK(too_far.error().id() == "seq_not_reached");
    CHECK_FALSE(too_far.error().next().empty());
    CHECK(job_at(world.log, web, 0).error().id() == "job_not_yet");
    CHECK(job_at(world.log, web, 1).error().id() == "job_not_yet");
    const WallMicros now = world.now().wall_micros;
    CHECK(seq_at(world.log, web, now + 1, now).error().id() == "time_in_future");
    CHECK(seq_at(world.log, web, web.job.created_micros - 1, now).error().id() == "job_not_yet");
    CHECK(seq_at(world.log, web, now, now));
}

TEST_CASE("compare: two jobs that lived alike are equal but for ids, times and names") {
    World world;
    add_agents(world);
    for (const char* name : {"one", "two"}) {
        world.sync(name);
        REQUIRE_FALSE(world.command(name, statemachine::Cutover{})->rejected);
        world.pass_ms(1000);
    }
    const auto compare = [&world] {
        return compare_jobs(world.log, *world.core->state().find("one"),
                            *world.core->state().find("two"));
    };
    const auto same = compare();
    REQUIRE(same);
    INFO(json::serialize(*same));
    CHECK(same->at("equal").as_bool());

    REQUIRE_FALSE(world.command("two", statemachine::Commit{"two"})->rejected);
    const auto longer = compare();
    const json::object& parting = longer.value().at("first_other_event").as_object();
    CHECK(parting.at("facts").as_array()[0].is_null());
    CHECK(parting.at("facts").as_array()[1].at("event").as_string() == "Committed");
}

TEST_CASE("replay check: slices end where the live state is, which went on meanwhile") {
    World world;
    add_agents(world);
    world.sync("web");
    ReplayCheck check(world.log, world.core->state());
    int slices = 0;
    while (true) {
        const auto done = check.advance(3);
        REQUIRE(done);
        if (*done) break;
        // The others are served between two slices.
        if (++slices == 2) REQUIRE_FALSE(world.command("web", statemachine::Pause{})->rejected);
    }
    CHECK(slices > 3);
    CHECK(check.compare(world.core->state()).at("ok").as_bool());

    State other = world.core->state();
    other.jobs.begin()->second.job.backlog_bytes += 7;
    const json::object answer = check.compare(other);
    CHECK_FALSE(answer.at("ok").as_bool());
    const json::string& detail = answer.at("differences").as_array()[0].at("detail").as_string();
    CHECK(std::string(detail.c_str()).find("backlog_bytes: live 7, rebuilt 0") !=
          std::string::npos);
}

TEST_CASE("differences: fields that are new, gone and other, by their path") {
    const json::value from = json::object{{"a", 1}, {"b", json::array{1, 2}}, {"c", nullptr}};
    const json::value to = json::object{{"a", 2}, {"b", json::array{1}}, {"c", "x"}};
    const std::vector<FieldChange> wanted{
        {"a", "1", "2"}, {"b[1]", "2", std::nullopt}, {"c", std::nullopt, "\"x\""}};
    CHECK(changes(from, to) == wanted);
    CHECK(changes(from, from).empty());
}

}  // namespace drover::orchestrator::testing
