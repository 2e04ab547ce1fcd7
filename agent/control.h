/// The running agent's local control socket: how local root's commands reach the process that holds
/// the state directory. One line in, an answer, end of stream. Only root and the agent's own user.
///
///   "status" ─► "connected EPOCH" or "disconnected EPOCH WHY"
///   "release JOB TOKEN USER", with "-" for no token / "fence-remove TOKEN" ─► an outcome
#pragma once

#include "agent/state_store.h"
#include "base/result.h"
#include "schemas/model.h"

#include <optional>
#include <string>

namespace drover::agent {

/// Which fence local root breaks, and who gives the order.
struct FenceOrder {
    std::string job_name;
    std::optional<FenceToken> token;
    std::string by;

    bool operator==(const FenceOrder&) const = default;
};

/// What follows "release ".
[[nodiscard]] std::string encode_order(const FenceOrder& order);
[[nodiscard]] std::optional<FenceOrder> decode_order(const std::string& text);

/// "ok", or the error's fields line by line.
[[nodiscard]] std::string encode_outcome(const Result<>& outcome);
/// Errors: the encoded one; invalid for anything that is no outcome.
[[nodiscard]] Result<> decode_outcome(const std::string& text);

/// Errors: not_found if no agent runs on this state directory.
[[nodiscard]] Result<std::string> ask_agent(const StatePaths& paths, const std::string& line);

}  // namespace drover::agent
