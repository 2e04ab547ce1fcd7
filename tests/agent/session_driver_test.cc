// The driver against a real TLS server in this process that plays the orchestrator's half.
#include "agent/session_driver.h"

#include "agent/control.h"
#include "tests/agent/loop_disk.h"
#include "tests/agent/world.h"
#include "wire/connection.h"
#include "wire/orchestrator_session.h"

#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

namespace asio = boost::asio;
using testing::eventually;
using testing::Pki;
using testing::World;

/// One orchestrator process: accepts, wants one effect of whoever says Hello, remembers what came.
class Orchestrator {
  public:
    Orchestrator(std::uint16_t port, std::uint32_t epoch, const Effect& effect)
        : epoch_(epoch),
          effect_(effect) {
        const auto now = SystemClock().wall_micros();
        const auto& authority = Pki::shared().authority;
        const auto own = wire::issue_server(authority, {"127.0.0.1"}, now);
        REQUIRE(own.has_value());
        auto accepting =
            wire::accept(io_, {authority.certificate_pem, own->certificate_pem, own->key_pem},
                         "127.0.0.1", port, [this](std::shared_ptr<wire::Connection> fresh) {
                             asio::co_spawn(io_, serve(std::move(fresh)), asio::detached);
                         });
        if (!accepting) FAIL(accepting.error().text());
        acceptor_ = std::move(*accepting);
        port_ = acceptor_->port();
        thread_ = std::thread([this] { io_.run(); });
    }

    /// The thread ends by itself once nothing is open any more.
    ~Orchestrator() {
        asio::post(io_, [this] {
            acceptor_->stop();
            for (const auto& connection : open_) connection->close();
            open_.clear();
        });
        thread_.join();
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }

    [[nodiscard]] std::vector<Report> reports() {
        const std::lock_guard lock(mutex_);
        return reports_;
    }

    [[nodiscard]] std::optional<Hello> hello() {
        const std::lock_guard lock(mutex_);
        return hello_;
    }

    bool acknowledges = true;
    std::atomic<int> connections = 0;

  private:
    [[nodiscard]] Witness head() const {
        Witness head;
        head.epoch = epoch_;
        head.seq = 100;
        head.hash.data[0] = 5;
        return head;
    }

    asio::awaitable<void> serve(std::shared_ptr<wire::Connection> connection) {
        wire::OrchestratorSession session("web-01");
        const wire::LogView log{head(), [](std::uint64_t) {
                                    Hash hash;
                                    hash.data[0] = 5;
                                    return std::optional(hash);
                                }};
        ++connections;
        open_.push_back(connection);
        send(*connection, session.connected(0));
        for (;;) {
            const Result<Bytes> bytes = co_await connection->receive();
            if (!bytes) co_return;
            const auto message = decode_agent_message(*bytes);
            if (!message) co_return;
            wire::OrchestratorStep step = session.received(*message, log, 0);
            send(*connection, step);
            note(step);
            if (step.close) connection->close();
            if (step.hello)
                send(*connection,
                     session.want({effect_, epoch_, head(), effect_digest(effect_)}, 0));
            for (const Report& report : step.reports)
                if (acknowledges) send(*connection, session.acknowledge(report.report_id, 0));
        }
    }

    void note(const wire::OrchestratorStep& step) {
        const std::lock_guard lock(mutex_);
        if (step.hello) hello_ = step.hello;
        reports_.insert(reports_.end(), step.reports.begin(), step.reports.end());
    }

    static void send(wire::Connection& connection, const wire::OrchestratorStep& step) {
        for (const OrchestratorMessage& message : step.send) connection.post(encode(message));
    }

    std::uint32_t epoch_;
    Effect effect_;
    asio::io_context io_;
    std::unique_ptr<wire::Acceptor> acceptor_;
    std::vector<std::shared_ptr<wire::Connection>> open_;
    std::uint16_t port_ = 0;
    std::mutex mutex_;
    std::vector<Report> reports_;
    std::optional<Hello> hello_;
    std::thread thread_;
};

/// An agent on the fake host, with the real driver and real threads.
class RunningAgent {
  public:
    RunningAgent(World& world, std::uint16_t port)
        : host_(world.host),
          journal_(*Journal::open(world.paths.journal())),
          fences_(world.paths.fences(), world.host.id),
          exposures_(world.paths.exposures()),
          replicas_(world.replica_world),
          driver_(options(world, port), journal_->unacknowledged(), clock_, random_),
          executor_(AgentParts{world.config,
                               world.paths,
                               world.identity,
                               host_,
                               *journal_,
                               fences_,
                               exposures_,
                               clock_,
                               {}},
                    replicas_, peers_, workers_, random_, driver_) {
        REQUIRE(executor_.start());
        thread_ = std::thread([this] { outcome_ = driver_.run(executor_); });
    }

    /// As systemd stops it.
    ~RunningAgent() {
        ::kill(::getpid(), SIGTERM);
        thread_.join();
        executor_.stop();
        workers_.stop();
        CHECK(outcome_.has_value());
    }

