/// Errors as RFC 9457 problem documents. One place decides which status an error has.
#pragma once

#include "base/result.h"
#include "orchestrator/http_message.h"
#include "statemachine/job.h"

#include <string>
#include <vector>

namespace drover::orchestrator {

struct Problem {
    unsigned status = 500;
    std::string id;  ///< stable; "code" and the end of "type"
    std::string detail;
    std::string kept;
    std::string next;
    // About a job, if it is about one.
    std::string job;
    std::vector<std::string> allowed_actions;
    eventlog::Seq as_of_seq = 0;
};

[[nodiscard]] unsigned status_of(const Error& error);
[[nodiscard]] unsigned status_of(const statemachine::Rejected& rejected);

[[nodiscard]] Problem problem_of(const Error& error);
[[nodiscard]] Problem problem_of(const statemachine::Rejected& rejected);

/// "Job not found" from "job_not_found".
[[nodiscard]] std::string title_of(std::string_view id);

/// application/problem+json; a 401 names the scheme, a 503 says when to come again.
[[nodiscard]] HttpResponse render(const Problem& problem);

}  // namespace drover::orchestrator
