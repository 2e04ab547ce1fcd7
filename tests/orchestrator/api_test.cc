// The REST API on parsed requests: who may, what is refused and how, what is answered.
#include "orchestrator/api.h"

#include "base/sha256.h"
#include "wire/pki.h"
#include "world.h"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

namespace json = boost::json;

constexpr const char* api_token = "drover_api_test";
constexpr const char* plan_body =
    R"({"name":"web","source_agent":"old","target_agent":"new","disks":[{"source":"/dev/a","target":"/dev/b"}]})";

class Client {
  public:
    Client()
        : enrolment_(authority(), "PUBLIC", "PIN", secret()),
          api_({*world.core, world.clock, world.random, enrolment_, token_hash(api_token), {}}) {
        for (const char* agent : {"old", "new"}) {
            REQUIRE(world.registry(CreateToken{agent, sha256(as_bytes(agent)), 900}));
        }
    }

    HttpResponse send(const std::string& method, const std::string& target,
                      const std::string& body = {},
                      std::map<std::string, std::string> headers = {}) {
        headers.emplace("authorization", std::string("Bearer ") + api_token);
        return raw({method, target, std::move(headers), body});
    }

    HttpResponse raw(const HttpRequest& request) {
        std::optional<HttpResponse> response;
        api_.handle(request, [&response](HttpResponse given) {
            REQUIRE_FALSE(response);
            response = std::move(given);
        });
        if (!response) REQUIRE_FALSE(world.settle());
        REQUIRE(response);
        return *response;
    }

    World world;

  private:
    static const wire::KeyAndCertificate& authority() {
        static const wire::KeyAndCertificate made =
            wire::create_authority("test", start_micros).value();
        return made;
    }

    static Hash secret() {
        Hash out;
        out.data.fill(9);
        return out;
    }

    Enrolment enrolment_;
    Api api_;
};

json::object body_of(const HttpResponse& response) {
    return json::parse(response.body).as_object();
}

std::string text_at(const json::object& object, const char* key) {
    return std::string(object.at(key).as_string().c_str());
}

void check_problem(const HttpResponse& response, unsigned status, const std::string& code) {
    INFO(response.body);
    CHECK(response.status == status);
    CHECK(response.content_type == "application/problem+json");
    const json::object problem = body_of(response);
    CHECK(text_at(problem, "code") == code);
    CHECK(text_at(problem, "type") == "urn:drover:error:" + code);
    CHECK(problem.at("status").to_number<unsigned>() == status);
    CHECK_FALSE(text_at(problem, "detail").empty());
    CHECK_FALSE(text_at(problem, "title").empty());
}

/// A target that fits the pattern of a route.
std::string sample_target(const Route& route) {
    std::string target(route.pattern);
    for (const auto& [from, to] : {std::pair{"{job}", "web"}, std::pair{"{action}", "pause"}}) {
        if (const auto at = target.find(from); at != std::string::npos) {
            target.replace(at, std::string(from).size(), to);
        }
    }
    return target;
}

}  // namespace

TEST_CASE("api: every route but three needs the token, and says so") {
    Client client;
    std::size_t open = 0;
    for (const Route& route : routes()) {
        HttpRequest request{std::string(route.method), sample_target(route), {}, ""};
        if (!route.needs_token) {
            ++open;
            CHECK(client.raw(request).status != 401);
            continue;
        }
        check_problem(client.raw(request), 401, "token_missing");
        request.headers["authorization"] = "Bearer drover_api_wrong";
        const HttpResponse refused = client.raw(request);
        check_problem(refused, 401, "token_wrong");
        CHECK(refused.headers.contains("WWW-Authenticate"));
    }
    CHECK(open == 3);
}

TEST_CASE("api: unknown paths, methods and parameters are problems") {
    Client client;
    check_problem(client.send("GET", "/nothing"), 404, "no_such_route");
    check_problem(client.send("GET", "/v1/jobs/../agents"), 404, "no_such_route");
    check_problem(client.send("GET", "/v1/jobs/%2e%2e"), 404, "no_such_route");
    check_problem(client.send("DELETE", "/v1/jobs"), 405, "method_not_allowed");
    check_problem(client.send("GET", "/v1/jobs?x=1"), 400, "unknown_parameter");
    check_problem(client.send("GET", ""), 400, "bad_target");
    check_problem(client.send("GET", "/" + std::string(target_bytes_max, 'a')), 400, "bad_target");
}

