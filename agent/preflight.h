/// What one host finds out about its half of a job before anything moves. Reads only.
#pragma once

#include "agent/parts.h"
#include "base/result.h"

namespace drover::agent {

/// A rollback can keep what the target's users write: said by both ends, of the job's disks.
inline constexpr const char* reverse_capability = "reverse.sync";

[[nodiscard]] PreflightDone preflight_source(const AgentParts& parts, const PreflightWork& work);

/// `owns_disks`: this job wrote them already, so they need not be blank. (Our own guard is no
/// foreign use in any case.)
[[nodiscard]] PreflightDone preflight_target(const AgentParts& parts, const PreflightWork& work,
                                             bool owns_disks);

/// What this agent can do, for Hello and for the plan: "track.ebpf", "track.scan",
/// "journal.direct".
[[nodiscard]] std::vector<std::string> agent_capabilities(const Config& config);

}  // namespace drover::agent
