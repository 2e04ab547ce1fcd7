#include "orchestrator/http_server.h"

#include "base/bytes.h"
#include "base/log.h"
#include "orchestrator/problem.h"
#include "wire/tls_context.h"

#include <chrono>
#include <set>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>

namespace drover::orchestrator {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::seconds;

using Stream = beast::ssl_stream<beast::tcp_stream>;
using Parser = http::request_parser<http::string_body>;

constexpr seconds handshake_timeout{10};
constexpr seconds header_timeout{10};
constexpr seconds body_timeout{30};
constexpr seconds write_timeout{30};
constexpr seconds shutdown_timeout{2};
constexpr seconds heartbeat_every{15};
constexpr std::chrono::milliseconds accept_pause{100};

auto to(error_code& error) {
    return asio::redirect_error(asio::use_awaitable, error);
}

/// Shared by the listener and the connections that outlive it for a moment.
struct Shared {
    Shared(asio::io_context& io, SSL_CTX* native, HttpApplication app)
        : context(native),
          listening(io),
          application(std::move(app)) {}

    asio::ssl::context context;
    tcp::acceptor listening;
    HttpApplication application;
    std::set<asio::steady_timer*> waiting_streams;
    std::size_t connections = 0;
    std::size_t streams = 0;
    bool stopped = false;
};

using SharedPtr = std::shared_ptr<Shared>;

/// Counts for as long as it lives.
class Counted {
  public:
    explicit Counted(std::size_t& count)
        : count_(count) {
        ++count_;
    }

    ~Counted() { --count_; }

    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

  private:
    std::size_t& count_;
};

HttpRequest head_of(const Parser::value_type& message) {
    HttpRequest request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message) {
        std::string name(field.name_string());
        for (char& c : name) {
            if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        }
        request.headers.emplace(std::move(name), std::string(field.value()));
    }
    return request;
}

HttpResponse refusal(const char* id, unsigned status, const std::string& detail) {
    Problem problem = problem_of(Error(Errc::invalid, id, detail, "nothing was changed",
                                       "correct the request and send it again"));
    problem.status = status;
    return render(problem);
}

template <class Message>
void set_fields(const HttpResponse& response, bool keep_alive, Message& message) {
    message.version(11);
    message.result(response.status);
    message.set(http::field::content_type, response.content_type);
    message.set(http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : response.headers) message.set(name, value);
    message.keep_alive(keep_alive);
}

/// One TLS connection: request after request, until one side has enough.
class Connection {
  public:
    Connection(SharedPtr shared, tcp::socket socket)
        : shared_(std::move(shared)),
          counted_(shared_->connections),
          stream_(beast::tcp_stream(std::move(socket)), shared_->context) {}

    awaitable<void> run() {
        error_code error;
        expire_after(handshake_timeout);
        co_await stream_.async_handshake(asio::ssl::stream_base::server, to(error));
        if (error) co_return;
        bool go_on = true;
        while (go_on && !shared_->stopped) {
            const bool next = co_await serve_one();
            go_on = next;
        }
        expire_after(shutdown_timeout);
        co_await stream_.async_shutdown(to(error));
    }

  private:
    void expire_after(std::chrono::steady_clock::duration time) {
        beast::get_lowest_layer(stream_).expires_after(time);
    }

    /// False when the connection is to be closed.
    awaitable<bool> serve_one() {
        Parser parser;
        parser.header_limit(header_bytes_max);
        parser.body_limit(boost::none);
        error_code error;
        expire_after(header_timeout);
        co_await http::async_read_header(stream_, buffer_, parser, to(error));
        if (error) {
            const bool kept = co_await refuse_unreadable(error);
            co_return kept;
        }
        HttpRequest request = head_of(parser.get());
        const auto limit = shared_->application.admit(request);
        if (!limit) {
            // The body, if there is one, is not read: what follows on this connection is unknown.
            const bool has_body = !parser.is_done();
            const bool keep = !has_body && parser.get().keep_alive();
            const bool kept = co_await write(render(problem_of(limit.error())), keep);
            co_return kept;
        }
        parser.body_limit(*limit);
        expire_after(body_timeout);
        if (!parser.is_done()) co_await http::async_read(stream_, buffer_, parser, to(error));
        if (error) {
            const bool kept = co_await refuse_unreadable(error);
            co_return kept;
        }
        const bool keep_alive = parser.get().keep_alive();
        request.body = std::move(parser.get().body());
        HttpResponse response = co_await answer(std::move(request));
        if (response.stream) {
            const bool kept = co_await stream_events(std::move(response));
            co_return kept;
        }
        if (response.parts) {
            const bool kept = co_await send_parts(std::move(response));
            co_return kept;
        }
        const bool kept = co_await write(std::move(response), keep_alive);
        co_return kept;
    }

