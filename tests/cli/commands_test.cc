#include "cli/commands.h"

#include "base/file.h"
#include "cli/command_line.h"
#include "fake_server.h"

#include <catch2/catch.hpp>

using namespace drover;
using namespace drover::cli;

namespace drover::cli {

ExitCode CliWorld::run(const std::vector<std::string>& words) {
    const Parsed parsed = parse_command_line(words);
    INFO(parsed.text);
    REQUIRE_FALSE(parsed.done);
    Console console(out, err, {parsed.arguments.format, parsed.arguments.quiet, false});
    Client api = client(parsed.arguments.retry_for_s);
    return run_command({api, console}, parsed.arguments);
}

}  // namespace drover::cli

namespace {

std::string job_in(std::string_view phase, std::uint64_t version,
                   std::string_view data_state = "idle") {
    return JsonObject{}
        .text("name", "web-01")
        .text("phase", phase)
        .text("data_state", data_state)
        .number("version", version)
        .number("as_of_seq", version)
        .raw("parked", "null")
        .str();
}

constexpr const char* blocked_job =
    R"({"name":"web-01","phase":"blocked","version":4,"findings":[)"
    R"({"severity":"info","id":"tracker","object":"/dev/vda","detail":"ebpf"},)"
    R"({"severity":"critical","id":"target_not_blank","object":"/dev/vdb",)"
    R"("detail":"ext4 found","next":"expose it"}]})";

std::string facts(std::initializer_list<std::pair<std::uint64_t, std::string_view>> list) {
    std::string items;
    for (const auto& [seq, event] : list) {
        items += (items.empty() ? "" : ",") + JsonObject{}
                                                  .number("seq", seq + 100)
                                                  .number("stream_seq", seq)
                                                  .text("event", event)
                                                  .str();
    }
    return "{\"items\":[" + items + "]}";
}

}  // namespace

TEST_CASE("commands: data goes to stdout, the hint to stderr") {
    CliWorld world;
    world.server.answer(job_in("ready", 3));
    CHECK(world.run({"job", "show", "web-01"}) == ExitCode::ok);
    CHECK(world.out.str().find("web-01  ready\n") == 0);
    CHECK(world.err.str() == "Next: drover job start web-01\n");
}

TEST_CASE("commands: a list has a form for people, for programs and for shells") {
    const std::string list =
        R"({"items":[{"name":"a","phase":"ready"},{"name":"b","phase":"ready"}]})";
    const auto output = [&list](const std::string& format) {
        CliWorld world;
        world.server.answer(list);
        CHECK(world.run({"job", "list", "-o", format}) == ExitCode::ok);
        return world.out.str();
    };
    CHECK(output("name") == "a\nb\n");
    CHECK(output("jsonl") ==
          "{\"name\":\"a\",\"phase\":\"ready\"}\n{\"name\":\"b\",\"phase\":\"ready\"}\n");
    CHECK(output("json").find("{\n  \"items\": [\n    {\n      \"name\": \"a\",") == 0);
    CHECK(output("text").find("NAME") == 0);
}

TEST_CASE("commands: an empty list is an empty list") {
    CliWorld world;
    world.server.answer(R"({"items":[],"as_of_seq":0})");
    CHECK(world.run({"job", "list", "-o", "json"}) == ExitCode::ok);
    CHECK(world.out.str() == "{\n  \"items\": [],\n  \"as_of_seq\": 0\n}\n");
}

TEST_CASE("commands: a refusal says what is kept and what is next, on stderr only") {
    const std::string problem =
        R"({"type":"urn:drover:error:cutover_lagging","code":"cutover_lagging",)"
        R"("detail":"backlog 9 MiB","kept":"both disks","next":"wait"})";
    CliWorld text;
    text.server.answer(problem, 409);
    CHECK(text.run({"job", "cutover", "web-01"}) == ExitCode::refused);
    CHECK(text.out.str().empty());
    CHECK(text.err.str() ==
          "drover: cutover_lagging: backlog 9 MiB\n  kept: both disks\n  next: wait\n");
    CliWorld json;
    json.server.answer(problem, 409);
    CHECK(json.run({"job", "cutover", "web-01", "-o", "json"}) == ExitCode::refused);
    CHECK(json.out.str().empty());
    CHECK(json.err.str() == problem + "\n");
}

