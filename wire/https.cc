#include "wire/https.h"

#include "base/clock.h"
#include "base/sha256.h"
#include "wire/pki.h"
#include "wire/tls_stream.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

namespace drover::wire {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr std::uint32_t header_bytes_max = 64U << 10;
constexpr std::size_t chunk_bytes = 16U << 10;

/// TlsStream in the form that Beast's blocking functions ask for. Keeps our own error, which says
/// more than an error_code.
class BeastStream {
  public:
    explicit BeastStream(TlsStream& stream)
        : stream_(stream) {}

    void set_deadline(Deadline deadline) { deadline_ = deadline; }

    [[nodiscard]] const std::optional<Error>& failure() const { return failure_; }

    template <class Buffers>
    std::size_t read_some(const Buffers& buffers, error_code& error) {
        for (auto at = asio::buffer_sequence_begin(buffers);
             at != asio::buffer_sequence_end(buffers); ++at) {
            const asio::mutable_buffer buffer(*at);
            if (buffer.size() == 0) continue;
            const auto count = stream_.read_some(
                {static_cast<std::uint8_t*>(buffer.data()), buffer.size()}, deadline_);
            if (!count) return failed(count.error(), error);
            error = *count == 0 ? error_code(asio::error::eof) : error_code();
            return *count;
        }
        error = {};
        return 0;
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers, error_code& error) {
        for (auto at = asio::buffer_sequence_begin(buffers);
             at != asio::buffer_sequence_end(buffers); ++at) {
            const asio::const_buffer buffer(*at);
            if (buffer.size() == 0) continue;
            const auto written = stream_.write(
                {static_cast<const std::uint8_t*>(buffer.data()), buffer.size()}, {}, deadline_);
            if (!written) return failed(written.error(), error);
            error = {};
            return buffer.size();
        }
        error = {};
        return 0;
    }

    // Beast's concept asks for the throwing forms too; nothing calls them.
    template <class Buffers>
    std::size_t read_some(const Buffers& buffers) {
        error_code error;
        return read_some(buffers, error);
    }

    template <class Buffers>
    std::size_t write_some(const Buffers& buffers) {
        error_code error;
        return write_some(buffers, error);
    }

  private:
    std::size_t failed(const Error& why, error_code& error) {
        failure_ = why;
        error = asio::error::connection_aborted;
        return 0;
    }

