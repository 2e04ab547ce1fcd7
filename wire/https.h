/// A small blocking HTTPS/1.1 client: for the CLI and for enrolment. One request a connection. Not
/// for the agents' session (connection.h) or bulk data (tls_link.h).
///
/// The server must show a certificate with the identity drover:server, issued by the trusted
/// authority. The authority is known by its PEM, or, before anything is known, by the fingerprint
/// that an operator carried over: then the server has to send an authority with that fingerprint
/// along.
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::wire {

struct HttpsOptions {
    std::string
        host;  ///< DNS name or IP address; must be in the certificate unless the pin is used
    std::uint16_t port = 8443;
    std::string authority_pem;  ///< the only trust anchor; used when not empty
    std::string
        authority_sha256;  ///< otherwise: fingerprint() of the authority, 64 hexadecimal digits
    std::int64_t connect_timeout_ms = 10'000;  ///< connect and handshake
    /// For the whole exchange; of a stream: for each silence.
    std::int64_t timeout_ms = 30'000;
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpResponse {
    unsigned status = 0;
    HttpHeaders headers;  ///< names in lower case
    std::string body;     ///< at most http_body_bytes_max
    std::string
        authority_pem;  ///< the authority that was accepted: to be stored after the first contact

    /// The first header of this (lower-case) name; empty when there is none.
    [[nodiscard]] std::string_view header(std::string_view name) const;
};

constexpr std::size_t http_body_bytes_max = 64U << 20;

/// Any status is a success. Host, User-Agent, Content-Length and Connection are set here. Errors:
/// unavailable, timed_out, denied (certificate, pin), invalid (response too large or malformed, bad
/// option).
[[nodiscard]] Result<HttpResponse> https_request(const HttpsOptions& options,
                                                 std::string_view method, std::string_view target,
                                                 const HttpHeaders& headers = {},
                                                 std::string_view body = {});

/// Called with each piece of a body as it arrives; false ends the stream.
using OnChunk = std::function<bool(std::string_view)>;

/// GET for server-sent events. Returns when the server ends the stream or `on_chunk` returns false.
/// A status other than 200 is returned with its body and without a call of `on_chunk`. Errors as
/// above; timed_out when nothing arrives for timeout_ms.
[[nodiscard]] Result<HttpResponse> https_stream(const HttpsOptions& options,
                                                std::string_view target, const HttpHeaders& headers,
                                                const OnChunk& on_chunk);

}  // namespace drover::wire