TEST_CASE("commands: an action posts to its path with its options") {
    CliWorld world;
    world.server.answer(R"({"job":)" + job_in("fencing", 8) +
                        R"(,"events":[{"seq":8,"event":"CutoverStarted"}]})");
    CHECK(world.run({"job", "cutover", "web-01", "--reason", "CHG-1", "--outage-max", "5m",
                     "--if-version", "7", "--request-id",
                     "6f1c0000-0000-4000-8000-000000000001"}) == ExitCode::ok);
    REQUIRE(world.server.asked.size() == 1);
    CHECK(world.server.asked[0].method == "POST");
    CHECK(world.server.asked[0].target == "/v1/jobs/web-01/actions/cutover");
    CHECK(world.server.asked[0].body == R"({"reason":"CHG-1","outage_max_s":300})");
    CHECK(world.server.header("If-Match") == std::vector<std::string>{"\"7\""});
    CHECK(world.server.header("Idempotency-Key") ==
          std::vector<std::string>{"6f1c0000-0000-4000-8000-000000000001"});
    CHECK(world.out.str().find("8  CutoverStarted\n") == 0);
}

TEST_CASE("commands: a history of several pages is shown whole") {
    CliWorld world;
    world.server.answer(
        R"({"items":[{"seq":1,"stream_seq":1,"event":"JobPlanned"}],"as_of_seq":9,"next_from":2})");
    world.server.answer(
        R"({"items":[{"seq":7,"stream_seq":2,"event":"PreflightPassed"}],"as_of_seq":9})");
    CHECK(world.run({"job", "history", "web-01", "-o", "jsonl"}) == ExitCode::ok);
    CHECK(world.out.str() ==
          "{\"seq\":1,\"stream_seq\":1,\"event\":\"JobPlanned\"}\n"
          "{\"seq\":7,\"stream_seq\":2,\"event\":\"PreflightPassed\"}\n");
    CHECK(world.server.asked[1].target == "/v1/jobs/web-01/history?from=2");
}

TEST_CASE("commands: a name that is no name never becomes part of a path") {
    for (const char* name : {"../agents", "a/b", "A", "a?x", ""}) {
        INFO(name);
        CliWorld world;
        CHECK(world.run({"job", "show", name}) == ExitCode::usage);
        CHECK(world.server.asked.empty());
    }
}

TEST_CASE("commands: an audit that fails has its own exit code") {
    CliWorld world;
    world.server.answer(R"({"ok":false,"first_bad":{"seq":4}})");
    CHECK(world.run({"audit", "verify"}) == ExitCode::integrity);
    world.server.answer(R"({"ok":false,"differences":[{"job":"a","seq":4}]})");
    CHECK(world.run({"replay", "check"}) == ExitCode::integrity);
    world.server.answer(R"({"ok":true})");
    CHECK(world.run({"audit", "verify"}) == ExitCode::ok);
}

TEST_CASE("watch: prints the facts and ends when the phase is reached, over a lost connection") {
    CliWorld world;
    world.server.answer(job_in("fencing", 8));
    world.server.answer(job_in("draining", 9));
    world.server.answer(facts({{9, "SourceFenced"}}));
    world.server.answers.emplace_back(FakeServer::lost());
    world.server.answer(job_in("verifying", 10));
    world.server.answer(facts({{10, "DeltaDrained"}}));
    CHECK(world.run({"job", "watch", "web-01", "--until", "verifying"}) == ExitCode::ok);
    CHECK(world.out.str() == "109  SourceFenced\n110  DeltaDrained\n");
    CHECK(world.server.asked[2].target == "/v1/jobs/web-01/history?from=9");
}

TEST_CASE("watch: a phase that was passed between two rounds was reached") {
    CliWorld world;
    world.server.answer(job_in("fencing", 8));
    world.server.answer(job_in("holding", 12));
    world.server.answer(facts({{9, "SourceFenced"},
                               {10, "DeltaDrained"},
                               {11, "TargetVerified"},
                               {12, "TargetActivated"}}));
    CHECK(world.run({"job", "watch", "web-01", "--until", "verifying"}) == ExitCode::ok);
    CHECK(world.err.str().find("has been verifying") != std::string::npos);
}