TEST_CASE("api: a body must be one JSON object with known fields of the right type") {
    Client client;
    const auto post = [&client](const std::string& body) {
        return client.send("POST", "/v1/jobs", body);
    };
    check_problem(post("{"), 400, "bad_json");
    check_problem(post("[]"), 400, "bad_json");
    check_problem(post("{} {}"), 400, "bad_json");
    check_problem(post(R"({"name":"a","name":"b"})"), 400, "bad_json");
    check_problem(post(std::string(100, '[')), 400, "bad_json");
    check_problem(post("{\"name\":\"a\xff\"}"), 400, "bad_json");
    check_problem(post(R"({"name":1})"), 400, "bad_field");
    check_problem(post("{}"), 400, "bad_field");
    std::string unknown = plan_body;
    unknown.insert(1, R"("colour":"red",)");
    const HttpResponse refused = post(unknown);
    check_problem(refused, 400, "unknown_field");
    CHECK(refused.body.find("colour") != std::string::npos);
    std::string nested = plan_body;
    nested.insert(nested.find("\"source\":\"/dev/a\""), R"("x":1,)");
    CHECK(post(nested).body.find("disks.0.x") != std::string::npos);
    std::string no_disk = plan_body;
    no_disk.replace(no_disk.find("[{"), std::string::npos, "[]}");
    check_problem(post(no_disk), 400, "plan_invalid");
    CHECK(client.world.core->state().jobs.empty());
}

TEST_CASE("api: a body larger than its route takes is refused") {
    Client client;
    check_problem(client.send("POST", "/v1/jobs", std::string(body_bytes_max + 1, ' ')), 413,
                  "body_too_large");
    check_problem(
        client.raw({"POST", "/v1/enroll", {}, std::string(enroll_body_bytes_max + 1, ' ')}), 413,
        "body_too_large");
    check_problem(client.send("GET", "/v1/jobs", "{}"), 413, "body_too_large");
}

TEST_CASE("api: a job is created, shown, listed and acted on") {
    Client client;
    const HttpResponse created = client.send("POST", "/v1/jobs", plan_body);
    INFO(created.body);
    REQUIRE(created.status == 201);
    CHECK(created.headers.at("Location") == "/v1/jobs/web");
    CHECK(created.headers.at("ETag") == "\"1\"");
    const json::object job = body_of(client.send("GET", "/v1/jobs/web"));
    CHECK(text_at(job, "phase") == "planned");
    CHECK(job.at("as_of_seq").to_number<std::uint64_t>() == client.world.core->state().seq);
    CHECK(job.at("allowed_actions").as_array().size() + job.at("why_not").as_array().size() == 23);
    CHECK(body_of(client.send("GET", "/v1/jobs")).at("items").as_array().size() == 1);
    CHECK(client.send("GET", "/v1/jobs/" + text_at(job, "id")).status == 200);
    check_problem(client.send("GET", "/v1/jobs/none"), 404, "job_not_found");
    check_problem(client.send("POST", "/v1/jobs/none/actions/start"), 404, "job_not_found");
    check_problem(client.send("POST", "/v1/jobs/web/actions/dance"), 404, "no_such_action");
    check_problem(client.send("POST", "/v1/jobs/web/actions/plan"), 404, "no_such_action");

    const HttpResponse cancelled = client.send("POST", "/v1/jobs/web/actions/cancel");
    REQUIRE(cancelled.status == 200);
    const json::object answer = body_of(cancelled);
    CHECK(text_at(answer.at("job").as_object(), "phase") == "cancelled");
    CHECK(text_at(answer.at("events").as_array().at(0).as_object(), "event") == "Cancelled");
}

TEST_CASE("api: a refusal by the job's state says what is allowed instead") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    const HttpResponse refused = client.send("POST", "/v1/jobs/web/actions/start");
    check_problem(refused, 409, "wrong_phase");
    const json::object problem = body_of(refused);
    CHECK(text_at(problem, "job") == "web");
    CHECK_FALSE(problem.at("allowed_actions").as_array().empty());
    CHECK_FALSE(text_at(problem, "kept").empty());
    CHECK_FALSE(text_at(problem, "next").empty());
    const json::object why = body_of(client.send("GET", "/v1/jobs/web/why"));
    CHECK(text_at(why.at("last_rejection").as_object(), "action") == "start");
    CHECK(why.at("outstanding").as_array().size() == 2);
}

