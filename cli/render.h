/// The server's documents as text for people. Pure functions of the JSON of schemas/openapi.yaml; a
/// member that is missing is left out, so that an older server can be shown too.
#pragma once

#include "cli/json.h"

#include <string>
#include <vector>

namespace drover::cli {

/// One line a job.
[[nodiscard]] std::string render_jobs(const Json& list);
/// Everything about one job, a field a line.
[[nodiscard]] std::string render_job(const Json& job);
/// One line a fact.
[[nodiscard]] std::string render_history(const Json& history);
/// One line of the history or of the event stream, without a header.
[[nodiscard]] std::string render_fact(const Json& fact);
/// What the job waits for, and why each other action is not allowed.
[[nodiscard]] std::string render_why(const Json& why);
/// The points of the target's journal, oldest first, or why there are none.
[[nodiscard]] std::string render_points(const Json& points);
[[nodiscard]] std::string render_agents(const Json& list);
[[nodiscard]] std::string render_agent(const Json& agent);
[[nodiscard]] std::string render_audit(const Json& answer);
[[nodiscard]] std::string render_anchor(const Json& answer);
[[nodiscard]] std::string render_replay(const Json& answer);
/// What changed between two points, a field a line.
[[nodiscard]] std::string render_diff(const Json& diff);
[[nodiscard]] std::string render_what_if(const Json& answer);
[[nodiscard]] std::string render_compare(const Json& answer);
/// The timeline of an export, the states at its end and what is wrong with it.
[[nodiscard]] std::string render_run(const Json& answer);

/// What the last preflight found, worst first as the server has it; notes of severity info are left
/// out.
[[nodiscard]] std::vector<std::string> finding_lines(const Json& job);

/// How the copy is going, one line, from the job's telemetry; "" if there is none.
[[nodiscard]] std::string render_progress(const Json& job);

/// What to type next for a job in this state; "" when there is nothing to do.
[[nodiscard]] std::string next_step(const Json& job);

}  // namespace drover::cli
