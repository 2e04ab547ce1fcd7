#include "cli/https_transport.h"

#include "cli/event_stream.h"
#include "wire/https.h"

namespace drover::cli {

Result<HttpResponse> HttpsTransport::exchange(const HttpRequest& request) {
    wire::HttpsOptions options;
    options.host = server_.host;
    options.port = server_.port;
    options.authority_pem = authority_pem_;
    TRY(auto response, wire::https_request(options, request.method, request.target, request.headers,
                                           request.body));
    return HttpResponse{response.status, std::move(response.body)};
}

Result<HttpResponse> HttpsTransport::stream(
    const HttpRequest& request, const std::function<bool(const ServerEvent&)>& on_event) {
    wire::HttpsOptions options;
    options.host = server_.host;
    options.port = server_.port;
    options.authority_pem = authority_pem_;
    EventStreamParser parser;
    bool alive = false;
    auto step = EventStreamParser::Step::wants_more;
    const auto response =
        wire::https_stream(options, request.target, request.headers, [&](std::string_view chunk) {
            alive = true;
            step = parser.feed(chunk, on_event);
            return step == EventStreamParser::Step::wants_more;
        });
    if (step == EventStreamParser::Step::broken) {
        return Error{Errc::invalid, "bad_event_stream", "the server's events are not readable",
                     "nothing was changed",
                     "check that the address is that of droverd's HTTPS port"};
    }
    if (response) return HttpResponse{response->status, response->body};
    // A connection that was up and got lost is the end of a stream, like any other.
    if (alive && response.error().code() != Errc::denied) return HttpResponse{200, {}};
    return response.error();
}

Result<HttpResponse> HttpsTransport::download(
    const HttpRequest& request, const std::function<bool(std::string_view)>& on_piece) {
    wire::HttpsOptions options;
    options.host = server_.host;
    options.port = server_.port;
    options.authority_pem = authority_pem_;
    TRY(const auto response,
        wire::https_stream(options, request.target, request.headers, on_piece));
    return HttpResponse{response.status, response.body};
}

Result<std::string> fetch_authority(const ServerAddress& server, const std::string& ca_pin,
                                    const std::string& token) {
    wire::HttpsOptions options;
    options.host = server.host;
    options.port = server.port;
    options.authority_sha256 = ca_pin;
    TRY(const auto response,
        wire::https_request(options, "GET", "/v1/jobs", {{"Authorization", "Bearer " + token}}));
    if (response.status == 401 || response.status == 403) {
        return Error{Errc::denied, "token_refused", "the server does not accept the token",
                     "nothing was stored", "take the token file that droverd init wrote"};
    }
    if (response.status != 200) {
        return Error{Errc::unavailable, "unexpected_answer",
                     "the server answered with status " + std::to_string(response.status),
                     "nothing was stored", "check the address, and run the command again"};
    }
    return response.authority_pem;
}

}  // namespace drover::cli