    awaitable<bool> refuse_unreadable(error_code error) {
        if (error == http::error::end_of_stream) co_return false;
        if (error == http::error::body_limit) {
            const bool kept = co_await write(
                refusal("body_too_large", 413, "the body is larger than this route takes"), false);
            co_return kept;
        }
        if (error == http::error::header_limit) {
            const bool kept =
                co_await write(refusal("header_too_large", 431, "the header is too large"), false);
            co_return kept;
        }
        if (error.category() == make_error_code(http::error::bad_method).category()) {
            const bool kept = co_await write(
                refusal("bad_http", 400, "this is no HTTP request: " + error.message()), false);
            co_return kept;
        }
        co_return false;  // the network, or the time is up
    }

    /// Waits until the application has answered; that may be after the next group commit.
    awaitable<HttpResponse> answer(HttpRequest request) {
        // Shared with the callback, which may come after this connection is gone.
        struct Pending {
            explicit Pending(const asio::any_io_executor& executor)
                : answered(executor) {}

            asio::steady_timer answered;
            std::optional<HttpResponse> response;
        };

        const auto pending = std::make_shared<Pending>(stream_.get_executor());
        pending->answered.expires_at(asio::steady_timer::time_point::max());
        shared_->application.handle(request, [pending](HttpResponse response) {
            pending->response = std::move(response);
            pending->answered.cancel();
        });
        beast::get_lowest_layer(stream_).expires_never();
        error_code woken;
        while (!pending->response) co_await pending->answered.async_wait(to(woken));
        co_return std::move(*pending->response);
    }

    awaitable<bool> write(HttpResponse response, bool keep_alive) {
        http::response<http::string_body> message;
        set_fields(response, keep_alive, message);
        message.body() = std::move(response.body);
        message.prepare_payload();
        error_code error;
        expire_after(write_timeout);
        co_await http::async_write(stream_, message, to(error));
        co_return !error && keep_alive;
    }

    awaitable<bool> stream_events(HttpResponse response) {
        if (shared_->streams >= streams_max) {
            HttpResponse refused = render(problem_of(
                Error(Errc::unavailable, "too_many_streams", "too many event streams are open",
                      "nothing was changed", "close one, or try again later")));
            const bool kept = co_await write(std::move(refused), false);
            co_return kept;
        }
        const Counted counted(shared_->streams);
        const bool begun = co_await begin_chunks(response);
        if (begun) co_await follow(std::move(response.stream), response.stream_from);
        co_return false;
    }

    awaitable<bool> begin_chunks(const HttpResponse& response) {
        http::response<http::empty_body> message;
        set_fields(response, false, message);
        message.chunked(true);
        http::response_serializer<http::empty_body> serializer(message);
        error_code error;
        expire_after(write_timeout);
        co_await http::async_write_header(stream_, serializer, to(error));
        co_return !error;
    }

    /// Part after part; everybody else has a turn while one is on its way.
    awaitable<bool> send_parts(HttpResponse response) {
        auto part = response.parts();
        if (!part) {
            const bool kept = co_await write(render(problem_of(part.error())), false);
            co_return kept;
        }
        const bool begun = co_await begin_chunks(response);
        if (!begun) co_return false;
        error_code error;
        while (!shared_->stopped) {
            expire_after(write_timeout);
            if (!part->text.empty()) {
                const auto chunk = http::make_chunk(asio::buffer(part->text));
                co_await asio::async_write(stream_, chunk, to(error));
            } else {
                co_await asio::post(stream_.get_executor(), asio::use_awaitable);
            }
            if (error) break;
            if (part->is_last) {
                const auto end = http::make_chunk_last();
                co_await asio::async_write(stream_, end, to(error));
                break;
            }
            part = response.parts();
            if (!part) {
                log::error("http", "a body is broken off: " + part.error().text());
                close_hard();
                break;
            }
        }
        co_return false;
    }

