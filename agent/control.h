/// The running agent's local control socket: how local root's commands reach the process that holds
/// the state directory. One line in, an answer, end of stream. Only root and the agent's own user.
///
///   "status" ─► "connected EPOCH" or "disconnected EPOCH WHY"
///   "release JOB TOKEN USER", with "-" for no token / "fence-remove TOKEN" ─► an outcome
///   "restore-point JOB POINT USER" ─► an outcome
///   "seal-point JOB" ─► "sealed POINT MICROS KIND FROZEN_MS" or an outcome
#pragma once

#include "agent/state_store.h"
#include "base/result.h"
#include "replicator/freezer.h"
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

/// To which point local root wants a target's disks taken back.
struct PointOrder {
    std::string job_name;
    std::uint64_t point = 0;
    std::string by;

    bool operator==(const PointOrder&) const = default;
};

/// What follows "release ".
[[nodiscard]] std::string encode_order(const FenceOrder& order);
[[nodiscard]] std::optional<FenceOrder> decode_order(const std::string& text);
/// What follows "restore-point ".
[[nodiscard]] std::string encode_point_order(const PointOrder& order);
[[nodiscard]] std::optional<PointOrder> decode_point_order(const std::string& text);

[[nodiscard]] std::string encode_sealed(const Result<replicator::SealedPoint>& sealed);
/// Errors: as decode_outcome().
[[nodiscard]] Result<replicator::SealedPoint> decode_sealed(const std::string& text);

/// "ok", or the error's fields line by line.
[[nodiscard]] std::string encode_outcome(const Result<>& outcome);
/// Errors: the encoded one; invalid for anything that is no outcome.
[[nodiscard]] Result<> decode_outcome(const std::string& text);

/// Errors: not_found if no agent runs on this state directory.
[[nodiscard]] Result<std::string> ask_agent(const StatePaths& paths, const std::string& line);

}  // namespace drover::agent