    TlsStream& stream_;
    Deadline deadline_ = 0;
    std::optional<Error> failure_;
};

Error pin_error(const std::string& detail) {
    return Error(Errc::denied, "authority_not_accepted", detail, "nothing was sent",
                 "compare the fingerprint with the one that droverd shows");
}

bool is_address(const std::string& host) {
    std::array<unsigned char, 16> address{};
    return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
           inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

/// The host must be in the certificate; checked by OpenSSL during the handshake.
Result<> expect_host(ssl_st* ssl, const std::string& host) {
    X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const bool set = is_address(host)
                         ? X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1
                         : X509_VERIFY_PARAM_set1_host(parameters, host.data(), host.size()) == 1 &&
                               SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
    if (!set) return openssl_error("set the expected host name");
    return {};
}

/// The authority with the pinned fingerprint among what the server sent, after checking that it
/// issued the server's own certificate.
Result<std::string> pinned_authority(ssl_st* ssl, const std::string& pin) {
    const CertificatePtr leaf(SSL_get1_peer_certificate(ssl));
    if (!leaf) return pin_error("the server shows no certificate");
    TRY(const auto leaf_pem, certificate_to_pem(leaf.get()));
    const auto* chain = SSL_get_peer_cert_chain(ssl);
    for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i) {
        TRY(auto pem, certificate_to_pem(sk_X509_value(chain, i)));
        TRY(const auto found, fingerprint(pem));
        if (found != pin) continue;
        TRY(const auto identity, verified_identity(leaf_pem, pem, SystemClock().wall_micros()));
        if (identity != server_identity) return pin_error("the certificate is not a server's");
        return pem;
    }
    return pin_error("the server's authority has another fingerprint");
}

struct Opened {
    std::unique_ptr<TlsStream> stream;
    std::string authority_pem;
};

/// Connected, and the server is who it should be: only after this a byte of the request is sent.
Result<Opened> open(const HttpsOptions& options) {
    const bool pinned = options.authority_pem.empty();
    std::string pin = options.authority_sha256;
    std::transform(pin.begin(), pin.end(), pin.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (pinned && !Hash::from_hex_text(pin)) {
        return Error(Errc::invalid, "bad_fingerprint", "a fingerprint is 64 hexadecimal digits");
    }
    const Deadline deadline = deadline_in(options.connect_timeout_ms);
    TRY(const auto context, make_tls_context({options.authority_pem, {}, {}},
                                             pinned ? TlsMode::pinned_client : TlsMode::client));
    TRY(auto socket, dial_tcp(options.host, options.port, deadline));
    TRY(auto stream, TlsStream::make(context.get(), std::move(socket), TlsStream::Role::client));
    if (!pinned) TRY_VOID(expect_host(stream->ssl(), options.host));
    TRY_VOID(stream->handshake(deadline));
    if (pinned) {
        TRY(auto authority_pem, pinned_authority(stream->ssl(), pin));
        return Opened{std::move(stream), std::move(authority_pem)};
    }
    TRY_VOID(checked_peer(stream->ssl(), server_identity));
    return Opened{std::move(stream), options.authority_pem};
}

std::string host_header(const HttpsOptions& options) {
    const bool v6 = options.host.find(':') != std::string::npos;
    return (v6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(options.port);
}

/// No line breaks: a value must not become a second header.
bool is_header_text(std::string_view text) {
    return std::none_of(text.begin(), text.end(),
                        [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

Result<http::request<http::string_body>> make_request(const HttpsOptions& options,
                                                      std::string_view method,
                                                      std::string_view target,
                                                      const HttpHeaders& headers,
                                                      std::string_view body) {
    const http::verb verb = http::string_to_verb({method.data(), method.size()});
    if (verb == http::verb::unknown || !target.starts_with('/') || !is_header_text(target) ||
        target.find(' ') != std::string_view::npos) {
        return Error(Errc::invalid, "bad_request", "not a method and target of HTTP");
    }
    http::request<http::string_body> request(verb, {target.data(), target.size()}, 11);
    request.set(http::field::host, host_header(options));
    request.set(http::field::user_agent, "drover");
    request.set(http::field::connection, "close");
    for (const auto& [name, value] : headers) {
        if (!is_header_text(name) || !is_header_text(value)) {
            return Error(Errc::invalid, "bad_request", "a header contains control characters");
        }
        request.set(name, value);
    }
    request.body() = std::string(body);
    request.prepare_payload();
    return request;
}

Error exchange_error(const BeastStream& stream, const error_code& error) {
    if (stream.failure()) return *stream.failure();
    if (error == http::error::body_limit || error == http::error::header_limit) {
        return Error(Errc::invalid, "response_too_large", "the server's answer is too large");
    }
    if (error == asio::error::eof || error == http::error::end_of_stream ||
        error == http::error::partial_message) {
        return Error(Errc::unavailable, "connection_lost", "the server closed the connection");
    }
    return Error(Errc::invalid, "bad_response", "not an HTTP response: " + error.message());
}

template <class Fields>
HttpResponse head_of(const Fields& fields, std::string authority_pem) {
    HttpResponse response;
    response.status = fields.result_int();
    response.authority_pem = std::move(authority_pem);
    for (const auto& field : fields) {
        std::string name(field.name_string());
        std::transform(name.begin(), name.end(), name.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        response.headers.emplace_back(std::move(name), std::string(field.value()));
    }
    return response;
}

using StreamParser = http::response_parser<http::buffer_body>;

/// The next piece of the body in `chunk`; empty at the end.
Result<std::string_view> next_chunk(BeastStream& stream, boost::beast::flat_buffer& buffer,
                                    StreamParser& parser, std::array<char, chunk_bytes>& chunk) {
    while (!parser.is_done()) {
        parser.get().body().data = chunk.data();
        parser.get().body().size = chunk.size();
        error_code error;
        http::read_some(stream, buffer, parser, error);
        if (error == http::error::need_buffer) error = {};
        if (error) return exchange_error(stream, error);
        const std::size_t size = chunk.size() - parser.get().body().size;
        if (size > 0) return std::string_view(chunk.data(), size);
    }
    return std::string_view();
}

}  // namespace

std::string_view HttpResponse::header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
        if (key == name) return value;
    }
    return {};
}

Result<HttpResponse> https_request(const HttpsOptions& options, std::string_view method,
                                   std::string_view target, const HttpHeaders& headers,
                                   std::string_view body) {
    TRY(const auto request, make_request(options, method, target, headers, body));
    TRY(auto opened, open(options));
    BeastStream stream(*opened.stream);
    stream.set_deadline(deadline_in(options.timeout_ms));
    error_code error;
    http::write(stream, request, error);
    if (error) return exchange_error(stream, error);
    boost::beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.header_limit(header_bytes_max);
    parser.body_limit(http_body_bytes_max);
    if (method == "HEAD") parser.skip(true);
    http::read(stream, buffer, parser, error);
    if (error) return exchange_error(stream, error);
    HttpResponse response = head_of(parser.get(), std::move(opened.authority_pem));
    response.body = std::move(parser.get().body());
    return response;
}

Result<HttpResponse> https_stream(const HttpsOptions& options, std::string_view target,
                                  const HttpHeaders& headers, const OnChunk& on_chunk) {
    TRY(const auto request, make_request(options, "GET", target, headers, {}));
    TRY(auto opened, open(options));
    BeastStream stream(*opened.stream);
    stream.set_deadline(deadline_in(options.timeout_ms));
    error_code error;
    http::write(stream, request, error);
    if (error) return exchange_error(stream, error);
    boost::beast::flat_buffer buffer;
    StreamParser parser;
    parser.header_limit(header_bytes_max);
    parser.body_limit(boost::none);  // A stream has no end; its pieces are not kept.
    http::read_header(stream, buffer, parser, error);
    if (error) return exchange_error(stream, error);
    HttpResponse response = head_of(parser.get(), std::move(opened.authority_pem));
    std::array<char, chunk_bytes> chunk;
    for (;;) {
        stream.set_deadline(deadline_in(options.timeout_ms));
        TRY(const std::string_view piece, next_chunk(stream, buffer, parser, chunk));
        if (piece.empty()) return response;
        if (response.status == 200) {
            if (!on_chunk(piece)) return response;
            continue;
        }
        response.body.append(piece);
        if (response.body.size() > http_body_bytes_max) {
            return Error(Errc::invalid, "response_too_large", "the server's answer is too large");
        }
    }
}

}  // namespace drover::wire
