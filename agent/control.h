/// The running agent's local control socket: how local root's commands reach the process that holds
/// the state directory. One line in, an answer, end of stream. Only root and the agent's own user.
///
///   "status" ─► "connected EPOCH" or "disconnected EPOCH WHY"
///   "release JOB USER" / "fence-remove TOKEN" ─► an outcome
#pragma once

#include "agent/state_store.h"
#include "base/result.h"

#include <string>

namespace drover::agent {

/// "ok", or the error's fields line by line.
[[nodiscard]] std::string encode_outcome(const Result<>& outcome);
/// Errors: the encoded one; invalid for anything that is no outcome.
[[nodiscard]] Result<> decode_outcome(const std::string& text);

/// Errors: not_found if no agent runs on this state directory.
[[nodiscard]] Result<std::string> ask_agent(const StatePaths& paths, const std::string& line);

}  // namespace drover::agent
