#include "wire/connection.h"

#include "base/log.h"
#include "schemas/codec.h"
#include "wire/tcp.h"
#include "wire/tls_context.h"

#include <array>
#include <chrono>
#include <deque>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace drover::wire {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using SslStream = asio::ssl::stream<tcp::socket>;
using std::chrono::milliseconds;

constexpr std::size_t queue_bytes_max = 8U << 20;
constexpr std::size_t handshakes_max = 100;
constexpr milliseconds dial_timeout{10'000};
constexpr milliseconds handshake_timeout{10'000};
constexpr milliseconds write_timeout{30'000};
constexpr milliseconds close_timeout{2'000};
constexpr milliseconds accept_pause{100};

/// For co_await with the error in a variable instead of an exception.
auto to(error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

Error closed_error() {
    return Error(Errc::unavailable, "connection_closed", "the connection is closed");
}

Error network_error(const error_code& error, std::string_view action) {
    return Error(Errc::unavailable, "connection_lost",
                 std::string(action) + ": " + error.message());
}

/// The one network time-out: waits for `work`; when it takes longer than `timeout`, calls `cancel`,
/// which must make `work` end, and returns timed_out. `cancel` is not called once `work` has ended.
template <class T>
awaitable<Result<T>> with_timeout(milliseconds timeout, awaitable<Result<T>> work,
                                  std::function<void()> cancel) {
    struct State {
        bool ended = false;
        bool expired = false;
    };

    // Shared with the timer's handler, which may run after this coroutine has gone on.
    const auto state = std::make_shared<State>();
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor, timeout);
    timer.async_wait([state, cancel](const error_code& error) {
        if (error || state->ended) return;
        state->expired = true;
        cancel();
    });
    auto result = co_await std::move(work);
    state->ended = true;
    if (state->expired)
        co_return Error(Errc::timed_out, "connection_timed_out", "no answer in time");
    co_return result;
}

/// Our context in Asio's clothes.
Result<std::shared_ptr<asio::ssl::context>> asio_context(const TlsIdentity& identity,
                                                         TlsMode mode) {
    TRY(auto context, make_tls_context(identity, mode));
    return std::make_shared<asio::ssl::context>(context.release());
}

class TlsConnection final : public Connection, public std::enable_shared_from_this<TlsConnection> {
  public:
    /// `context` is shared by all connections of a listener and must outlive their streams.
    TlsConnection(std::shared_ptr<asio::ssl::context> context, tcp::socket socket)
        : context_(std::move(context)),
          stream_(std::move(socket), *context_),
          wake_(stream_.get_executor()),
          close_timer_(stream_.get_executor()) {
        error_code ignored;
        const auto remote = stream_.lowest_layer().remote_endpoint(ignored);
        remote_address_ = remote.address().to_string(ignored);
        set_tcp_options(stream_.lowest_layer().native_handle());
        wake_.expires_at(asio::steady_timer::time_point::max());
    }

    awaitable<Result<>> handshake(SslStream::handshake_type type, std::string expected_peer) {
        error_code error;
        co_await stream_.async_handshake(type, to(error));
        if (error) co_return tls_failure(error);
        auto peer = checked_peer(stream_.native_handle(), expected_peer);
        if (!peer) co_return peer.error();
        peer_ = std::move(*peer);
        co_return Result<>();
    }

    /// The empty first frame of the accepting side; see tls_context.h.
    awaitable<Result<>> expect_greeting() {
        auto greeting = co_await receive();
        if (!greeting) co_return greeting.error();
        if (greeting->empty()) co_return Result<>();
        co_return Error(Errc::invalid, "protocol_error",
                        "the peer did not begin with an empty frame");
    }

    void start_writing() { asio::co_spawn(stream_.get_executor(), write_all(), asio::detached); }

    awaitable<Result<Bytes>> receive() override {
        const auto self = shared_from_this();
        if (closing_) co_return closed_error();
        reading_ = true;
        auto message = co_await read_one();
        reading_ = false;
        if (closing_) {
            wake_.cancel();  // The goodbye waits for us.
            co_return closed_error();
        }
        if (!message) destroy();
        co_return message;
    }

    bool post(Bytes message) override {
        if (closing_) return false;
        queued_bytes_ += message.size();
        if (queued_bytes_ > queue_bytes_max) {
            log::warn("wire", "a peer reads too slowly; its connection is closed", "peer=" + peer_);
            destroy();
            return false;
        }
        queue_.push_back(std::move(message));
        wake_.cancel();
        return true;
    }

    void close() override {
        if (closing_) return;
        closing_ = true;
        wake_.cancel();
        close_timer_.expires_after(close_timeout);
        // Holds the connection until it is really closed.
        close_timer_.async_wait([self = shared_from_this()](const error_code& error) {
            if (!error) self->destroy();
        });
    }

    [[nodiscard]] const std::string& peer() const override { return peer_; }

    [[nodiscard]] const std::string& remote_address() const override { return remote_address_; }

    /// At once, whatever is queued.
    void destroy() {
        closing_ = true;
        queue_.clear();
        queued_bytes_ = 0;
        wake_.cancel();
        close_timer_.cancel();
        error_code ignored;
        stream_.lowest_layer().close(ignored);
    }

  private:
    awaitable<void> write_all() {
        const auto self = shared_from_this();
        for (;;) {
            error_code error;
            if (queue_.empty()) {
                if (closing_) break;
                co_await wake_.async_wait(to(error));
                continue;
            }
            const Bytes message = std::move(queue_.front());
            queue_.pop_front();
            queued_bytes_ -= message.size();
            auto work = write_one(message);
            const std::function<void()> give_up = [self] { self->destroy(); };
            auto written = co_await with_timeout<void>(write_timeout, std::move(work), give_up);
            if (!written) {
                destroy();
                co_return;
            }
        }
        co_await say_goodbye();
    }

    /// `message` lives in the caller's frame until this has ended.
    awaitable<Result<>> write_one(const Bytes& message) {
        Bytes length;
        put_u32(length, static_cast<std::uint32_t>(message.size()));
        const std::array<asio::const_buffer, 2> buffers{asio::buffer(length),
                                                        asio::buffer(message)};
        error_code error;
        co_await asio::async_write(stream_, buffers, to(error));
        if (error) co_return network_error(error, "write");
        co_return Result<>();
    }

    awaitable<Result<Bytes>> read_one() {
        error_code error;
        co_await asio::async_read(stream_, asio::buffer(length_), to(error));
        if (error) co_return tls_failure(error);
        const std::size_t size = get_u32(length_, 0);
        if (size > message_bytes_max) {
            co_return Error(Errc::invalid, "frame_too_large",
                            "a message of " + std::to_string(size) + " bytes");
        }
        Bytes message(size);
        co_await asio::async_read(stream_, asio::buffer(message), to(error));
        if (error) co_return tls_failure(error);
        co_return message;
    }

    /// Ends our direction only. To close with unread bytes would reset the connection, and the peer
    /// could lose what we said last; so the socket closes when the peer's end arrives, or at
    /// close()'s deadline. No TLS close_notify: frames tell their own length, so a cut is noticed
    /// without it.
    awaitable<void> say_goodbye() {
        error_code error;
        stream_.lowest_layer().shutdown(tcp::socket::shutdown_send, error);
        if (reading_) {
            error_code ignored;
            stream_.lowest_layer().cancel(ignored);
        }
        while (reading_ && stream_.lowest_layer().is_open()) {
            error_code woken;
            co_await wake_.async_wait(to(woken));
        }
        std::array<std::uint8_t, 4096> unread{};
        while (!error) {
            co_await stream_.next_layer().async_read_some(asio::buffer(unread), to(error));
        }
        destroy();
    }

    /// Also for the first read, which may bring the alert about our certificate.
    Error tls_failure(const error_code& error) {
        if (error.category() != asio::error::get_ssl_category()) return network_error(error, "TLS");
        return tls_error_from(stream_.native_handle(), static_cast<unsigned long>(error.value()),
                              "TLS");
    }

    // Shared with the listener: see the constructor.
    const std::shared_ptr<asio::ssl::context> context_;
    SslStream stream_;
    asio::steady_timer wake_;  ///< cancelled to wake the writer
    asio::steady_timer close_timer_;
    std::array<std::uint8_t, 4> length_{};
    std::deque<Bytes> queue_;
    std::size_t queued_bytes_ = 0;
    bool closing_ = false;
    bool reading_ = false;
    std::string peer_;
    std::string remote_address_;
};

awaitable<Result<std::shared_ptr<TlsConnection>>> dial_socket(
    std::shared_ptr<asio::ssl::context> context, std::shared_ptr<tcp::resolver> resolver,
    std::shared_ptr<tcp::socket> socket, std::string host, std::uint16_t port) {
    error_code error;
    const std::string service = std::to_string(port);
    const auto found = co_await resolver->async_resolve(host, service, to(error));
    if (error) {
        co_return Error(Errc::unavailable, "host_not_found",
                        printable(host, 253) + ": " + error.message());
    }
    co_await asio::async_connect(*socket, found, to(error));
    if (error) {
        co_return Error(Errc::unavailable, "peer_unreachable",
                        printable(host, 253) + ":" + std::to_string(port) + ": " + error.message());
    }
    co_return std::make_shared<TlsConnection>(std::move(context), std::move(*socket));
}

awaitable<Result<>> introduce(std::shared_ptr<TlsConnection> connection,
                              std::string expected_peer) {
    auto verified = co_await connection->handshake(SslStream::client, std::move(expected_peer));
    if (!verified) co_return verified.error();
    auto greeted = co_await connection->expect_greeting();
    co_return greeted;
}

/// Shared by the Acceptor and the coroutines that outlive it for a moment.
struct AcceptorState {
    AcceptorState(asio::io_context& io, std::shared_ptr<asio::ssl::context> tls,
                  std::function<void(std::shared_ptr<Connection>)> on_accepted)
        : listening(io),
          context(std::move(tls)),
          accepted(std::move(on_accepted)) {}

    tcp::acceptor listening;
    std::shared_ptr<asio::ssl::context> context;
    std::function<void(std::shared_ptr<Connection>)> accepted;
    std::size_t handshakes = 0;
    bool stopped = false;
};

awaitable<void> welcome_peer(std::shared_ptr<AcceptorState> state,
                             std::shared_ptr<TlsConnection> connection) {
    auto work = connection->handshake(SslStream::server, {});
    const std::function<void()> give_up = [connection] { connection->destroy(); };
    auto verified = co_await with_timeout<void>(handshake_timeout, std::move(work), give_up);
    --state->handshakes;
    if (!verified) {
        log::debug("wire", "a peer was refused: " + verified.error().text(),
                   "from=" + connection->remote_address());
        connection->destroy();
        co_return;
    }
    if (state->stopped) co_return;
    connection->start_writing();
    if (connection->post({})) state->accepted(connection);
}

awaitable<void> accept_all(std::shared_ptr<AcceptorState> state) {
    while (!state->stopped) {
        error_code error;
        auto socket = co_await state->listening.async_accept(to(error));
        if (error == asio::error::operation_aborted || state->stopped) co_return;
        if (error) {
            // Out of descriptors, most likely: without a pause this loop would spin.
            asio::steady_timer pause(state->listening.get_executor(), accept_pause);
            co_await pause.async_wait(to(error));
            continue;
        }
        if (state->handshakes >= handshakes_max) continue;  // Closes it.
        ++state->handshakes;
        auto connection = std::make_shared<TlsConnection>(state->context, std::move(socket));
        asio::co_spawn(state->listening.get_executor(), welcome_peer(state, std::move(connection)),
                       asio::detached);
    }
}

class TlsAcceptor final : public Acceptor {
  public:
    explicit TlsAcceptor(std::shared_ptr<AcceptorState> state)
        : state_(std::move(state)),
          port_(state_->listening.local_endpoint().port()) {}

    ~TlsAcceptor() override { stop_listening(); }

    [[nodiscard]] std::uint16_t port() const override { return port_; }

    void stop() override { stop_listening(); }

  private:
    void stop_listening() {
        state_->stopped = true;
        error_code ignored;
        state_->listening.close(ignored);
    }

    const std::shared_ptr<AcceptorState> state_;  // See AcceptorState.
    const std::uint16_t port_;
};

}  // namespace

awaitable<Result<std::shared_ptr<Connection>>> connect(asio::io_context& io, TlsIdentity identity,
                                                       std::string host, std::uint16_t port,
                                                       std::string expected_peer) {
    auto context = asio_context(identity, TlsMode::client);
    if (!context) co_return context.error();
    // Shared with the time-out's handler, which closes them.
    const auto resolver = std::make_shared<tcp::resolver>(io);
    const auto socket = std::make_shared<tcp::socket>(io);
    auto dialling = dial_socket(std::move(*context), resolver, socket, std::move(host), port);
    const std::function<void()> stop_dialling = [resolver, socket] {
        resolver->cancel();
        error_code ignored;
        socket->close(ignored);
    };
    auto connection = co_await with_timeout<std::shared_ptr<TlsConnection>>(
        dial_timeout, std::move(dialling), stop_dialling);
    if (!connection) co_return connection.error();
    const auto made = *connection;
    auto introducing = introduce(made, std::move(expected_peer));
    const std::function<void()> give_up = [made] { made->destroy(); };
    auto introduced =
        co_await with_timeout<void>(handshake_timeout, std::move(introducing), give_up);
    if (!introduced) {
        made->destroy();
        co_return introduced.error();
    }
    made->start_writing();
    co_return std::static_pointer_cast<Connection>(made);
}

Result<std::unique_ptr<Acceptor>> accept(
    asio::io_context& io, TlsIdentity identity, std::string host, std::uint16_t port,
    std::function<void(std::shared_ptr<Connection>)> accepted) {
    TRY(auto context, asio_context(identity, TlsMode::mutual_server));
    error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error) {
        return Error(Errc::invalid, "bad_listen_address",
                     "not an IP address: " + printable(host, 253));
    }
    auto state = std::make_shared<AcceptorState>(io, std::move(context), std::move(accepted));
    const tcp::endpoint endpoint(address, port);
    state->listening.open(endpoint.protocol(), error);
    if (!error) state->listening.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) state->listening.bind(endpoint, error);
    if (!error) state->listening.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
        return Error(
            Errc::unavailable, "port_taken",
            "cannot listen on " + host + ":" + std::to_string(port) + ": " + error.message(),
            "nothing was changed", "free the port or configure another one");
    }
    asio::co_spawn(io, accept_all(state), asio::detached);
    return std::unique_ptr<Acceptor>(std::make_unique<TlsAcceptor>(std::move(state)));
}

}  // namespace drover::wire
