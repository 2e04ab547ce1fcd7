/// The HTTPS listener: HTTP/1.1 over TLS 1.3, by Boost.Beast, which only http_server.cc includes.
/// Knows requests and answers, not what they mean.
///
/// One io_context, one thread. Bounds: connections_max, streams_max, 16 KiB of header in 10 s, the
/// route's body limit in 30 s. A request that is refused by its header alone is answered before its
/// body is read.
#pragma once

#include "orchestrator/http_message.h"
#include "wire/identity.h"

#include <cstdint>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace drover::orchestrator {

struct HttpApplication {
    /// Bytes that the body may have. Errors: the request is refused, whatever its body is.
    std::function<Result<std::size_t>(const HttpRequest& head)> admit;
    std::function<void(const HttpRequest&, Respond)> handle;
};

constexpr std::size_t connections_max = 256;
constexpr std::size_t streams_max = 64;
constexpr std::uint32_t header_bytes_max = 16U << 10;

class HttpServer {
  public:
    virtual ~HttpServer() = default;
    [[nodiscard]] virtual std::uint16_t port() const = 0;
    /// There are new events: every stream looks for its next page.
    virtual void notify() = 0;
    /// Accepts no more. What is open ends with the io_context.
    virtual void stop() = 0;
};

/// Errors: invalid (address, PEM), unavailable (port_taken).
[[nodiscard]] Result<std::unique_ptr<HttpServer>> listen_https(boost::asio::io_context& io,
                                                               const wire::TlsIdentity& identity,
                                                               const std::string& host,
                                                               std::uint16_t port,
                                                               HttpApplication application);

}  // namespace drover::orchestrator