TEST_CASE("api: a retry under the same key acts once, another request under it is refused") {
    Client client;
    const std::map<std::string, std::string> key = {
        {"idempotency-key", "11111111-2222-4333-8444-555555555555"}};
    const HttpResponse first = client.send("POST", "/v1/jobs", plan_body, key);
    const auto seq = client.world.core->state().seq;
    const HttpResponse again = client.send("POST", "/v1/jobs", plan_body, key);
    CHECK(again.status == 201);
    CHECK(again.body == first.body);
    CHECK(client.world.core->state().seq == seq);
    std::string other = plan_body;
    other.replace(other.find("web"), 3, "abc");
    check_problem(client.send("POST", "/v1/jobs", other, key), 409, "idempotency_conflict");
    check_problem(client.send("POST", "/v1/jobs", plan_body, {{"idempotency-key", "7"}}), 400,
                  "bad_header");
}

TEST_CASE("api: If-Match protects a job that has moved on, a dry run changes nothing") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    const auto act = [&client](const std::string& version, const std::string& body) {
        return client.send("POST", "/v1/jobs/web/actions/cancel", body, {{"if-match", version}});
    };
    check_problem(act("\"7\"", ""), 412, "version_mismatch");
    check_problem(act("\"\"", ""), 400, "bad_header");
    const auto seq = client.world.core->state().seq;
    const HttpResponse tried =
        client.send("POST", "/v1/jobs/web/actions/cancel", R"({"dry_run":true})");
    CHECK(tried.status == 200);
    CHECK(body_of(tried).at("dry_run").as_bool());
    CHECK(client.world.core->state().seq == seq);
    check_problem(client.send("POST", "/v1/jobs/web/actions/start", R"({"dry_run":true})"), 409,
                  "wrong_phase");
    CHECK(client.world.core->state().seq == seq);
    CHECK(act("\"1\"", "").status == 200);
}

TEST_CASE("api: a token enrols one agent, once, in its time") {
    Client client;
    const HttpResponse made =
        client.send("POST", "/v1/agent-tokens", R"({"agent":"old","ttl_s":60})");
    REQUIRE(made.status == 201);
    const std::string token = text_at(body_of(made), "token");
    const auto request = wire::make_agent_request("old");
    REQUIRE(request);
    const auto enroll = [&client](const std::string& agent, const std::string& with,
                                  const std::string& pem) {
        json::object body{{"token", with},
                          {"agent", agent},
                          {"request_pem", pem},
                          {"hosts", json::array{"127.0.0.2"}}};
        return client.raw({"POST", "/v1/enroll", {}, json::serialize(body)});
    };
    check_problem(enroll("old", token + "0", request->request_pem), 403, "enrolment_denied");
    check_problem(enroll("new", token, request->request_pem), 403, "enrolment_denied");
    CHECK(enroll("old", token, "no request").status == 400);  // does not cost the token

    const HttpResponse enrolled = enroll("old", token, request->request_pem);
    INFO(enrolled.body);
    REQUIRE(enrolled.status == 200);
    const json::object given = body_of(enrolled);
    const auto identity = wire::verified_identity(text_at(given, "certificate_pem"),
                                                  text_at(given, "authority_pem"), start_micros);
    REQUIRE(identity);
    CHECK(*identity == "drover:agent:old");

    // The answer was lost: the same request has it again, another has not.
    CHECK(enroll("old", token, request->request_pem).status == 200);
    const auto other = wire::make_agent_request("old");
    REQUIRE(other);
    check_problem(enroll("old", token, other->request_pem), 403, "enrolment_denied");
    const json::object agents = body_of(client.send("GET", "/v1/agents"));
    CHECK(agents.at("items").as_array().size() == 1);

    const HttpResponse late =
        client.send("POST", "/v1/agent-tokens", R"({"agent":"new","ttl_s":60})");
    client.world.clock.advance_micros(60'000'000);
    check_problem(enroll("new", text_at(body_of(late), "token"), request->request_pem), 403,
                  "enrolment_denied");
    check_problem(client.send("POST", "/v1/agent-tokens", R"({"agent":"new","ttl_s":0})"), 400,
                  "token_ttl_invalid");
    check_problem(client.send("POST", "/v1/agent-tokens", R"({"agent":"N W"})"), 400,
                  "agent_name_invalid");
}

