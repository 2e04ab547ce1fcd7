#include "history/system_fact.h"

#include "base/assert.h"
#include "base/sha256.h"
#include "history/flat_fields.h"
#include "statemachine/state_digest.h"

namespace drover::history {

namespace {

/// Version 1 of OrchestratorStarted had no start id.
constexpr std::uint16_t started_version = 2;
constexpr std::uint16_t fact_version = 1;

constexpr const char* start_newer = "start the newer droverd that wrote this log";

struct Encoder {
    FieldWriter out;

    void operator()(const OrchestratorStarted& fact) {
        out.number(fact.epoch).text(fact.software).bytes(fact.start.view());
    }

    void operator()(const AgentTokenCreated& fact) {
        out.text(fact.agent).bytes(fact.token_hash.view());
        out.number(static_cast<std::uint64_t>(fact.expires_micros)).text(fact.by);
    }

    void operator()(const AgentEnrolled& fact) {
        out.text(fact.agent).bytes(fact.token_hash.view());
        out.bytes(fact.request_digest.view()).texts(fact.hosts);
    }

    void operator()(const AgentDescribed& fact) {
        out.text(fact.agent).bytes(fact.incarnation.view()).text(fact.host_identity);
        out.text(fact.software).texts(fact.roles).texts(fact.capabilities);
    }

    void operator()(const FormatBarrier& fact) { out.number(fact.min_reader).text(fact.reason); }

    void operator()(const StateDigest& fact) {
        out.bytes(fact.job.view()).number(fact.stream_seq).number(fact.version);
        out.bytes(fact.digest.view());
    }

    void operator()(const LineageChanged& fact) {
        const LineageReset& reset = fact.reset;
        out.bytes(reset.old_lineage.view()).number(reset.old_head_seq);
        out.bytes(reset.old_head_hash.view()).number(reset.old_epoch);
        out.bytes(reset.new_lineage.view()).number(reset.new_epoch);
        out.number(static_cast<std::uint64_t>(reset.at_micros));
        out.text(reset.by).text(reset.reason).bytes(reset.signature);
    }
};

struct KindOf {
    SystemKind operator()(const OrchestratorStarted&) { return SystemKind::orchestrator_started; }

    SystemKind operator()(const AgentTokenCreated&) { return SystemKind::agent_token_created; }

    SystemKind operator()(const AgentEnrolled&) { return SystemKind::agent_enrolled; }

    SystemKind operator()(const AgentDescribed&) { return SystemKind::agent_described; }

    SystemKind operator()(const FormatBarrier&) { return SystemKind::format_barrier; }

    SystemKind operator()(const StateDigest&) { return SystemKind::state_digest; }

