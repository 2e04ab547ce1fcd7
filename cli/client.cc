#include "cli/client.h"

#include <algorithm>

namespace drover::cli {
namespace {

constexpr std::uint32_t first_wait_ms = 200;
constexpr std::uint32_t wait_ms_max = 2000;

bool is_passing(const Error& error) {
    return error.code() == Errc::unavailable || error.code() == Errc::timed_out;
}

}  // namespace

Failure failure_of(const Error& error) {
    Failure out;
    out.exit = exit_code_of(error.code());
    out.id = error.id();
    out.detail = error.detail();
    out.kept = error.kept();
    out.next = error.next();
    out.problem = JsonObject{}
                      .text("type", "urn:drover:error:" + out.id)
                      .text("title", out.id)
                      .text("code", out.id)
                      .text("detail", out.detail)
                      .text("kept", out.kept)
                      .text("next", out.next)
                      .str();
    return out;
}

Failure failure_of(const HttpResponse& response) {
    const auto parsed = Json::parse(response.body);
    if (!parsed || (*parsed)["code"].is_null()) {
        Failure out =
            failure_of(Error{Errc::unsupported, "unexpected_answer",
                             "the server answered with status " + std::to_string(response.status) +
                                 " and no problem document",
                             "nothing is known about what the server did",
                             "check that the address is that of droverd's HTTPS port"});
        const ExitCode by_status = exit_code_of(response.status, {});
        out.exit = by_status == ExitCode::ok ? ExitCode::failure : by_status;
        return out;
    }
    const Json& problem = *parsed;
    Failure out;
    out.id = problem["code"].text();
    out.exit = exit_code_of(response.status, out.id);
    out.detail = problem["detail"].text();
    out.kept = problem["kept"].text();
    out.next = problem["next"].text();
    out.problem = problem.compact();
    return out;
}

HttpRequest Client::request(std::string_view method, std::string_view target) const {
    HttpRequest out;
    out.method = method;
    out.target = target;
    out.headers.emplace_back("Accept", "application/json");
    out.headers.emplace_back("Authorization", "Bearer " + policy_.token);
    return out;
}

bool Client::may_retry(const Error& error, SteadyMillis since, std::uint32_t attempt) {
    if (!is_passing(error)) return false;
    const auto budget_ms = static_cast<SteadyMillis>(policy_.retry_for_s) * 1000;
    if (parts_.clock.steady_ms() - since >= budget_ms) return false;
    if (attempt == 0 && policy_.on_retry) policy_.on_retry(error);
    const std::uint32_t doubled = first_wait_ms << std::min(attempt, 8U);
    parts_.waiter.wait_ms(std::min(doubled, wait_ms_max));
    return true;
}

Reply Client::exchange(const HttpRequest& request) {
    const SteadyMillis since = parts_.clock.steady_ms();
    for (std::uint32_t attempt = 0;; ++attempt) {
        const auto response = parts_.transport.exchange(request);
        if (!response) {
            if (may_retry(response.error(), since, attempt)) continue;
            return Reply{{}, failure_of(response.error())};
        }
        if (response->status >= 300) return Reply{{}, failure_of(*response)};
        auto body = Json::parse(response->body);
        if (!body) return Reply{{}, failure_of(body.error())};
        return Reply{std::move(*body), std::nullopt};
    }
}

Reply Client::get(std::string_view target) {
    return exchange(request("GET", target));
}

Reply Client::post(const Mutation& mutation) {
    HttpRequest out = request("POST", mutation.target);
    out.headers.emplace_back("Content-Type", "application/json");
    out.headers.emplace_back("Idempotency-Key", mutation.request_id.empty()
                                                    ? uuid_text(parts_.random.uuid())
                                                    : mutation.request_id);
    if (!mutation.if_version.empty()) {
        out.headers.emplace_back("If-Match", "\"" + mutation.if_version + "\"");
    }
    out.body = mutation.body;
    return exchange(out);
}

std::optional<Failure> Client::download(std::string_view target,
                                        const std::function<bool(std::string_view)>& on_piece) {
    const auto response = parts_.transport.download(request("GET", target), on_piece);
    if (!response) return failure_of(response.error());
    if (response->status >= 300) return failure_of(*response);
    return std::nullopt;
}

std::optional<Failure> Client::follow(std::string_view target, std::string last_id,
                                      const std::function<bool(const Json&)>& on_event) {
    // Time without a connection; a stream that was up and ended starts it anew.
    SteadyMillis since = parts_.clock.steady_ms();
    std::uint32_t attempt = 0;
    bool wanted = true;
    std::optional<Failure> bad_event;
    const auto take = [&](const ServerEvent& event) {
        if (!event.id.empty()) last_id = event.id;
        const auto data = Json::parse(event.data);
        if (!data) {
            bad_event = failure_of(data.error());
            return false;
        }
        wanted = on_event(*data);
        return wanted;
    };
    for (;;) {
        HttpRequest out = request("GET", target);
        if (!last_id.empty()) out.headers.emplace_back("Last-Event-ID", last_id);
        const auto response = parts_.transport.stream(out, take);
        if (bad_event) return bad_event;
        if (!wanted) return std::nullopt;
        if (response && response->status >= 300) return failure_of(*response);
        Error error{Errc::unavailable, "stream_ended", "the server closed the stream of events"};
        if (response) {
            since = parts_.clock.steady_ms();
            attempt = 0;
        } else {
            error = response.error();
        }
        if (!may_retry(error, since, attempt++)) return failure_of(error);
    }
}

}  // namespace drover::cli
