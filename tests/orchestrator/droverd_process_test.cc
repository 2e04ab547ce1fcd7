// The whole droverd as a process: start, kill -9, garbage, a second one, wrong tokens.
#include "droverd_process.h"

#include "base/file.h"
#include "base/random.h"
#include "show_results.h"

#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace drover::orchestrator::testing {

namespace {

constexpr int kill_rounds = 50;
constexpr std::size_t acknowledged_per_round = 3;

std::string plan_of(const std::string& name) {
    return R"({"name":")" + name +
           R"(","source_agent":"old","target_agent":"new","disks":[{"source":"/dev/)" + name +
           R"(","target":"/dev/)" + name + R"("}]})";
}

/// A plan may name an agent once a token announced it.
void announce_agents(const DroverdProcess& server) {
    for (const char* agent : {"old", "new"}) {
        const std::string body = std::string(R"({"agent":")") + agent + R"("})";
        const auto token = server.request("POST", "/v1/agent-tokens", body);
        REQUIRE(token);
        REQUIRE(token->status == 201);
    }
}

/// Sends `bytes` and waits until the other side closes or is silent for a while.
void send_garbage(std::uint16_t port, const Bytes& bytes) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    (void)::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    pollfd waiting{socket.get(), POLLIN, 0};
    (void)::poll(&waiting, 1, 200);
}

std::vector<Bytes> garbage() {
    SeededRandom random(1);
    std::vector<Bytes> all;
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{4096}}) {
        Bytes bytes(size);
        random.fill(bytes);
        all.push_back(std::move(bytes));
    }
    const std::string_view plain = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    all.emplace_back(plain.begin(), plain.end());
    // A TLS record that announces more than it brings.
    all.push_back({0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00});
    return all;
}

/// Creates jobs as fast as they are answered, until the server is gone.
class Operator {
  public:
    Operator(const DroverdProcess& server, int round)
        : server_(server),
          round_(round),
          thread_([this] { run(); }) {}

    ~Operator() {
        if (thread_.joinable()) thread_.join();
    }

    [[nodiscard]] std::size_t count() const { return count_; }

    [[nodiscard]] std::vector<std::string> finish() {
        thread_.join();
        return acknowledged_;
    }

  private:
    void run() {
        for (int i = 0;; ++i) {
            const std::string name = "job-" + std::to_string(round_) + "-" + std::to_string(i);
            const auto answer = server_.request("POST", "/v1/jobs", plan_of(name));
            if (!answer) return;
            if (answer->status != 201) continue;
            acknowledged_.push_back(name);
            ++count_;
        }
    }

    const DroverdProcess& server_;
    int round_;
    std::vector<std::string> acknowledged_;
    std::atomic<std::size_t> count_ = 0;
    std::thread thread_;
};

}  // namespace

TEST_CASE("droverd: init makes a state directory once and says what to do next") {
    DroverdProcess server;
    CHECK(server.run_another().output.find("state_missing") != std::string::npos);
    const Exit made = server.init();
    CHECK(made.code == 0);
    CHECK(made.output.find("CA pin") != std::string::npos);
    CHECK(made.output.find("drover login") != std::string::npos);
    const Exit again = server.init();
    CHECK(again.code == 6);
    CHECK(again.output.find("state_not_empty") != std::string::npos);
    REQUIRE(server.start());
    const Exit stopped = server.stop(SIGTERM);
    CHECK(stopped.code == 0);
}

TEST_CASE("droverd: killed while commands run, it comes back with all that it acknowledged") {
    DroverdProcess server;
    REQUIRE(server.init().code == 0);
    std::vector<std::string> acknowledged;
    for (int round = 0; round < kill_rounds; ++round) {
        REQUIRE(server.start());
        if (round == 0) announce_agents(server);
        Operator person(server, round);
        while (person.count() < acknowledged_per_round) ::poll(nullptr, 0, 1);
        server.stop(SIGKILL);
        for (std::string& name : person.finish()) acknowledged.push_back(std::move(name));
    }
    REQUIRE(server.start());
    const auto jobs = server.request("GET", "/v1/jobs");
    REQUIRE(jobs);
    std::size_t missing = 0;
    for (const std::string& name : acknowledged) {
        if (jobs->body.find("\"name\":\"" + name + "\"") == std::string::npos) ++missing;
    }
    WARN("kill -9 rounds: " << kill_rounds << ", commands acknowledged: " << acknowledged.size()
                            << ", lost: " << missing);
    CHECK(missing == 0);
    CHECK(server.request("GET", "/v1/replay/check")->body.find("\"ok\":true") != std::string::npos);
    CHECK(server.request("GET", "/v1/audit/verify")->body.find("\"ok\":true") != std::string::npos);
    const std::string epoch = "epoch " + std::to_string(kill_rounds + 1);
    CHECK(server.output().find(epoch) != std::string::npos);
}

