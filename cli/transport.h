/// What the client needs of HTTP: one exchange, and one stream of server-sent events. The product's
/// implementation is https_transport.h; tests use their own.
#pragma once

#include "base/result.h"

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::cli {

struct HttpRequest {
    std::string method;
    std::string target;  ///< path and query
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;  ///< JSON; empty for none
};

struct HttpResponse {
    unsigned status = 0;
    std::string body;
};

struct ServerEvent {
    std::string id;
    std::string data;
};

/// Blocking; used from one thread.
class Transport {
  public:
    virtual ~Transport() = default;

    /// Errors: unavailable (no connection, or lost before the answer was complete: the request may
    /// or may not have been executed), timed_out, denied (the server does not prove its identity).
    [[nodiscard]] virtual Result<HttpResponse> exchange(const HttpRequest& request) = 0;

    /// GET of a body of any size: `on_piece` gets it as it comes. A success only if all of it came
    /// and `on_piece` always returned true. The body of the answer is filled when the status is not
    /// 200. Errors as exchange.
    [[nodiscard]] virtual Result<HttpResponse> download(
        const HttpRequest& request, const std::function<bool(std::string_view)>& on_piece) = 0;

    /// Calls `on_event` for each event until it returns false or the connection ends; both are a
    /// success with the response's status. The body is only filled when the status is not 200.
    [[nodiscard]] virtual Result<HttpResponse> stream(
        const HttpRequest& request, const std::function<bool(const ServerEvent&)>& on_event) = 0;
};

}  // namespace drover::cli
