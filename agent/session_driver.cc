#include "agent/session_driver.h"

#include "agent/control.h"
#include "agent/local_socket.h"
#include "base/log.h"
#include "schemas/codec.h"
#include "wire/agent_session.h"
#include "wire/connection.h"

#include <algorithm>
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
          session(options.hello, std::move(pending)),
          clock(a_clock),
          random(a_random) {}

    SessionOptions options;
    wire::AgentSession session;
    Clock& clock;
    Random& random;
    asio::io_context io;
    Executor* executor = nullptr;
    std::shared_ptr<wire::Connection>
        connection;  ///< as Connection demands: reader and writer share
    bool stopping = false;
    std::optional<Error> failure;
    std::string last_trouble;  ///< logged once, not at every attempt
    bool is_closing = false;   ///< the session ended this connection

    void apply(wire::AgentStep step);
    void obey(const EffectWanted& wanted);
    [[nodiscard]] bool persist(const std::optional<Witness>& witness);
    void stop(std::optional<Error> why);
    void complain(const Error& error);
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

void SessionDriver::State::stop(std::optional<Error> why) {
    if (stopping) return;
    stopping = true;
    failure = std::move(why);
    if (connection) connection->close();
    io.stop();
}

void SessionDriver::State::complain(const Error& error) {
    if (error.text() == last_trouble) return;
    last_trouble = error.text();
    log::warn("session", last_trouble);
}

/// Before anything that follows from it: an agent that forgets whom it obeyed could obey a stale
/// copy.
bool SessionDriver::State::persist(const std::optional<Witness>& witness) {
    if (!witness) return true;
    auto stored = store_witness(options.paths, *witness);
    if (!stored) stop(stored.error());
    return stored.has_value();
}

/// In the order that AgentStep demands.
void SessionDriver::State::apply(wire::AgentStep step) {
    if (!persist(step.persist)) return;
    for (const AgentMessage& message : step.send)
        if (connection) connection->post(encode(message));
    if (step.welcomed) {
        last_trouble.clear();
        log::info("session", "connected",
                  "server=" + options.server_host + ":" + std::to_string(options.server_port) +
                      " epoch=" + std::to_string(session.witness().epoch));
    }
    for (const EffectWanted& wanted : step.effects) obey(wanted);
    for (const EffectWithdrawn& withdrawn : step.withdrawn) executor->withdrawn(withdrawn);
    for (const Uuid& report_id : step.acknowledged) executor->acknowledged(report_id);
    if (step.close) {
        complain(*step.close);
        is_closing = true;
        if (connection) connection->close();
    }
}

void SessionDriver::State::obey(const EffectWanted& wanted) {
    const wire::AgentStep step = session.obeyed(wanted.head, clock.steady_ms());
    if (persist(step.persist)) executor->wanted(wanted);
}

// ---- the connection ----

awaitable<void> SessionDriver::State::serve(std::shared_ptr<wire::Connection> fresh) {
    connection = fresh;
    is_closing = false;
    apply(session.connected(clock.steady_ms()));
    for (;;) {
        const Result<Bytes> bytes = co_await fresh->receive();
        if (!bytes) {
            // A connection that the session itself closed has its reason already.
            if (!is_closing) complain(bytes.error());
            break;
        }
        const auto message = decode_orchestrator_message(*bytes);
        if (!message) {
            complain(message.error());
            break;
        }
        apply(session.received(*message, clock.steady_ms()));
    }
    fresh->close();
    connection.reset();
    session.disconnected();
}

awaitable<void> SessionDriver::State::connect_for_ever() {
    asio::steady_timer timer(io);
    std::int64_t delay_ms = reconnect_ms_min;
    while (!stopping) {
        Result<std::shared_ptr<wire::Connection>> fresh = co_await wire::connect(
            io, options.tls, options.server_host, options.server_port, wire::server_identity);
        if (fresh) {
            const SteadyMillis began = clock.steady_ms();
            co_await serve(*fresh);
            // A connection that lasted was a good one; one that was refused at once was not.
            if (clock.steady_ms() - began > reconnect_ms_max) delay_ms = reconnect_ms_min;
        } else {
            complain(fresh.error());
        }
        const auto jitter =
            static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(delay_ms / 2 + 1)));
        timer.expires_after(std::chrono::milliseconds(delay_ms - jitter));
        error_code ignored;  // only our own end cancels it
        co_await timer.async_wait(into(ignored));
        delay_ms = std::min(delay_ms * 2, reconnect_ms_max);
    }
}

awaitable<void> SessionDriver::State::tick_for_ever() {
    asio::steady_timer timer(io);
    while (!stopping) {
        timer.expires_after(tick_interval);
        error_code ignored;  // only our own end cancels it
        co_await timer.async_wait(into(ignored));
        apply(session.tick(clock.steady_ms()));
        executor->tick();
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
    const std::string epoch = std::to_string(session.witness().epoch);
    if (session.is_welcomed()) return "connected " + epoch + "\n";
    return "disconnected " + epoch + " " + last_trouble + "\n";
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
    asio::post(state_->io, [state = state_.get(), effect] {
        state->apply(state->session.taken(effect, state->clock.steady_ms()));
    });
}

void SessionDriver::report(const Report& report) {
    asio::post(state_->io, [state = state_.get(), report] {
        state->apply(state->session.report(report, state->clock.steady_ms()));
    });
}

void SessionDriver::progress(const Progress& progress) {
    asio::post(state_->io, [state = state_.get(), progress] {
        state->apply(state->session.progress(progress, state->clock.steady_ms()));
    });
}

void SessionDriver::failed(const Error& error) {
    log::error("agent", error.text());
    asio::post(state_->io, [state = state_.get(), error] { state->stop(error); });
}

}  // namespace drover::agent