TEST_CASE("droverd: a command that was answered before the kill is answered the same after it") {
    DroverdProcess server;
    REQUIRE(server.init().code == 0);
    REQUIRE(server.start());
    announce_agents(server);
    const wire::HttpHeaders key = {{"Idempotency-Key", "11111111-2222-4333-8444-555555555555"}};
    const auto first = server.request("POST", "/v1/jobs", plan_of("web"), key);
    REQUIRE(first);
    REQUIRE(first->status == 201);
    server.stop(SIGKILL);
    REQUIRE(server.start());
    const auto again = server.request("POST", "/v1/jobs", plan_of("web"), key);
    REQUIRE(again);
    CHECK(again->status == 201);
    const auto events = [](const std::string& body) {
        return body.substr(body.find("\"events\""));
    };
    CHECK(events(again->body).starts_with(R"("events":[{"seq":4,"event":"JobPlanned"}])"));
    CHECK(events(first->body) == events(again->body));
}

TEST_CASE("droverd: a second one on the same directory is refused and told who owns it") {
    DroverdProcess server;
    REQUIRE(server.init().code == 0);
    REQUIRE(server.start());
    const Exit another = server.run_another();
    CHECK(another.code == 9);
    CHECK(another.output.find("pid=" + std::to_string(server.pid())) != std::string::npos);
    CHECK(server.request("GET", "/readyz")->status == 200);
}

TEST_CASE("droverd: garbage on both ports disturbs nobody") {
    DroverdProcess server;
    REQUIRE(server.init().code == 0);
    REQUIRE(server.start());
    for (const Bytes& bytes : garbage()) {
        send_garbage(server.http_port(), bytes);
        send_garbage(server.agents_port(), bytes);
    }
    const auto ready = server.request("GET", "/readyz");
    REQUIRE(ready);
    CHECK(ready->status == 200);
    CHECK(server.stop(SIGTERM).code == 0);
}

TEST_CASE("droverd: wrong tokens, unreadable and oversized requests are refused with a problem") {
    DroverdProcess server;
    REQUIRE(server.init().code == 0);
    REQUIRE(server.start());
    const auto denied =
        server.request("GET", "/v1/jobs", "", {{"Authorization", "Bearer drover_api_wrong"}});
    REQUIRE(denied);
    CHECK(denied->status == 401);
    CHECK(denied->header("content-type") == "application/problem+json");
    CHECK(denied->header("www-authenticate").starts_with("Bearer"));
    const auto enroll =
        server.request("POST", "/v1/enroll", R"({"token":"x","agent":"a","request_pem":"p"})",
                       {{"Authorization", ""}});
    REQUIRE(enroll);
    CHECK(enroll->status == 403);
    const auto large = server.request("POST", "/v1/enroll", std::string(17U << 10, ' '));
    REQUIRE(large);
    CHECK(large->status == 413);
    const auto header =
        server.request("GET", "/v1/jobs", "", {{"X-Long", std::string(20'000, 'a')}});
    CHECK((!header || header->status == 431));
    CHECK(server.request("GET", "/readyz")->status == 200);
}

TEST_CASE("droverd: the stream of events carries what happens") {
    DroverdProcess server;
    REQUIRE(server.init().code == 0);
    REQUIRE(server.start());
    announce_agents(server);
    std::string seen;
    const auto streamed = server.stream("/v1/events?from=1", [&](std::string_view chunk) {
        const bool is_first = seen.empty();
        seen += chunk;
        if (is_first) CHECK(server.request("POST", "/v1/jobs", plan_of("web"))->status == 201);
        return seen.find("JobPlanned") == std::string::npos;
    });
    REQUIRE(streamed);
    CHECK(seen.find("id: 1\ndata: {\"seq\":1") != std::string::npos);
    CHECK(seen.find("id: 4\ndata: {\"seq\":4,\"job\":\"web\"") != std::string::npos);
}

}  // namespace drover::orchestrator::testing
