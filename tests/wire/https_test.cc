#include "wire/https.h"

#include "base/file.h"
#include "tests/wire/parties.h"
#include "wire/tls_stream.h"

#include <atomic>
#include <thread>

#include <catch2/catch.hpp>

#include <poll.h>
#include <sys/socket.h>

namespace drover::wire {
namespace {

/// Answers every request with the same bytes and closes; remembers what the last one said.
class CannedServer {
  public:
    CannedServer(const TlsIdentity& identity, std::string answer, bool hang = false)
        : context_(make_tls_context(identity, TlsMode::open_server).value()),
          listening_(listen_tcp("127.0.0.1", 0).value()),
          port_(port_of(listening_.get())),
          answer_(std::move(answer)),
          hang_(hang),
          thread_([this] { run(); }) {}

    ~CannedServer() {
        stopping_ = true;
        ::shutdown(listening_.get(), SHUT_RDWR);
        thread_.join();
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }

    [[nodiscard]] std::string last_request() {
        const std::lock_guard lock(mutex_);
        return request_;
    }

  private:
    void run() {
        while (!stopping_) {
            pollfd waiting{listening_.get(), POLLIN, 0};
            (void)::poll(&waiting, 1, -1);
            Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (socket.valid()) serve(std::move(socket));
        }
    }

    void serve(Fd socket) {
        auto stream =
            TlsStream::make(context_.get(), std::move(socket), TlsStream::Role::server).value();
        const Deadline deadline = deadline_in(5000);
        if (!stream->handshake(deadline)) return;
        std::string request;
        Bytes buffer(4096);
        while (!is_complete(request)) {
            const auto count = stream->read_some(buffer, deadline);
            if (!count || *count == 0) return;
            request += as_text(ByteView(buffer).first(*count));
        }
        {
            const std::lock_guard lock(mutex_);
            request_ = request;
        }
        (void)stream->write(as_bytes(answer_), {}, deadline);
        // Until the client gives up.
        while (hang_) {
            const auto count = stream->read_some(buffer, deadline);
            if (!count || *count == 0) return;
        }
    }

    static bool is_complete(const std::string& request) {
        const auto end = request.find("\r\n\r\n");
        if (end == std::string::npos) return false;
        const auto length = request.find("Content-Length: ");
        if (length == std::string::npos) return true;
        return request.size() >= end + 4 + std::stoul(request.substr(length + 16));
    }

