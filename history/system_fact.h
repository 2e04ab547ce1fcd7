/// Facts that belong to no job: who may speak as an agent, and when droverd started. They stand in
/// the same log, under the same chain, as the facts of jobs.
///
/// Stored form: kind >= 1000, version 1 unless kind_version_of says otherwise; the payload is the
/// fields in declaration order, each as
///   u32 little-endian length | bytes          (numbers as 8 bytes little-endian, lists as a u64
///   count
/// and then that many fields), without padding and without a rest, so equal facts have equal bytes.
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "eventlog/log.h"
#include "schemas/restore.h"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace drover::history {

/// System stream. One per start; `epoch` is what was raised for it. `start` is random (zero in
/// version 1, which had none), so that two copies of a log that are started at the same time never
/// write the same bytes: from here on their chains differ.
struct OrchestratorStarted {
    std::uint64_t epoch = 0;
    std::string software;
    Uuid start;

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

/// System stream. What follows needs a reader of at least this version (reader_version in this
/// binary); written before the first event that an older one would not understand.
struct FormatBarrier {
    std::uint64_t min_reader = 0;
    std::string reason;

    bool operator==(const FormatBarrier&) const = default;
};

/// System stream, in the same append as the events it is about. What the state of `job` was after
/// the `stream_seq`-th event of its stream, so that a replay that comes to another one can say
/// where. Digests: statemachine/state_digest.h.
struct StateDigest {
    Uuid job;
    std::uint64_t stream_seq = 0;
    std::uint64_t version = 0;
    Hash digest;

    bool operator==(const StateDigest&) const = default;
};

/// System stream. The log was restored from an older copy and goes on as another lineage.
struct LineageChanged {
    LineageReset reset;

    bool operator==(const LineageChanged&) const = default;
};

using SystemFact = std::variant<OrchestratorStarted, AgentTokenCreated, AgentEnrolled,
                                AgentDescribed, FormatBarrier, StateDigest, LineageChanged>;

/// Stored numbers; append-only, never reused. Those below 1000 belong to jobs.
enum class SystemKind : std::uint16_t {
    orchestrator_started = 1000,
    agent_token_created = 1001,
    agent_enrolled = 1002,
    agent_described = 1003,
    format_barrier = 1004,
    lineage_reset = 1005,
    state_digest = 1008
};

/// What this binary can read. A log with a FormatBarrier above it is refused.
constexpr std::uint64_t reader_version = 1;

[[nodiscard]] SystemKind kind_of(const SystemFact& fact);
/// The version that encode_fact writes.
[[nodiscard]] std::uint16_t kind_version_of(const SystemFact& fact);
/// CamelCase, for example "AgentEnrolled".
[[nodiscard]] std::string_view name_of(SystemKind kind);

[[nodiscard]] Bytes encode_fact(const SystemFact& fact);
/// The event to append: kind, version and payload; actor, command and cause are the caller's.
[[nodiscard]] eventlog::NewEvent new_event(const SystemFact& fact);
/// Errors: unsupported: "unknown_event" for a kind or version that this binary does not know, and
/// "format_too_new" for a FormatBarrier that is not for it; corrupt.
[[nodiscard]] Result<SystemFact> decode_fact(std::uint16_t kind, std::uint16_t kind_version,
                                             ByteView payload);

/// Where a fact is appended: the system stream, or the agent's, whose id is derived from its name.
[[nodiscard]] eventlog::StreamId stream_of(const SystemFact& fact);
[[nodiscard]] eventlog::StreamId agent_stream(std::string_view agent);

}  // namespace drover::history