TEST_CASE("watch: in_sync is a state of the data, not a phase") {
    CliWorld world;
    world.server.answer(job_in("syncing", 8, "catching_up"));
    world.server.answer(job_in("syncing", 8, "in_sync"));
    CHECK(world.run({"job", "watch", "web-01", "--until", "in_sync"}) == ExitCode::ok);
}

TEST_CASE("watch: a job that ends in another phase has its own exit code") {
    CliWorld world;
    world.server.answer(job_in("cancelled", 8));
    CHECK(world.run({"job", "watch", "web-01", "--until", "holding"}) == ExitCode::ended_otherwise);
    world.server.answer(job_in("cancelled", 8));
    CHECK(world.run({"job", "watch", "web-01"}) == ExitCode::ok);
}

TEST_CASE("watch: a blocked job is nothing to wait for, unless its preflight runs") {
    CliWorld world;
    world.server.answer(job_in("blocked", 4));
    world.server.answer(R"({"outstanding":[{"kind":"preflight"}]})");
    world.server.answer(blocked_job);
    world.server.answer(R"({"outstanding":[]})");
    CHECK(world.run({"job", "watch", "web-01", "--until", "ready"}) ==
          ExitCode::preflight_critical);
    CHECK(world.err.str().find(
              "critical  target_not_blank  /dev/vdb: ext4 found (next: expose it)\n") !=
          std::string::npos);
    CHECK(world.waits == 1);
}

TEST_CASE("watch: what it knows of facts and phases is what the diagram says") {
    const auto diagram = read_text(DROVER_ROOT "/docs/state-machine.md");
    REQUIRE(diagram.has_value());
    std::istringstream lines(*diagram);
    std::size_t edges = 0;
    for (std::string from, arrow, to, fact, line; std::getline(lines, line);) {
        std::istringstream words(line);
        if (!(words >> from >> arrow >> to >> fact) || arrow != "-->" || !to.ends_with(':'))
            continue;
        to.pop_back();
        INFO(line);
        CHECK(enters_phase(fact, to));
        ++edges;
    }
    CHECK(edges > 30);
}

TEST_CASE("watch: the timeout ends the wait, not the job") {
    CliWorld world;
    world.server.otherwise = [](const HttpRequest&) {
        return HttpResponse{200, job_in("mirroring", 4)};
    };
    CHECK(world.run({"job", "watch", "web-01", "--until", "in_sync", "--timeout", "3s"}) ==
          ExitCode::timeout);
    CHECK(world.err.str().find("the job goes on") != std::string::npos);
    CHECK(world.clock.steady_ms() >= 1000 + 3000);
}

TEST_CASE("preflight: waits for the verdict, and a critical finding has its own exit code") {
    CliWorld world;
    world.server.answer(R"({"job":)" + job_in("planned", 1) + R"(,"events":[]})");
    world.server.answer(R"({"outstanding":[{"kind":"preflight"}]})");
    world.server.answer(R"({"outstanding":[]})");
    world.server.answer(blocked_job);
    CHECK(world.run({"job", "preflight", "web-01"}) == ExitCode::preflight_critical);
    CHECK(world.out.str().find(
              "critical  target_not_blank  /dev/vdb: ext4 found (next: expose it)\n") !=
          std::string::npos);
}

TEST_CASE("event tail: prints what comes and says when the server is gone") {
    CliWorld world;
    world.server.streams.push_back({{"5", R"({"seq":5,"job":"web-01","event":"Paused"})"}});
    CHECK(world.run({"event", "tail", "--from", "5", "-o", "jsonl", "--retry-for", "1s"}) ==
          ExitCode::unreachable);
    CHECK(world.out.str() == "{\"seq\":5,\"job\":\"web-01\",\"event\":\"Paused\"}\n");
    CHECK(world.server.header("Last-Event-ID").front() == "4");
}
