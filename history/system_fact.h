/// Facts that belong to no job: who may speak as an agent, and when droverd started. They stand in
/// the same log, under the same chain, as the facts of jobs.
///
/// Stored form: kind >= 1000, version 1; the payload is the fields in declaration order, each as
///   u32 little-endian length | bytes          (numbers as 8 bytes little-endian, lists as a u64
///   count
/// and then that many fields), without padding and without a rest, so equal facts have equal bytes.
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "eventlog/log.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace drover::history {

/// System stream. One per start; `epoch` is what was raised for it.
struct OrchestratorStarted {
    std::uint64_t epoch = 0;
    std::string software;

    bool operator==(const OrchestratorStarted&) const = default;
};

/// Agent stream. A one-time token that lets a host become `agent`. Only its hash is stored.
struct AgentTokenCreated {
    std::string agent;
    Hash token_hash;
    WallMicros expires_micros = 0;
    std::string by;

    bool operator==(const AgentTokenCreated&) const = default;
};

/// Agent stream. The token is used up. `request_digest` is that of the certificate request, so that
/// an answer lost on the way can be asked for again with the same request, and with no other.
struct AgentEnrolled {
    std::string agent;
    Hash token_hash;
    Hash request_digest;
    std::vector<std::string> hosts;

    bool operator==(const AgentEnrolled&) const = default;
};

/// Agent stream. The agent said Hello for the first time, or what it said of itself is new. The
/// first one after an enrolment binds the name to `host_identity`.
struct AgentDescribed {
    std::string agent;
    Uuid incarnation;
    std::string host_identity;
    std::string software;
    std::vector<std::string> roles;
    std::vector<std::string> capabilities;

    bool operator==(const AgentDescribed&) const = default;
};

using SystemFact =
    std::variant<OrchestratorStarted, AgentTokenCreated, AgentEnrolled, AgentDescribed>;

/// Stored numbers; append-only, never reused. Those below 1000 belong to jobs.
enum class SystemKind : std::uint16_t {
    orchestrator_started = 1000,
    agent_token_created = 1001,
    agent_enrolled = 1002,
    agent_described = 1003
};

[[nodiscard]] SystemKind kind_of(const SystemFact& fact);
/// CamelCase, for example "AgentEnrolled".
[[nodiscard]] std::string_view name_of(SystemKind kind);

[[nodiscard]] Bytes encode_fact(const SystemFact& fact);
/// Errors: unsupported ("unknown_event") for a kind or version this binary does not know; corrupt.
[[nodiscard]] Result<SystemFact> decode_fact(std::uint16_t kind, std::uint16_t kind_version,
                                             ByteView payload);

/// Where a fact is appended: the system stream, or the agent's, whose id is derived from its name.
[[nodiscard]] eventlog::StreamId stream_of(const SystemFact& fact);
[[nodiscard]] eventlog::StreamId agent_stream(std::string_view agent);

}  // namespace drover::history
