#include "agent/session_driver.h"

#include "agent/control.h"
#include "agent/local_socket.h"
#include "agent/session_steps.h"
#include "base/log.h"
#include "schemas/codec.h"
#include "wire/connection.h"

#include <chrono>
#include <csignal>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace drover::agent {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::local::stream_protocol;
using boost::system::error_code;

constexpr auto tick_interval = std::chrono::milliseconds(1000);
constexpr auto control_timeout = std::chrono::seconds(5);
constexpr std::size_t control_line_bytes_max = 512;

auto into(error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

}  // namespace

struct SessionDriver::State {
    State(SessionOptions given, std::vector<Report> pending, Clock& a_clock, Random& a_random)
        : options(std::move(given)),
          steps(options.hello, std::move(pending), options.paths, a_clock, outlets(),
                options.recovery_public_pem),
          clock(a_clock),
          random(a_random) {}

    SessionOptions options;
    SessionSteps steps;
    Clock& clock;
    Random& random;
    asio::io_context io;
    Executor* executor = nullptr;
    std::shared_ptr<wire::Connection>
        connection;  ///< as Connection demands: reader and writer share
    bool stopping = false;
    std::optional<Error> failure;

    SessionSteps::Outlets outlets();
    void stop(std::optional<Error> why);
    [[nodiscard]] std::string status() const;

    awaitable<void> connect_for_ever();
    awaitable<void> serve(std::shared_ptr<wire::Connection> fresh);
    awaitable<void> tick_for_ever();
    awaitable<void> wait_for_signal();
    awaitable<void> accept_control(std::shared_ptr<stream_protocol::acceptor> acceptor);
    awaitable<void> answer_control(std::shared_ptr<stream_protocol::socket> peer);
    void command(const std::string& line, const std::function<void(std::string)>& answer);
    [[nodiscard]] Result<> open_control();
};

SessionSteps::Outlets SessionDriver::State::outlets() {
    return {.send =
                [this](const AgentMessage& message) {
                    if (connection) connection->post(encode(message));
                },
            .close =
                [this] {
                    if (connection) connection->close();
                },
            .fail = [this](const Error& error) { stop(error); }};
}

void SessionDriver::State::stop(std::optional<Error> why) {
    if (stopping) return;
    stopping = true;
    failure = std::move(why);
    if (connection) connection->close();
    io.stop();
}

// ---- the connection ----

awaitable<void> SessionDriver::State::serve(std::shared_ptr<wire::Connection> fresh) {
    connection = fresh;
    steps.connected();
    std::optional<Error> why;
    while (!why) {
        const Result<Bytes> bytes = co_await fresh->receive();
        if (!bytes) {
            why = bytes.error();
            continue;
        }
        const auto message = decode_orchestrator_message(*bytes);
        if (message)
            steps.received(*message);
        else
            why = message.error();
    }
    fresh->close();
    connection.reset();
    steps.disconnected(*why);
}

awaitable<void> SessionDriver::State::connect_for_ever() {
    asio::steady_timer timer(io);
    Backoff backoff;
    while (!stopping) {
        Result<std::shared_ptr<wire::Connection>> fresh = co_await wire::connect(
            io, options.tls, options.server_host, options.server_port, wire::server_identity);
        SteadyMillis connected_ms = 0;
        if (fresh) {
            const SteadyMillis began = clock.steady_ms();
            co_await serve(*fresh);
            connected_ms = clock.steady_ms() - began;
        } else {
            steps.complain(fresh.error());
        }
        timer.expires_after(std::chrono::milliseconds(backoff.next_ms(connected_ms, random)));
        error_code ignored;  // only our own end cancels it
        co_await timer.async_wait(into(ignored));
    }
}

awaitable<void> SessionDriver::State::tick_for_ever() {
    asio::steady_timer timer(io);
    while (!stopping) {
        timer.expires_after(tick_interval);
        error_code ignored;  // only our own end cancels it
        co_await timer.async_wait(into(ignored));
        steps.tick();
    }
}

awaitable<void> SessionDriver::State::wait_for_signal() {
    asio::signal_set signals(io, SIGTERM, SIGINT);
    error_code ignored;  // only our own end cancels it
    co_await signals.async_wait(into(ignored));
    log::info("agent", "stopping; fences, guards and trackers stay");
    stop(std::nullopt);
}

// ---- local control ----

std::string SessionDriver::State::status() const {
    const std::string epoch = std::to_string(steps.witness().epoch);
    if (steps.is_welcomed()) return "connected " + epoch + "\n";
    return "disconnected " + epoch + " " + steps.last_trouble() + "\n";
}

