/// The stable ids of decide's refusals. Documented for users where errors are; never renamed.
#pragma once

#include <string_view>

namespace drover::statemachine::rejection {

// The job as a whole.
constexpr std::string_view no_such_job = "no_such_job";
constexpr std::string_view job_exists = "job_exists";
constexpr std::string_view quarantined = "quarantined";
constexpr std::string_view wrong_phase = "wrong_phase";
constexpr std::string_view job_paused = "job_paused";
constexpr std::string_view job_parked = "job_parked";
constexpr std::string_view not_parked = "not_parked";
constexpr std::string_view job_reconciling = "job_reconciling";
constexpr std::string_view not_reconciling = "not_reconciling";
constexpr std::string_view resolve_contradicts = "resolve_contradicts";
constexpr std::string_view job_resolved = "job_resolved";
constexpr std::string_view retry_hopeless = "retry_hopeless";
constexpr std::string_view nothing_to_do = "nothing_to_do";  ///< only in allowed_actions

// What the wish says.
constexpr std::string_view plan_invalid = "plan_invalid";
constexpr std::string_view text_not_storable = "text_not_storable";
constexpr std::string_view reason_missing = "reason_missing";
constexpr std::string_view confirmation_wrong = "confirmation_wrong";
constexpr std::string_view loss_not_acknowledged = "loss_not_acknowledged";
constexpr std::string_view time_in_past = "time_in_past";
constexpr std::string_view invalid_outage = "invalid_outage";

// What the world is like.
constexpr std::string_view preflight_running = "preflight_running";
constexpr std::string_view capability_missing = "capability_missing";
constexpr std::string_view agent_disconnected = "agent_disconnected";
constexpr std::string_view cutover_lagging = "cutover_lagging";
constexpr std::string_view plan_changed = "plan_changed";
constexpr std::string_view fence_breached = "fence_breached";
constexpr std::string_view nothing_to_keep = "nothing_to_keep";
constexpr std::string_view nothing_copied = "nothing_copied";
constexpr std::string_view release_pending = "release_pending";
constexpr std::string_view target_not_stopped = "target_not_stopped";
constexpr std::string_view target_already_stopped = "target_already_stopped";
constexpr std::string_view deletion_running = "deletion_running";
constexpr std::string_view comparison_pending = "comparison_pending";
constexpr std::string_view copy_differs = "copy_differs";

// Agents.
constexpr std::string_view wrong_agent = "wrong_agent";
constexpr std::string_view invalid_report = "invalid_report";

}  // namespace drover::statemachine::rejection