    SystemKind operator()(const LineageChanged&) { return SystemKind::lineage_reset; }
};

SystemFact read_started(FieldReader& in, std::uint16_t kind_version) {
    OrchestratorStarted fact;
    fact.epoch = in.number();
    fact.software = in.text();
    if (kind_version >= 2) fact.start = in.fixed<Uuid>();
    return fact;
}

SystemFact read_token(FieldReader& in) {
    AgentTokenCreated fact;
    fact.agent = in.text();
    fact.token_hash = in.fixed<Hash>();
    fact.expires_micros = static_cast<WallMicros>(in.number());
    fact.by = in.text();
    return fact;
}

SystemFact read_enrolled(FieldReader& in) {
    AgentEnrolled fact;
    fact.agent = in.text();
    fact.token_hash = in.fixed<Hash>();
    fact.request_digest = in.fixed<Hash>();
    fact.hosts = in.texts();
    return fact;
}

SystemFact read_described(FieldReader& in) {
    AgentDescribed fact;
    fact.agent = in.text();
    fact.incarnation = in.fixed<Uuid>();
    fact.host_identity = in.text();
    fact.software = in.text();
    fact.roles = in.texts();
    fact.capabilities = in.texts();
    return fact;
}

SystemFact read_barrier(FieldReader& in) {
    FormatBarrier fact;
    fact.min_reader = in.number();
    fact.reason = in.text();
    return fact;
}

SystemFact read_digest(FieldReader& in) {
    StateDigest fact;
    fact.job = in.fixed<Uuid>();
    fact.stream_seq = in.number();
    fact.version = in.number();
    fact.digest = in.fixed<Hash>();
    return fact;
}

SystemFact read_reset(FieldReader& in) {
    LineageReset reset;
    reset.old_lineage = in.fixed<Uuid>();
    reset.old_head_seq = in.number();
    reset.old_head_hash = in.fixed<Hash>();
    reset.old_epoch = static_cast<std::uint32_t>(in.number());
    reset.new_lineage = in.fixed<Uuid>();
    reset.new_epoch = static_cast<std::uint32_t>(in.number());
    reset.at_micros = static_cast<WallMicros>(in.number());
    reset.by = in.text();
    reset.reason = in.text();
    const ByteView signature = in.bytes();
    reset.signature.assign(signature.begin(), signature.end());
    return LineageChanged{std::move(reset)};
}

/// nullopt for what this binary does not know.
std::optional<SystemFact> read_fact(SystemKind kind, std::uint16_t kind_version, FieldReader& in) {
    const bool is_known_version =
        kind_version == fact_version ||
        (kind == SystemKind::orchestrator_started && kind_version == started_version);
    if (!is_known_version) return std::nullopt;
    switch (kind) {
        case SystemKind::orchestrator_started:
            return read_started(in, kind_version);
        case SystemKind::agent_token_created:
            return read_token(in);
        case SystemKind::agent_enrolled:
            return read_enrolled(in);
        case SystemKind::agent_described:
            return read_described(in);
        case SystemKind::format_barrier:
            return read_barrier(in);
        case SystemKind::state_digest:
            return read_digest(in);
        case SystemKind::lineage_reset:
            return read_reset(in);
    }
    return std::nullopt;
}

/// What can be read, and still must not be passed over by a binary of this version.
Result<> check_for_us(const SystemFact& fact) {
    const auto* barrier = std::get_if<FormatBarrier>(&fact);
    if (barrier != nullptr && barrier->min_reader > reader_version) {
        return Error(Errc::unsupported, "format_too_new",
                     "this log needs a reader of version " + std::to_string(barrier->min_reader) +
                         ", and this program is one of version " + std::to_string(reader_version) +
                         ": " + printable(barrier->reason, 200),
                     "the log; nothing was changed", start_newer);
    }
    const auto* digest = std::get_if<StateDigest>(&fact);
    if (digest != nullptr && digest->version > statemachine::digest_version) {
        return Error(Errc::unsupported, "unknown_event",
                     "a state digest of version " + std::to_string(digest->version) +
                         " is not known to this droverd",
                     "the log; nothing was changed", start_newer);
    }
    return {};
}

}  // namespace

SystemKind kind_of(const SystemFact& fact) {
    return std::visit(KindOf{}, fact);
}

std::uint16_t kind_version_of(const SystemFact& fact) {
    return std::holds_alternative<OrchestratorStarted>(fact) ? started_version : fact_version;
}

std::string_view name_of(SystemKind kind) {
    switch (kind) {
        case SystemKind::orchestrator_started:
            return "OrchestratorStarted";
        case SystemKind::agent_token_created:
            return "AgentTokenCreated";
        case SystemKind::agent_enrolled:
            return "AgentEnrolled";
        case SystemKind::agent_described:
            return "AgentDescribed";
        case SystemKind::format_barrier:
            return "FormatBarrier";
        case SystemKind::state_digest:
            return "StateDigest";
        case SystemKind::lineage_reset:
            return "LineageReset";
    }
    DROVER_UNREACHABLE();
}

Bytes encode_fact(const SystemFact& fact) {
    Encoder encoder;
    std::visit(encoder, fact);
    return encoder.out.take();
}

eventlog::NewEvent new_event(const SystemFact& fact) {
    eventlog::NewEvent event;
    event.kind = static_cast<std::uint16_t>(kind_of(fact));
    event.kind_version = kind_version_of(fact);
    event.payload = encode_fact(fact);
    return event;
}

Result<SystemFact> decode_fact(std::uint16_t kind, std::uint16_t kind_version, ByteView payload) {
    FieldReader in(payload);
    auto fact = read_fact(static_cast<SystemKind>(kind), kind_version, in);
    if (!fact) {
        return Error(Errc::unsupported, "unknown_event",
                     "event kind " + std::to_string(kind) + " version " +
                         std::to_string(kind_version) + " is not known to this droverd",
                     "the log; nothing was changed", start_newer);
    }
    if (!in.done()) {
        return Error(Errc::corrupt, "event_unreadable",
                     "the payload of a " + std::string(name_of(static_cast<SystemKind>(kind))) +
                         " is not in its canonical form");
    }
    TRY_VOID(check_for_us(*fact));
    return *std::move(fact);
}

eventlog::StreamId agent_stream(std::string_view agent) {
    // Derived, so that a name has one stream for ever and none has to be looked up.
    const Hash digest = sha256(as_bytes("drover-agent-stream:" + std::string(agent)));
    const auto id = Uuid::from(digest.view().first(16));
    return {eventlog::StreamKind::agent, *id};
}

eventlog::StreamId stream_of(const SystemFact& fact) {
    if (const auto* token = std::get_if<AgentTokenCreated>(&fact))
        return agent_stream(token->agent);
    if (const auto* enrolled = std::get_if<AgentEnrolled>(&fact)) {
        return agent_stream(enrolled->agent);
    }
    if (const auto* described = std::get_if<AgentDescribed>(&fact)) {
        return agent_stream(described->agent);
    }
    return {};
}

}  // namespace drover::history
