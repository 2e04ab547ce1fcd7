#include "orchestrator/api.h"

#include "base/sha256.h"
#include "orchestrator/api_call.h"

#include <charconv>

namespace drover::orchestrator {

namespace {

constexpr std::string_view bearer = "Bearer ";

HttpResponse finish(Result<HttpResponse> response) {
    if (!response) return render(problem_of(response.error()));
    return std::move(*response);
}

/// Same key and same digest: the same request.
Hash digest_of(const HttpRequest& request) {
    Sha256 sha;
    for (const std::string* part : {&request.method, &request.target, &request.body}) {
        Bytes size;
        put_u64(size, part->size());
        sha.update(size).update(as_bytes(*part));
    }
    return sha.finish();
}

Error bad_header(const std::string& name, const std::string& wanted) {
    return Error(Errc::invalid, "bad_header", name + " must be " + wanted, "nothing was changed",
                 "correct the header and send the request again");
}

}  // namespace

Result<std::uint64_t> number_in(std::string_view text, std::string_view name,
                                std::uint64_t otherwise) {
    if (text.empty()) return otherwise;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
        return bad_header(std::string(name), "a whole number");
    }
    return value;
}

Result<std::size_t> Api::admit(const HttpRequest& head) const {
    TRY(const auto found, match(head.method, head.target));
    if (found.route->needs_token) TRY_VOID(authorize(head));
    return found.route->body_bytes_max;
}

void Api::handle(const HttpRequest& request, Respond respond) {
    const auto admitted = admit(request);
    if (!admitted) return respond(render(problem_of(admitted.error())));
    const auto found = match(request.method, request.target);
    const Route& route = *found->route;
    if (request.body.size() > route.body_bytes_max) {
        return respond(render(problem_of(
            Error(Errc::invalid, "body_too_large",
                  "the body may have " + std::to_string(route.body_bytes_max) + " bytes here",
                  "nothing was changed", "send less"))));
    }
    const auto& older_copy = parts_.core.sessions().older_copy();
    if (older_copy && request.method != "GET") return respond(render(problem_of(*older_copy)));
    Call call{request, *found, parts_.random.uuid(), Hash{}};
    if (const std::string_view key = request.header("idempotency-key"); !key.empty()) {
        const auto id = uuid_from_text(key);
        if (!id || id->is_zero()) {
            return respond(render(problem_of(bad_header("Idempotency-Key", "a UUID"))));
        }
        call.command_id = *id;
        call.digest = digest_of(request);
    }
    dispatch(call, respond);
}

Result<> Api::authorize(const HttpRequest& request) const {
    const std::string_view given = request.header("authorization");
    if (!given.starts_with(bearer)) {
        return Error(Errc::denied, "token_missing", "this request needs an API token",
                     "nothing was changed", "sign in with `drover login`");
    }
    if (!equal_secret(token_hash(given.substr(bearer.size())), parts_.api_token_hash)) {
        return Error(Errc::denied, "token_wrong", "the API token is not valid here",
                     "nothing was changed", "sign in again with `drover login`");
    }
    return {};
}

void Api::dispatch(const Call& call, const Respond& respond) {
    switch (call.match.route->endpoint) {
        case Endpoint::healthz:
            return respond(json_response({{"status", "ok"}}));
        case Endpoint::readyz:
            return respond(readyz());
        case Endpoint::enroll:
            return enroll(call, respond);
        case Endpoint::create_token:
            return create_token(call, respond);
        case Endpoint::list_agents:
            return respond(list_agents());
        case Endpoint::create_job:
            return create_job(call, respond);
        case Endpoint::list_jobs:
            return respond(list_jobs());
        case Endpoint::show_job:
            return respond(finish(show_job(call)));
        case Endpoint::job_action:
            return job_action(call, respond);
        case Endpoint::job_history:
            return respond(finish(job_history(call)));
        case Endpoint::job_why:
            return respond(finish(job_why(call)));
        case Endpoint::job_at:
            return respond(finish(job_at(call)));
        case Endpoint::job_diff:
            return respond(finish(job_diff(call)));
        case Endpoint::what_if:
            return respond(finish(what_if(call)));
        case Endpoint::job_compare:
            return respond(finish(job_compare(call)));
        case Endpoint::events:
            return respond(finish(events(call)));
        case Endpoint::audit_verify:
            return audit_verify(respond);
        case Endpoint::audit_anchor:
            return respond(finish(audit_anchor()));
        case Endpoint::audit_export:
            return respond(finish(audit_export(call)));
        case Endpoint::replay_check:
            return replay_check(respond);
        case Endpoint::support_bundle:
            return respond(finish(support_bundle()));
        case Endpoint::metrics:
            return respond(metrics());
    }
}

}  // namespace drover::orchestrator