void SessionDriver::State::command(const std::string& line,
                                   const std::function<void(std::string)>& answer) {
    const std::size_t space = line.find(' ');
    const std::string verb = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    auto done = [answer](const Result<>& outcome) { answer(encode_outcome(outcome)); };
    if (verb == "status") return answer(status());
    const auto order = decode_order(rest);
    if (verb == "release" && order) return executor->break_fence(*order, done);
    const auto point = decode_point_order(rest);
    if (verb == "restore-point" && point) return executor->restore_point(*point, done);
    if (verb == "seal-point") {
        return executor->seal_point(
            rest, [answer](const auto& sealed) { answer(encode_sealed(sealed)); });
    }
    const auto token = FenceToken::from_hex_text(rest);
    if (verb == "fence-remove" && token) return executor->remove_fence(*token, done);
    done(Error(Errc::invalid, "control_command", "the agent does not know this command",
               "nothing was changed", "use the drover-agent of the same version"));
}

awaitable<void> SessionDriver::State::answer_control(
    std::shared_ptr<stream_protocol::socket> peer) {
    auto timer = std::make_shared<asio::steady_timer>(io, control_timeout);
    timer->async_wait([peer](const error_code& ended) {
        if (!ended) peer->cancel();
    });
    std::string line;
    error_code failed;
    co_await asio::async_read_until(*peer, asio::dynamic_buffer(line, control_line_bytes_max), '\n',
                                    into(failed));
    timer->cancel();
    if (failed) co_return;
    command(line.substr(0, line.find('\n')), [this, peer](const std::string& text) {
        asio::post(io, [peer, out = std::make_shared<std::string>(text)] {
            asio::async_write(*peer, asio::buffer(*out),
                              [peer, out](const error_code&, std::size_t) {});
        });
    });
}

awaitable<void> SessionDriver::State::accept_control(
    std::shared_ptr<stream_protocol::acceptor> acceptor) {
    while (!stopping) {
        auto peer = std::make_shared<stream_protocol::socket>(io);
        error_code failed;
        co_await acceptor->async_accept(*peer, into(failed));
        if (failed) co_return;
        if (!local_peer_is_trusted(peer->native_handle())) continue;
        asio::co_spawn(io, answer_control(peer), [](const std::exception_ptr&) {});
    }
}

Result<> SessionDriver::State::open_control() {
    TRY(Fd fd, listen_local_socket(options.paths.control_socket()));
    auto acceptor = std::make_shared<stream_protocol::acceptor>(io);
    error_code failed;
    acceptor->assign(stream_protocol(), fd.get(), failed);
    if (failed) return errno_error(failed.value(), "listen on", "agent.sock");
    (void)fd.release();  // the acceptor owns it now
    asio::co_spawn(io, accept_control(acceptor), [](const std::exception_ptr&) {});
    return {};
}

// ---- the outside ----

SessionDriver::SessionDriver(SessionOptions options, std::vector<Report> pending, Clock& clock,
                             Random& random)
    : state_(std::make_unique<State>(std::move(options), std::move(pending), clock, random)) {}

SessionDriver::~SessionDriver() = default;

Result<> SessionDriver::run(Executor& executor) {
    State& state = *state_;
    state.executor = &executor;
    state.steps.set_executor(executor);
    TRY_VOID(state.open_control());
    // A coroutine that ends by an exception has met a bug or exhausted memory: end, begin again.
    auto ended = [&state](const std::exception_ptr& thrown) {
        if (thrown)
            state.stop(Error(Errc::io, "agent_failed", "the session driver ended by an exception"));
    };
    asio::co_spawn(state.io, state.wait_for_signal(), ended);
    asio::co_spawn(state.io, state.connect_for_ever(), ended);
    asio::co_spawn(state.io, state.tick_for_ever(), ended);
    state.io.run();
    if (state.failure) return *state.failure;
    return {};
}

void SessionDriver::taken(const EffectId& effect) {
    asio::post(state_->io, [state = state_.get(), effect] { state->steps.taken(effect); });
}

void SessionDriver::report(const Report& report) {
    asio::post(state_->io, [state = state_.get(), report] { state->steps.report(report); });
}

void SessionDriver::progress(const Progress& progress) {
    asio::post(state_->io, [state = state_.get(), progress] { state->steps.progress(progress); });
}

void SessionDriver::failed(const Error& error) {
    log::error("agent", error.text());
    asio::post(state_->io, [state = state_.get(), error] { state->stop(error); });
}

}  // namespace drover::agent
