#include "history/system_fact.h"

#include "base/assert.h"
#include "base/sha256.h"
#include "history/flat_fields.h"

namespace drover::history {

namespace {

constexpr std::uint16_t fact_version = 1;

struct Encoder {
    FieldWriter out;

    void operator()(const OrchestratorStarted& fact) { out.number(fact.epoch).text(fact.software); }

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
};

SystemFact read_started(FieldReader& in) {
    OrchestratorStarted fact;
    fact.epoch = in.number();
    fact.software = in.text();
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

std::optional<SystemFact> read_fact(SystemKind kind, FieldReader& in) {
    switch (kind) {
        case SystemKind::orchestrator_started:
            return read_started(in);
        case SystemKind::agent_token_created:
            return read_token(in);
        case SystemKind::agent_enrolled:
            return read_enrolled(in);
        case SystemKind::agent_described:
            return read_described(in);
    }
    return std::nullopt;
}

}  // namespace

SystemKind kind_of(const SystemFact& fact) {
    return static_cast<SystemKind>(1000 + fact.index());
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
    }
    DROVER_UNREACHABLE();
}

Bytes encode_fact(const SystemFact& fact) {
    Encoder encoder;
    std::visit(encoder, fact);
    return encoder.out.take();
}

Result<SystemFact> decode_fact(std::uint16_t kind, std::uint16_t kind_version, ByteView payload) {
    FieldReader in(payload);
    auto fact =
        kind_version == fact_version ? read_fact(static_cast<SystemKind>(kind), in) : std::nullopt;
    if (!fact) {
        return Error(Errc::unsupported, "unknown_event",
                     "event kind " + std::to_string(kind) + " version " +
                         std::to_string(kind_version) + " is not known to this droverd",
                     "nothing was changed", "start the newer droverd that wrote this log");
    }
    if (!in.done()) {
        return Error(Errc::corrupt, "event_unreadable",
                     "the payload of a " + std::string(name_of(static_cast<SystemKind>(kind))) +
                         " is not in its canonical form");
    }
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
