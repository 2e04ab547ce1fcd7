/// Request bodies as values of the domain. Pure; every rule about a field is in one place.
#pragma once

#include "orchestrator/facts.h"
#include "statemachine/command.h"

#include <string>
#include <string_view>

namespace drover::orchestrator {

/// Errors of all: invalid (bad_json, bad_field, unknown_field).
[[nodiscard]] Result<JobSpec> read_job_spec(std::string_view body);

struct ActionRequest {
    statemachine::Wish wish;
    std::string reason;
    bool dry_run = false;
};

/// Errors: also not_found (no_such_action).
[[nodiscard]] Result<ActionRequest> read_action(std::string_view action, std::string_view body);

struct TokenRequest {
    std::string agent;
    std::uint32_t ttl_s = token_ttl_s_default;
};

[[nodiscard]] Result<TokenRequest> read_token_request(std::string_view body);

struct EnrolRequest {
    std::string token;
    std::string agent;
    std::string request_pem;
    std::vector<std::string> hosts;
};

[[nodiscard]] Result<EnrolRequest> read_enrol_request(std::string_view body);

}  // namespace drover::orchestrator
