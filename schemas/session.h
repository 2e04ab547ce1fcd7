/// The messages of the session between an agent and the orchestrator (TCP 6325, mTLS), as plain
/// values. Wire form: agent.capnp; encode and decode: codec.h.
///
///   agent ── Hello ──►  orchestrator          once, first
///         ◄─ Welcome ── (or Refused, then close)
///         ◄─ EffectWanted / EffectWithdrawn / ReportAck / Heartbeat / AnchorMade
///         ── EffectTaken / ReportMade / ProgressMade / Heartbeat ──►
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "schemas/model.h"
#include "schemas/restore.h"

namespace drover {

constexpr std::uint16_t protocol_min = 1;
constexpr std::uint16_t protocol_max = 1;

/// The last command an agent obeyed: it refuses an orchestrator whose log cannot show `hash` at `seq`.
struct Witness {
    Uuid lineage;
    std::uint32_t epoch = 0;
    std::uint64_t seq = 0;  ///< 0: has obeyed nothing yet
    Hash hash;

    bool operator==(const Witness&) const = default;
};

struct Hello {
    std::uint16_t version_min = protocol_min;
    std::uint16_t version_max = protocol_max;
    std::string agent;         ///< must equal the name in the certificate
    Uuid incarnation;          ///< of the agent's state directory
    std::string host_identity; ///< machine-id or DMI uuid; two hosts under one name are both refused
    std::string boot_id;
    std::string software;      ///< "drover 0.1.0"
    std::vector<std::string> roles;         ///< "source", "target"
    std::vector<std::string> capabilities;
    Witness witness;

    bool operator==(const Hello&) const = default;
};

/// Of an agent that keeps anchors: an older one takes AnchorMade for a protocol error.
constexpr const char* anchors_capability = "anchors";

struct Welcome {
    std::uint16_t version = protocol_max;
    Uuid lineage;
    std::uint32_t epoch = 0;
    std::uint64_t head_seq = 0;
    Hash head_hash;
    std::optional<Hash> hash_at_witness;  ///< the log's hash at Hello::witness.seq, if it has it
    std::uint32_t heartbeat_ms = 5000;    ///< each side sends one at least this often
    std::uint32_t dead_ms = 20000;        ///< silence after which a side closes
    /// How the log came to this lineage, oldest first; empty: it was never restored with a loss.
    std::vector<LineageReset> resets;
    bool wants_world = false;             ///< the agent shall send WorldFound

    bool operator==(const Welcome&) const = default;
};

/// Said before closing, so that the other side can show why.
struct Refused {
    Error error;

    bool operator==(const Refused&) const = default;
};

struct EffectWanted {
    Effect effect;
    std::uint32_t epoch = 0;
    Witness head;  ///< the log's head when this was sent; becomes the agent's witness once obeyed
    Hash digest;   ///< SHA-256 of the encoded work: the same id with another digest is refused

    bool operator==(const EffectWanted&) const = default;
};

/// A standing effect is no longer wanted. One-shots are never withdrawn.
struct EffectWithdrawn {
    EffectId id;
    std::uint32_t epoch = 0;

    bool operator==(const EffectWithdrawn&) const = default;
};

/// The agent has the effect (durably, for one-shots); silence until a report is then normal.
struct EffectTaken {
    EffectId id;

    bool operator==(const EffectTaken&) const = default;
};

/// Sent again after every reconnect until acknowledged.
struct ReportMade {
    Report report;

    bool operator==(const ReportMade&) const = default;
};

/// The report is durable in the log (or durably known to be of no more use); the agent may forget it.
struct ReportAck {
    Uuid report_id;

    bool operator==(const ReportAck&) const = default;
};

constexpr std::size_t anchor_line_bytes_max = 1024;

/// A new signed anchor of the orchestrator's log, for the agent to keep (eventlog/format.md).
struct AnchorMade {
    Uuid lineage;
    std::uint64_t last_seq = 0;
    std::string line;  ///< printable ASCII, at most anchor_line_bytes_max

    bool operator==(const AnchorMade&) const = default;
};

struct ProgressMade {
    Progress progress;

    bool operator==(const ProgressMade&) const = default;
};

/// What the agent's host holds, job by job. Sent after a Welcome that wants it, and from time to
/// time.
struct WorldFound {
    std::vector<JobWorld> jobs;  ///< at most world_jobs_max
    bool is_cut = false;         ///< there are more

    bool operator==(const WorldFound&) const = default;
};

struct Heartbeat {
    bool operator==(const Heartbeat&) const = default;
};

using AgentMessage = std::variant<Hello, EffectTaken, ReportMade, ProgressMade, Heartbeat, Refused,
                                  WorldFound>;
using OrchestratorMessage =
    std::variant<Welcome, EffectWanted, EffectWithdrawn, ReportAck, Heartbeat, Refused, AnchorMade>;

}  // namespace drover
