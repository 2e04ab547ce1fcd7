#include "orchestrator/http_routes.h"

#include "base/bytes.h"

#include <algorithm>

namespace drover::orchestrator {

namespace {

constexpr const char* nothing_changed = "nothing was changed";

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

/// The parameters of `path`, or nullopt if the pattern is another one.
std::optional<std::vector<std::string>> fit(std::string_view pattern, std::string_view path) {
    const auto wanted = split(pattern, '/');
    const auto given = split(path, '/');
    if (wanted.size() != given.size()) return std::nullopt;
    std::vector<std::string> parameters;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i].starts_with('{')) {
            // Every parameter is a name, so nothing has to be decoded and nothing can hide in it.
            if (!valid_name(given[i])) return std::nullopt;
            parameters.emplace_back(given[i]);
        } else if (wanted[i] != given[i]) {
            return std::nullopt;
        }
    }
    return parameters;
}

Result<std::map<std::string, std::string>> read_query(std::string_view query, const Route& route) {
    std::map<std::string, std::string> out;
    if (query.empty()) return out;
    for (const std::string_view part : split(query, '&')) {
        const std::size_t equals = part.find('=');
        const std::string_view name = part.substr(0, equals);
        const auto known = std::find(route.query.begin(), route.query.end(), name);
        if (known == route.query.end() || equals == std::string_view::npos ||
            !out.emplace(name, part.substr(equals + 1)).second) {
            return Error(Errc::invalid, "unknown_parameter",
                         "query parameter \"" + printable(part, 64) + "\" cannot be used here",
                         nothing_changed, "check it against the API description");
        }
    }
    return out;
}

}  // namespace

const std::vector<Route>& routes() {
    static const std::vector<Route> table = {
        {"GET", "/healthz", Endpoint::healthz, false},
        {"GET", "/readyz", Endpoint::readyz, false},
        {"POST", "/v1/enroll", Endpoint::enroll, false, enroll_body_bytes_max},
        {"POST", "/v1/agent-tokens", Endpoint::create_token, true, body_bytes_max},
        {"GET", "/v1/agents", Endpoint::list_agents},
        {"POST", "/v1/jobs", Endpoint::create_job, true, body_bytes_max},
        {"GET", "/v1/jobs", Endpoint::list_jobs},
        {"GET", "/v1/jobs/{job}", Endpoint::show_job},
        {"POST", "/v1/jobs/{job}/actions/{action}", Endpoint::job_action, true, body_bytes_max},
        {"GET", "/v1/jobs/{job}/history", Endpoint::job_history, true, 0, {"from", "limit"}},
        {"GET", "/v1/jobs/{job}/why", Endpoint::job_why},
        {"GET", "/v1/jobs/{job}/at", Endpoint::job_at, true, 0, {"seq", "time"}},
        {"GET", "/v1/jobs/{job}/diff", Endpoint::job_diff, true, 0, {"from", "to"}},
        {"GET", "/v1/jobs/{job}/compare", Endpoint::job_compare, true, 0, {"with"}},
        {"POST",
         "/v1/jobs/{job}/what-if/{action}",
         Endpoint::what_if,
         true,
         body_bytes_max,
         {"at"}},
        {"GET", "/v1/events", Endpoint::events, true, 0, {"from"}},
        {"GET", "/v1/audit/verify", Endpoint::audit_verify},
        {"POST", "/v1/audit/anchor", Endpoint::audit_anchor, true, body_bytes_max},
        {"GET", "/v1/audit/export", Endpoint::audit_export, true, 0, {"job"}},
        {"GET", "/v1/replay/check", Endpoint::replay_check},
        {"GET", "/v1/support-bundle", Endpoint::support_bundle},
        {"GET", "/metrics", Endpoint::metrics},
    };
    return table;
}

Result<Match> match(std::string_view method, std::string_view target) {
    if (target.empty() || target.front() != '/' || target.size() > target_bytes_max) {
        return Error(Errc::invalid, "bad_target", "the request target is no path of this API",
                     nothing_changed, "check the URL");
    }
    const std::size_t mark = target.find('?');
    const std::string_view path = target.substr(0, mark);
    const std::string_view query =
        mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
    bool is_path_known = false;
    for (const Route& route : routes()) {
        auto parameters = fit(route.pattern, path);
        if (!parameters) continue;
        is_path_known = true;
        if (route.method != method) continue;
        TRY(auto given, read_query(query, route));
        return Match{&route, *std::move(parameters), std::move(given)};
    }
    if (is_path_known) {
        return Error(Errc::invalid, "method_not_allowed",
                     "this path does not take " + printable(method, 16), nothing_changed,
                     "check the method against the API description");
    }
    return Error(Errc::not_found, "no_such_route", "there is nothing at " + printable(path, 128),
                 nothing_changed, "check the URL against the API description");
}

}  // namespace drover::orchestrator