TEST_CASE("api: no secret stands in the log") {
    Client client;
    const HttpResponse made = client.send("POST", "/v1/agent-tokens", R"({"agent":"old"})");
    const std::string token = text_at(body_of(made), "token");
    REQUIRE(client.world.log.read(1, [&](const eventlog::Record& record) {
        CHECK(as_text(record.payload).find(token) == std::string_view::npos);
        return true;
    }));
    CHECK(client.send("GET", "/v1/support-bundle").body.find(token) == std::string::npos);
}

TEST_CASE("api: history, events, audit, replay, bundle and metrics tell what happened") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    client.send("POST", "/v1/jobs/web/actions/cancel");
    const json::object history = body_of(client.send("GET", "/v1/jobs/web/history"));
    REQUIRE(history.at("items").as_array().size() == 2);
    const json::object planned = history.at("items").as_array().at(0).as_object();
    CHECK(text_at(planned, "event") == "JobPlanned");
    CHECK(text_at(planned, "by") == "operator:admin");
    CHECK(planned.at("data").as_object().contains("spec"));
    const json::object page = body_of(client.send("GET", "/v1/jobs/web/history?from=1&limit=1"));
    CHECK(page.at("items").as_array().size() == 1);
    CHECK(page.at("next_from").to_number<int>() == 2);
    CHECK(
        body_of(client.send("GET", "/v1/jobs/web/history?from=9")).at("items").as_array().empty());
    check_problem(client.send("GET", "/v1/jobs/web/history?from=x"), 400, "bad_header");

    CHECK(body_of(client.send("GET", "/v1/audit/verify")).at("ok").as_bool());
    check_problem(client.send("POST", "/v1/audit/anchor"), 503, "anchors_off");
    check_problem(client.send("GET", "/v1/audit/export?job=nobody"), 404, "job_not_found");
    CHECK(body_of(client.send("GET", "/v1/replay/check")).at("ok").as_bool());
    CHECK(body_of(client.send("GET", "/v1/support-bundle")).at("jobs").as_array().size() == 1);
    const std::string metrics = client.send("GET", "/metrics").body;
    CHECK(metrics.find("drover_jobs{phase=\"cancelled\"} 1\n") != std::string::npos);
    CHECK(client.send("GET", "/readyz").status == 200);
    client.world.log.set_free_bytes(0);
    check_problem(client.send("GET", "/readyz"), 503, "log_volume_full");
    check_problem(client.send("POST", "/v1/jobs", plan_body), 503, "log_volume_full");
}

TEST_CASE("api: the stream of events resumes after the last one that was seen") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    const HttpResponse live = client.send("GET", "/v1/events");
    REQUIRE(live.stream);
    CHECK(live.content_type == "text/event-stream");
    CHECK(live.stream(live.stream_from)->text.empty());
    client.send("POST", "/v1/jobs/web/actions/cancel");
    const auto next = live.stream(live.stream_from);
    REQUIRE(next);
    CHECK(
        next->text.starts_with("id: 5\ndata: {\"seq\":5,\"job\":\"web\",\"event\":\"Cancelled\""));
    CHECK(next->text.ends_with("}\n\n"));
    CHECK(next->next == 6);

    const HttpResponse resumed = client.send("GET", "/v1/events", "", {{"last-event-id", "1"}});
    CHECK(resumed.stream_from == 2);
    CHECK(resumed.stream(4)->next == 6);
    CHECK(client.send("GET", "/v1/events?from=1").stream_from == 1);
    CHECK(client.send("GET", "/v1/events", "", {{"last-event-id", "99"}}).stream_from == 6);
    check_problem(client.send("GET", "/v1/events", "", {{"last-event-id", "x"}}), 400,
                  "bad_header");
}

