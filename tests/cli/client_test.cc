#include "cli/client.h"

#include "fake_server.h"

#include <catch2/catch.hpp>

using namespace drover;
using namespace drover::cli;

TEST_CASE("client: a retry after a lost answer carries the same Idempotency-Key and body") {
    CliWorld world;
    world.server.answers.emplace_back(FakeServer::lost());
    world.server.answers.emplace_back(FakeServer::lost());
    world.server.answer(R"({"job":{}})");
    auto client = world.client();
    const Reply reply =
        client.post({"/v1/jobs/web-01/actions/cutover", R"({"reason":"x"})", {}, {}});
    REQUIRE_FALSE(reply.failure);
    const auto keys = world.server.header("Idempotency-Key");
    REQUIRE(keys.size() == 3);
    CHECK(uuid_from_text(keys[0]));
    CHECK(keys[1] == keys[0]);
    CHECK(keys[2] == keys[0]);
    CHECK(world.server.asked[2].body == world.server.asked[0].body);
    CHECK(world.waits == 2);
}

TEST_CASE("client: two commands never share an Idempotency-Key") {
    CliWorld world;
    world.server.otherwise = [](const HttpRequest&) { return HttpResponse{200, "{}"}; };
    auto client = world.client();
    CHECK_FALSE(client.post({"/v1/jobs", "{}", {}, {}}).failure);
    CHECK_FALSE(client.post({"/v1/jobs", "{}", {}, {}}).failure);
    const auto keys = world.server.header("Idempotency-Key");
    REQUIRE(keys.size() == 2);
    CHECK(keys[0] != keys[1]);
}

TEST_CASE("client: retries end with the retry time, as unreachable") {
    CliWorld world;
    auto client = world.client(3);
    const Reply reply = client.get("/v1/jobs");
    REQUIRE(reply.failure);
    CHECK(reply.failure->exit == ExitCode::unreachable);
    CHECK(world.clock.steady_ms() >= 1000 + 3000);
    CHECK(world.clock.steady_ms() < 1000 + 3000 + 2000);
    CHECK(world.server.asked.size() > 2);
}

TEST_CASE("client: a server that cannot prove its identity is not asked again") {
    CliWorld world;
    world.server.answers.emplace_back(Error{Errc::denied, "tls_untrusted", "unknown authority"});
    auto client = world.client();
    const Reply reply = client.get("/v1/jobs");
    REQUIRE(reply.failure);
    CHECK(reply.failure->exit == ExitCode::not_allowed);
    CHECK(world.server.asked.size() == 1);
}

TEST_CASE("client: a refusal is not retried and keeps the server's document") {
    CliWorld world;
    world.server.answer(
        R"({"type":"urn:drover:error:cutover_lagging","title":"t","status":409,)"
        R"("code":"cutover_lagging","detail":"backlog 9 MiB","kept":"all","next":"wait"})",
        409);
    auto client = world.client();
    const Reply reply = client.post({"/v1/jobs/a/actions/cutover", "{}", {}, {}});
    REQUIRE(reply.failure);
    CHECK(reply.failure->exit == ExitCode::refused);
    CHECK(reply.failure->id == "cutover_lagging");
    CHECK(reply.failure->next == "wait");
    CHECK(reply.failure->problem.find(R"("status":409)") != std::string::npos);
    CHECK(world.server.asked.size() == 1);
}

TEST_CASE("client: the token goes into a header and nowhere else") {
    CliWorld world;
    world.server.answer("{}");
    auto client = world.client();
    CHECK_FALSE(client.get("/v1/jobs").failure);
    CHECK(world.server.header("Authorization") == std::vector<std::string>{"Bearer secret-token"});
    CHECK(world.server.asked[0].target == "/v1/jobs");
}

TEST_CASE("client: exit codes follow status and code of the problem document") {
    struct Case {
        unsigned status;
        const char* code;
        ExitCode exit;
    };

    for (const Case& c :
         {Case{400, "bad_request", ExitCode::usage}, Case{401, "no_token", ExitCode::not_allowed},
          Case{403, "x", ExitCode::not_allowed}, Case{404, "job_unknown", ExitCode::not_found},
          Case{409, "x", ExitCode::refused}, Case{412, "version", ExitCode::refused},
          Case{413, "body", ExitCode::usage},
          Case{409, "preflight_critical", ExitCode::preflight_critical},
          Case{500, "x", ExitCode::failure}, Case{503, "disk_low", ExitCode::unreachable}}) {
        INFO(c.status << " " << c.code);
        const HttpResponse response{c.status, JsonObject{}.text("code", c.code).str()};
        CHECK(failure_of(response).exit == c.exit);
    }
    CHECK(failure_of(HttpResponse{404, "<html>"}).id == "unexpected_answer");
    CHECK(failure_of(HttpResponse{404, "<html>"}).exit == ExitCode::not_found);
    CHECK(failure_of(HttpResponse{302, ""}).exit == ExitCode::failure);
}

TEST_CASE("client: a stream goes on after its last event when the connection is lost") {
    CliWorld world;
    world.server.streams.push_back({{"7", R"({"seq":7})"}, {"8", R"({"seq":8})"}});
    world.server.streams.push_back({{"9", R"({"seq":9})"}});
    auto client = world.client();
    std::vector<std::uint64_t> seen;
    const auto failure = client.follow("/v1/events", "6", [&seen](const Json& event) {
        seen.push_back(event["seq"].number());
        return seen.size() < 3;
    });
    CHECK_FALSE(failure);
    CHECK(seen == std::vector<std::uint64_t>{7, 8, 9});
    CHECK(world.server.header("Last-Event-ID") == std::vector<std::string>{"6", "8"});
}

TEST_CASE("client: a stream that does not come back is unreachable") {
    CliWorld world;
    world.server.streams.push_back({{"7", R"({"seq":7})"}});
    auto client = world.client(2);
    const auto failure = client.follow("/v1/events", "", [](const Json&) { return true; });
    REQUIRE(failure);
    CHECK(failure->exit == ExitCode::unreachable);
}
