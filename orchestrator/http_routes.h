/// The table of routes: the single list of what the API offers. schemas/openapi.yaml describes the
/// same ones, which a test checks. Pure.
#pragma once

#include "base/result.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace drover::orchestrator {

enum class Endpoint : std::uint8_t {
    healthz,
    readyz,
    enroll,
    create_token,
    list_agents,
    create_job,
    list_jobs,
    show_job,
    job_action,
    job_history,
    job_why,
    job_at,
    job_diff,
    what_if,
    job_compare,
    events,
    audit_verify,
    audit_anchor,
    audit_export,
    replay_check,
    support_bundle,
    metrics
};

struct Route {
    std::string_view method;
    std::string_view pattern;  ///< segments in braces are parameters: /v1/jobs/{job}
    Endpoint endpoint;
    bool needs_token = true;
    std::size_t body_bytes_max = 0;
    std::vector<std::string_view> query = {};  ///< parameters that may stand behind the path
};

constexpr std::size_t body_bytes_max = 1U << 20;
constexpr std::size_t enroll_body_bytes_max = 16U << 10;
constexpr std::size_t target_bytes_max = 2048;

[[nodiscard]] const std::vector<Route>& routes();

struct Match {
    const Route* route = nullptr;
    std::vector<std::string> parameters;  ///< in the order of the pattern
    std::map<std::string, std::string> query;
};

/// Errors: not_found (no_such_route), invalid (method_not_allowed, bad_target, unknown_parameter).
[[nodiscard]] Result<Match> match(std::string_view method, std::string_view target);

}  // namespace drover::orchestrator