  private:
    static SessionOptions options(World& world, std::uint16_t port) {
        SessionOptions options;
        options.hello.agent = "web-01";
        options.hello.boot_id = world.host.id.boot_id;
        options.hello.host_identity = world.host.id.id;
        auto witness = load_witness(world.paths);
        REQUIRE(witness.has_value());
        options.hello.witness = *witness;
        options.tls = world.identity.tls;
        options.server_host = "127.0.0.1";
        options.server_port = port;
        options.paths = world.paths;
        return options;
    }

    HostOps& host_;
    std::unique_ptr<Journal> journal_;
    FenceStore fences_;
    ExposureStore exposures_;
    testing::FakeReplicas replicas_;
    testing::FakePeers peers_;
    SystemClock clock_;
    SystemRandom random_;
    ThreadWorkers workers_;
    SessionDriver driver_;
    Executor executor_;
    Result<> outcome_;
    std::thread thread_;
};

/// The signal that ends a driver must not end the test before the driver listens for it.
struct TermIgnored {
    TermIgnored() { std::signal(SIGTERM, SIG_IGN); }
};

TEST_CASE("driver: an effect is obeyed once, its report repeated, the witness kept") {
    const TermIgnored ignored;
    World w;
    const Effect preflight =
        w.effect(10, EffectKind::preflight, Side::source, PreflightWork{{"/dev/s"}, {}});
    auto first = std::make_unique<Orchestrator>(0, 3, preflight);
    first->acknowledges = false;
    const std::uint16_t port = first->port();
    {
        const RunningAgent agent(w, port);
        REQUIRE(eventually([&] { return !first->reports().empty(); }));
        const Uuid report_id = first->reports()[0].report_id;
        CHECK(load_witness(w.paths)->seq == 100);
        CHECK(load_witness(w.paths)->epoch == 3);
        CHECK(*ask_agent(w.paths, "status") == "connected 3\n");

        // The orchestrator dies; its successor hears the same report, under the same id.
        first.reset();
        REQUIRE(eventually(
            [&] { return ask_agent(w.paths, "status")->starts_with("disconnected 3 "); }));
        first = std::make_unique<Orchestrator>(port, 4, preflight);
        REQUIRE(eventually([&] { return !first->reports().empty(); }));
        CHECK(first->reports()[0].report_id == report_id);
        CHECK(first->hello()->witness.seq == 100);
        REQUIRE(eventually([&] { return load_witness(w.paths)->epoch == 4; }));
    }
    // A copy of the log with an older epoch is not obeyed, however often it is dialled.
    first = std::make_unique<Orchestrator>(0, 2, w.fence(50));
    const RunningAgent agent(w, first->port());
    REQUIRE(eventually([&] { return first->connections >= 2; }));
    CHECK(ask_agent(w.paths, "status")->starts_with("disconnected 4 newer_epoch"));
    CHECK(load_witness(w.paths)->epoch == 4);
    CHECK(first->reports().empty());
    CHECK(w.host.hooks_run.empty());
}

TEST_CASE("control: an outcome survives its way over the local socket") {
    CHECK(decode_outcome(encode_outcome({})).has_value());
    const Error error(Errc::conflict, "not_fenced", "no fence", "everything", "look");
    CHECK(decode_outcome(encode_outcome(error)).error() == error);
    CHECK(decode_outcome("what?\n").error().code() == Errc::invalid);
}

TEST_CASE("control: an order to go back to a point survives its way") {
    const PointOrder order{"move-web", 4711, "Jo Doe"};
    CHECK(decode_point_order(encode_point_order(order)) == order);
    for (const char* bad : {"", "move-web", "move-web 7", "move-web seven root", "move-web -1"})
        CHECK_FALSE(decode_point_order(bad));
}

TEST_CASE("control: a sealed point survives its way, as does the reason why there is none") {
    const replicator::SealedPoint point{4711, 1'700'000'000'000'000, PointKind::application, 35};
    CHECK(*decode_sealed(encode_sealed(point)) == point);
    const Error error(Errc::unavailable, "points_not_possible", "no journal", "all", "look");
    CHECK(decode_sealed(encode_sealed(error)).error() == error);
    for (const char* bad : {"", "ok\n", "sealed\n", "sealed 1 2 9 4\n", "sealed 1 2 x 4\n"})
        CHECK(decode_sealed(bad).error().code() == Errc::invalid);
}

TEST_CASE("control: an order to break a fence survives its way, with and without a token") {
    FenceOrder order{"move-web", std::nullopt, "Jo Doe"};
    CHECK(decode_order(encode_order(order)) == order);
    order.token = FenceToken();
    order.token->data[3] = 7;
    CHECK(decode_order(encode_order(order)) == order);
    CHECK_FALSE(decode_order("move-web root"));  // an older version's
    CHECK_FALSE(decode_order("move-web not-a-token root"));
}

}  // namespace
}  // namespace drover::agent
