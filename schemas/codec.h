/// Plain values <-> Cap'n Proto bytes for the agent session. Encoded forms are canonical (single
/// segment, default-trimmed), so equal values give equal bytes and a digest over them means something.
/// Decoders accept only what fits the limits and validate every enum; hostile bytes give Errc::invalid.
/// Pure; thread-safe.
#pragma once

#include "schemas/session.h"

namespace drover {

/// Limits on one decoded message: 1 MiB of input, 64 segments, nesting 16.
constexpr std::size_t message_bytes_max = 1U << 20;

[[nodiscard]] Bytes encode(const AgentMessage& message);
[[nodiscard]] Bytes encode(const OrchestratorMessage& message);
[[nodiscard]] Result<AgentMessage> decode_agent_message(ByteView bytes);
[[nodiscard]] Result<OrchestratorMessage> decode_orchestrator_message(ByteView bytes);

/// Forms stored in the event log, in agents' journals and under signatures.
[[nodiscard]] Bytes encode_spec(const JobSpec& spec);
[[nodiscard]] Result<JobSpec> decode_spec(ByteView bytes);
[[nodiscard]] Bytes encode_effect(const Effect& effect);
[[nodiscard]] Result<Effect> decode_effect(ByteView bytes);
[[nodiscard]] Bytes encode_report(const Report& report);
[[nodiscard]] Result<Report> decode_report(ByteView bytes);
[[nodiscard]] Bytes encode_ticket(const Ticket& ticket);
[[nodiscard]] Result<Ticket> decode_ticket(ByteView bytes);
/// SHA-256 of the effect's encoded work: what EffectWanted::digest holds.
[[nodiscard]] Hash effect_digest(const Effect& effect);

}  // namespace drover