    const TlsContextPtr context_;
    const Fd listening_;
    const std::uint16_t port_;
    const std::string answer_;
    const bool hang_;
    std::mutex mutex_;
    std::string request_;
    std::atomic<bool> stopping_ = false;
    std::thread thread_;
};

constexpr const char* chunked =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    "6\r\nid: 1\n\r\n7\r\nid: 22\n\r\n0\r\n\r\n";
constexpr const char* plain =
    "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-Trace: abc\r\n\r\nhello";

HttpsOptions trusting(const parties::Parties& parties, const CannedServer& server) {
    HttpsOptions options;
    options.host = "127.0.0.1";
    options.port = server.port();
    options.authority_pem = parties.authority.certificate_pem;
    options.timeout_ms = 5000;
    return options;
}

HttpsOptions pinned(const std::string& authority_pem, const CannedServer& server) {
    HttpsOptions options;
    options.host = "127.0.0.1";
    options.port = server.port();
    options.authority_sha256 = fingerprint(authority_pem).value();
    options.timeout_ms = 5000;
    return options;
}

Errc code_of(const Result<HttpResponse>& result) {
    return result ? Errc::none : result.error().code();
}

TEST_CASE("https: a request and its answer cross unchanged") {
    const parties::Parties parties;
    CannedServer server(parties.server, plain);
    const auto response = https_request(trusting(parties, server), "POST", "/v1/jobs?x=1",
                                        {{"Authorization", "Bearer t"}}, "{\"a\":1}");
    REQUIRE(response.has_value());
    CHECK(response->status == 201);
    CHECK(response->body == "hello");
    CHECK(response->header("x-trace") == "abc");
    CHECK(response->header("absent").empty());
    const std::string request = server.last_request();
    CHECK(request.starts_with("POST /v1/jobs?x=1 HTTP/1.1\r\n"));
    CHECK(request.find("Authorization: Bearer t\r\n") != std::string::npos);
    CHECK(request.find("Host: 127.0.0.1:" + std::to_string(server.port())) != std::string::npos);
    CHECK(request.ends_with("\r\n\r\n{\"a\":1}"));
}

TEST_CASE("https: a chunked answer is put together, or handed on piece by piece") {
    const parties::Parties parties;
    CannedServer server(parties.server, chunked);
    const auto whole = https_request(trusting(parties, server), "GET", "/");
    REQUIRE(whole.has_value());
    CHECK(whole->body == "id: 1\nid: 22\n");
    std::string streamed;
    const auto response =
        https_stream(trusting(parties, server), "/", {}, [&](std::string_view piece) {
            streamed += piece;
            return true;
        });
    REQUIRE(response.has_value());
    CHECK(streamed == "id: 1\nid: 22\n");
    CHECK(response->body.empty());
}

TEST_CASE("https: a stream ends when the caller has seen enough, and when it falls silent") {
    const parties::Parties parties;
    const std::string endless =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nid: 1\n\r\n";
    CannedServer server(parties.server, endless, true);
    HttpsOptions options = trusting(parties, server);
    const auto enough = https_stream(options, "/", {}, [](std::string_view) { return false; });
    CHECK(enough.has_value());
    options.timeout_ms = 50;
    int pieces = 0;
    const auto silent = https_stream(options, "/", {}, [&](std::string_view) {
        ++pieces;
        return true;
    });
    CHECK(code_of(silent) == Errc::timed_out);
    CHECK(pieces == 1);
}

TEST_CASE("https: a refusal of a stream comes back with its body") {
    const parties::Parties parties;
    CannedServer server(parties.server, "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno");
    const auto response = https_stream(trusting(parties, server), "/", {}, [](std::string_view) {
        FAIL("not an event");
        return true;
    });
    REQUIRE(response.has_value());
    CHECK(response->status == 401);
    CHECK(response->body == "no");
}

TEST_CASE("https: a pin finds the authority in what the server sends, and returns it") {
    const parties::Parties parties;
    CannedServer server(parties.server, plain);
    HttpsOptions options = pinned(parties.authority.certificate_pem, server);
    for (char& digit : options.authority_sha256) {
        digit = static_cast<char>(std::toupper(static_cast<unsigned char>(digit)));
    }
    const auto response = https_request(options, "GET", "/");
    REQUIRE(response.has_value());
    CHECK(response->authority_pem == parties.authority.certificate_pem);
}

TEST_CASE("https: with a wrong pin nothing is sent") {
    const parties::Parties parties;
    CannedServer server(parties.server, plain);
    const auto refused = https_request(pinned(parties.foreign_authority.certificate_pem, server),
                                       "POST", "/v1/enroll", {}, "token");
    CHECK(code_of(refused) == Errc::denied);
    // The server's own certificate is no authority either.
    const auto leaf = https_request(pinned(parties.server.certificate_pem, server), "GET", "/");
    CHECK(code_of(leaf) == Errc::denied);
    CHECK(server.last_request().empty());
    HttpsOptions nonsense = pinned(parties.authority.certificate_pem, server);
    nonsense.authority_sha256 = "abc";
    CHECK(code_of(https_request(nonsense, "GET", "/")) == Errc::invalid);
}

TEST_CASE("https: a server of another authority is refused") {
    const parties::Parties parties;
    const TlsIdentity foreign = parties::new_server(parties.foreign_authority, {"127.0.0.1"});
    CannedServer server(foreign, plain);
    CHECK(code_of(https_request(trusting(parties, server), "GET", "/")) == Errc::denied);
    CHECK(server.last_request().empty());
}

TEST_CASE("https: an agent cannot pass for the server") {
    const parties::Parties parties;
    CannedServer server(parties.target, plain);
    CHECK(code_of(https_request(trusting(parties, server), "GET", "/")) == Errc::denied);
    const auto by_pin =
        https_request(pinned(parties.authority.certificate_pem, server), "GET", "/");
    CHECK(code_of(by_pin) == Errc::denied);
    CHECK(server.last_request().empty());
}

TEST_CASE("https: a certificate for another host is refused") {
    const parties::Parties parties;
    const TlsIdentity elsewhere = parties::new_server(parties.authority, {"10.1.2.3", "other"});
    CannedServer server(elsewhere, plain);
    CHECK(code_of(https_request(trusting(parties, server), "GET", "/")) == Errc::denied);
    CHECK(server.last_request().empty());
}

TEST_CASE("https: answers that are no HTTP, cut short or never come are errors") {
    const parties::Parties parties;
    CannedServer nonsense(parties.server, "SSH-2.0-x\r\n\r\n");
    CHECK(code_of(https_request(trusting(parties, nonsense), "GET", "/")) == Errc::invalid);
    CannedServer cut(parties.server, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort");
    CHECK(code_of(https_request(trusting(parties, cut), "GET", "/")) == Errc::unavailable);
    CannedServer large(parties.server, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    CHECK(code_of(https_request(trusting(parties, large), "GET", "/")) == Errc::invalid);
    CannedServer silent(parties.server, "", true);
    HttpsOptions options = trusting(parties, silent);
    options.timeout_ms = 50;
    CHECK(code_of(https_request(options, "GET", "/")) == Errc::timed_out);
}

TEST_CASE("https: a value with a line break does not become a header") {
    const parties::Parties parties;
    HttpsOptions options;
    options.authority_pem = parties.authority.certificate_pem;
    CHECK(code_of(https_request(options, "GET", "/", {{"X", "a\r\nY: b"}})) == Errc::invalid);
    CHECK(code_of(https_request(options, "GET", "/a b")) == Errc::invalid);
    CHECK(code_of(https_request(options, "NO SUCH", "/")) == Errc::invalid);
}

}  // namespace
}  // namespace drover::wire
