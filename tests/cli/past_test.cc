// What was and what would be, at the command line: where it asks, what it prints, how it ends.
#include "base/file.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "fake_server.h"

#include <catch2/catch.hpp>

namespace drover::cli {
namespace {

constexpr const char* accepted =
    R"({"job":"web-01","action":"cutover","accepted":true,"refused":null,"phase":"syncing",)"
    R"("phase_after":"fencing","events":[{"seq":31,"event":"CutoverStarted","data":{"run":1}}],)"
    R"("outstanding":[{"kind":"fence","side":"source","agent":"web-old"}],"as_of_seq":30})";
constexpr const char* refusal =
    R"({"job":"web-01","action":"cutover","accepted":false,"refused":{"id":"cutover_lagging",)"
    R"("detail":"9 MiB behind","next":"wait"},"phase":"syncing","phase_after":"syncing",)"
    R"("events":[],"outstanding":[],"as_of_seq":30})";

const std::string golden = std::string(DROVER_ROOT) + "/tests/golden/histories/";

struct Local {
    std::ostringstream out;
    std::ostringstream err;
    ExitCode code = ExitCode::ok;
};

Local run_offline(const std::vector<std::string>& words) {
    Local local;
    const Parsed parsed = parse_command_line(words);
    INFO(parsed.text);
    REQUIRE_FALSE(parsed.done);
    Console console(local.out, local.err, {parsed.arguments.format, false, false});
    local.code = replay_run(console, parsed.arguments);
    return local;
}

}  // namespace

TEST_CASE("past: a point is asked for as it was given, and nonsense is not sent") {
    CliWorld world;
    world.server.otherwise = [](const HttpRequest&) {
        return HttpResponse{200, R"({"name":"web-01","phase":"ready","as_of_seq":7})"};
    };
    CHECK(world.run({"job", "at", "web-01", "--seq", "7"}) == ExitCode::ok);
    CHECK(world.run({"job", "at", "web-01", "--time", "2026-11-23T02:10:00+01:00"}) ==
          ExitCode::ok);
    CHECK(world.run({"job", "diff", "web-01", "--from", "3", "--to", "7"}) == ExitCode::ok);
    REQUIRE(world.server.asked.size() == 3);
    CHECK(world.server.asked[0].target == "/v1/jobs/web-01/at?seq=7");
    CHECK(world.server.asked[1].target == "/v1/jobs/web-01/at?time=2026-11-23T02:10:00+01:00");
    CHECK(world.server.asked[2].target == "/v1/jobs/web-01/diff?from=3&to=7");
    CHECK(world.run({"job", "at", "web-01", "--seq", "7&x=1"}) == ExitCode::usage);
    CHECK(world.run({"job", "compare", "web-01", "../x"}) == ExitCode::usage);
    CHECK(world.server.asked.size() == 3);
    CHECK(parse_command_line({"job", "at", "web-01", "--seq", "1", "--time", "2"}).exit ==
          ExitCode::usage);
    CHECK(parse_command_line({"job", "what-if", "web-01", "--command", "fly"}).exit ==
          ExitCode::usage);
}

TEST_CASE("past: what-if prints what would happen, and a refusal has its exit code") {
    CliWorld yes;
    yes.server.answer(accepted);
    CHECK(yes.run({"job", "what-if", "web-01", "--command", "cutover", "--at", "30"}) ==
          ExitCode::ok);
    CHECK(yes.server.asked[0].target == "/v1/jobs/web-01/what-if/cutover?at=30");
    CHECK(yes.out.str() ==
          "cutover on web-01 as of seq 30: accepted\n"
          "  phase        syncing -> fencing\n"
          "  would append 31  CutoverStarted  run=1\n"
          "  then wanted  fence at web-old (source)\n");
    CHECK(yes.err.str() == "nothing was changed\n");
    CliWorld no;
    no.server.answer(refusal);
    CHECK(no.run({"job", "what-if", "web-01", "--command", "cutover"}) == ExitCode::refused);
    CHECK(no.out.str() ==
          "cutover on web-01 as of seq 30: refused: cutover_lagging: 9 MiB behind\n"
          "  next: wait\n");
}

TEST_CASE("past: a history shows which event led to which") {
    const auto history =
        Json::parse(R"({"items":[{"seq":4,"event":"JobPlanned","cause":0,"by":"a"},)"
                    R"({"seq":7,"event":"PreflightChecked","cause":4,"by":"b"}]})");
    REQUIRE(history.has_value());
    CHECK(render_history(*history).find("7    -     PreflightChecked  4 JobPlanned  b") !=
          std::string::npos);
}

TEST_CASE("replay run: an export is rebuilt without a server, up to any of its events") {
    const Local whole = run_offline({"replay", "run", golden + "committed.jsonl"});
    INFO(whole.err.str());
    CHECK(whole.code == ExitCode::ok);
    CHECK(whole.out.str().find("JobPlanned") != std::string::npos);
    CHECK(whole.out.str().find("\nweb  committed\n") != std::string::npos);
    CHECK(whole.out.str().find(": ok, every one is legal\n") != std::string::npos);
    const Local part =
        run_offline({"replay", "run", golden + "committed.jsonl", "--until", "12", "-o", "json"});
    CHECK(part.code == ExitCode::ok);
    const auto document = Json::parse(part.out.str());
    REQUIRE(document.has_value());
    CHECK((*document)["events"].number() == 12);
    CHECK((*document)["jobs"].items().at(0)["as_of_seq"].number() == 12);
    CHECK(run_offline({"replay", "run", golden + "committed.jsonl", "--until", "9999"}).code ==
          ExitCode::not_found);
    CHECK(run_offline({"replay", "run", golden + "none.jsonl"}).code == ExitCode::not_found);
}

}  // namespace drover::cli