TEST_CASE("api: a job at an earlier point is the document of then, by number and by time") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    const json::object then = body_of(client.send("GET", "/v1/jobs/web"));
    const std::string seq = std::to_string(then.at("as_of_seq").to_number<std::uint64_t>());
    client.world.clock.advance_micros(1'000'000);
    client.send("POST", "/v1/jobs/web/actions/cancel");
    for (const std::string& point : {"seq=" + seq, std::string("time=2023-11-14T22%3A13%3A20Z")}) {
        INFO(point);
        json::object past = body_of(client.send("GET", "/v1/jobs/web/at?" + point));
        CHECK(text_at(past, "as_of_time") == "2023-11-14T22:13:20.000000Z");
        past.erase("as_of_time");
        json::object wanted = then;
        wanted.erase("agents");
        wanted.erase("progress");
        // What is said beside the facts of the job is said of the present.
        wanted.erase("quarantine");
        wanted.erase("reconciling");
        CHECK(past == wanted);
    }
    CHECK(text_at(body_of(client.send("GET", "/v1/jobs/web/at")), "phase") == "cancelled");
    check_problem(client.send("GET", "/v1/jobs/none/at?seq=1"), 404, "job_not_found");
    check_problem(client.send("GET", "/v1/jobs/web/at?seq=99"), 404, "seq_not_reached");
    check_problem(client.send("GET", "/v1/jobs/web/at?seq=1"), 404, "job_not_yet");
    check_problem(client.send("GET", "/v1/jobs/web/at?seq=x"), 400, "bad_point");
    check_problem(client.send("GET", "/v1/jobs/web/at?seq=1&time=2"), 400, "bad_point");
    check_problem(client.send("GET", "/v1/jobs/web/at?time=2099-01-01T00:00:00Z"), 400,
                  "time_in_future");
}

TEST_CASE("api: the difference between two points names each field that changed") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    const std::string seq = std::to_string(client.world.core->state().seq);
    client.send("POST", "/v1/jobs/web/actions/cancel");
    const json::object diff = body_of(client.send("GET", "/v1/jobs/web/diff?from=" + seq));
    std::string phases;
    for (const auto& change : diff.at("changes").as_array()) {
        if (change.at("field").as_string() == "phase") phases = json::serialize(change);
    }
    CHECK(phases == R"({"field":"phase","from":"planned","to":"cancelled"})");
    const json::object none =
        body_of(client.send("GET", "/v1/jobs/web/diff?from=" + seq + "&to=" + seq));
    CHECK(none.at("changes").as_array().empty());
}

TEST_CASE("api: what-if answers, now and then, and changes nothing") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    const std::string planned = std::to_string(client.world.core->state().seq);
    client.send("POST", "/v1/jobs/web/actions/cancel");
    const auto seq = client.world.core->state().seq;
    const json::object now = body_of(client.send("POST", "/v1/jobs/web/what-if/start", "{}"));
    CHECK_FALSE(now.at("accepted").as_bool());
    CHECK(text_at(now.at("refused").as_object(), "id") == "wrong_phase");
    CHECK_FALSE(text_at(now.at("refused").as_object(), "next").empty());
    const json::object then =
        body_of(client.send("POST", "/v1/jobs/web/what-if/cancel?at=" + planned));
    CHECK(then.at("accepted").as_bool());
    CHECK(then.at("refused").is_null());
    CHECK(text_at(then, "phase_after") == "cancelled");
    CHECK(text_at(then.at("events").as_array().at(0).as_object(), "event") == "Cancelled");
    CHECK(client.world.core->state().seq == seq);
    check_problem(client.send("POST", "/v1/jobs/web/what-if/fly"), 404, "no_such_action");
    check_problem(client.send("POST", "/v1/jobs/none/what-if/start"), 404, "job_not_found");
}

TEST_CASE("api: two jobs are compared, and an unknown one is named") {
    Client client;
    client.send("POST", "/v1/jobs", plan_body);
    const json::object same = body_of(client.send("GET", "/v1/jobs/web/compare?with=web"));
    CHECK(same.at("equal").as_bool());
    check_problem(client.send("GET", "/v1/jobs/web/compare?with=other"), 404, "job_not_found");
    check_problem(client.send("GET", "/v1/jobs/web/compare"), 400, "bad_point");
}

}  // namespace drover::orchestrator::testing