    /// Without a last chunk and without a TLS farewell: nobody can take this for the end.
    void close_hard() {
        error_code ignored;
        beast::get_lowest_layer(stream_).socket().close(ignored);
    }

    /// Page after page; a comment when there was nothing for a while, so that both ends and
    /// everything between them know that the stream lives.
    awaitable<void> follow(EventSource source, eventlog::Seq next) {
        asio::steady_timer woken(stream_.get_executor());
        std::string text = "retry: 2000\n\n";
        while (!shared_->stopped) {
            error_code error;
            if (!text.empty()) {
                expire_after(write_timeout);
                const auto chunk = http::make_chunk(asio::buffer(text));
                co_await asio::async_write(stream_, chunk, to(error));
                if (error) co_return;
            }
            auto page = source(next);
            if (!page) {
                log::error("http", "a stream of events ends: " + page.error().text());
                co_return;
            }
            next = page->next;
            text = std::move(page->text);
            if (!text.empty()) continue;
            beast::get_lowest_layer(stream_).expires_never();
            woken.expires_after(heartbeat_every);
            shared_->waiting_streams.insert(&woken);
            co_await woken.async_wait(to(error));
            shared_->waiting_streams.erase(&woken);
            if (!error) text = ": still here\n\n";
        }
    }

    SharedPtr shared_;
    Counted counted_;
    Stream stream_;
    beast::flat_buffer buffer_{header_bytes_max * 4};
};

awaitable<void> serve(SharedPtr shared, tcp::socket socket) {
    Connection connection(std::move(shared), std::move(socket));
    co_await connection.run();
}

awaitable<void> accept_all(SharedPtr shared) {
    while (!shared->stopped) {
        error_code error;
        tcp::socket socket = co_await shared->listening.async_accept(to(error));
        if (error == asio::error::operation_aborted || shared->stopped) co_return;
        if (error) {
            // Out of descriptors, most likely: without a pause this loop would spin.
            asio::steady_timer pause(shared->listening.get_executor(), accept_pause);
            co_await pause.async_wait(to(error));
            continue;
        }
        if (shared->connections >= connections_max) continue;  // closes it
        asio::co_spawn(shared->listening.get_executor(), serve(shared, std::move(socket)),
                       [](const std::exception_ptr& failure) {
                           if (failure) log::error("http", "a connection ended with an exception");
                       });
    }
}

class BeastServer final : public HttpServer {
  public:
    explicit BeastServer(SharedPtr shared)
        : shared_(std::move(shared)),
          port_(shared_->listening.local_endpoint().port()) {}

    ~BeastServer() override { close(); }

    [[nodiscard]] std::uint16_t port() const override { return port_; }

    void notify() override {
        for (asio::steady_timer* stream : shared_->waiting_streams) stream->cancel();
    }

    void stop() override { close(); }

  private:
    void close() {
        shared_->stopped = true;
        error_code ignored;
        shared_->listening.close(ignored);
    }

    const SharedPtr shared_;  // see Shared
    const std::uint16_t port_;
};

Result<> open(tcp::acceptor& listening, const std::string& host, std::uint16_t port) {
    error_code error;
    const auto address = asio::ip::make_address(host, error);
    if (error) {
        return Error(Errc::invalid, "bad_listen_address",
                     "not an IP address: " + printable(host, 253));
    }
    const tcp::endpoint endpoint(address, port);
    listening.open(endpoint.protocol(), error);
    if (!error) listening.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) listening.bind(endpoint, error);
    if (!error) listening.listen(asio::socket_base::max_listen_connections, error);
    if (!error) return {};
    return Error(Errc::unavailable, "port_taken",
                 "cannot listen on " + host + ":" + std::to_string(port) + ": " + error.message(),
                 "nothing was changed", "free the port or choose another one");
}

}  // namespace

Result<std::unique_ptr<HttpServer>> listen_https(asio::io_context& io,
                                                 const wire::TlsIdentity& identity,
                                                 const std::string& host, std::uint16_t port,
                                                 HttpApplication application) {
    TRY(auto context, wire::make_tls_context(identity, wire::TlsMode::open_server));
    auto shared = std::make_shared<Shared>(io, context.release(), std::move(application));
    TRY_VOID(open(shared->listening, host, port));
    asio::co_spawn(io, accept_all(shared), asio::detached);
    return std::unique_ptr<HttpServer>(std::make_unique<BeastServer>(std::move(shared)));
}

}  // namespace drover::orchestrator
