#include "schemas/codec.h"

#include "base/sha256.h"
#include "schemas/convert.h"

#include <algorithm>

namespace drover {
namespace {

using flat::Checks;

void write(schema::Witness::Builder out, const Witness& value) {
    out.setLineage(flat::blob(value.lineage.view()));
    out.setEpoch(value.epoch);
    out.setSeq(value.seq);
    out.setHash(flat::blob(value.hash.view()));
}

Witness read(schema::Witness::Reader in, Checks& checks) {
    return {checks.fixed<Uuid>(in.getLineage(), "witness lineage"), in.getEpoch(), in.getSeq(),
            checks.fixed<Hash>(in.getHash(), "witness hash")};
}

void write_texts(capnp::List<capnp::Text>::Builder out, const std::vector<std::string>& values) {
    for (unsigned i = 0; i < out.size(); ++i) out.set(i, flat::text(flat::host_line(values[i])));
}

void write(schema::Hello::Builder out, const Hello& value) {
    out.setVersionMin(value.version_min);
    out.setVersionMax(value.version_max);
    out.setAgent(flat::text(value.agent));
    out.setIncarnation(flat::blob(value.incarnation.view()));
    out.setHostIdentity(flat::text(flat::host_line(value.host_identity)));
    out.setBootId(flat::text(flat::host_line(value.boot_id)));
    out.setSoftware(flat::text(flat::host_line(value.software)));
    write_texts(out.initRoles(flat::count(value.roles, flat::roles_max)), value.roles);
    write_texts(out.initCapabilities(flat::count(value.capabilities, flat::capabilities_max)),
                value.capabilities);
    write(out.initWitness(), value.witness);
}

Hello read(schema::Hello::Reader in, Checks& checks) {
    Hello value;
    value.version_min = in.getVersionMin();
    value.version_max = in.getVersionMax();
    value.agent = checks.name(in.getAgent(), "agent");
    value.incarnation = checks.fixed<Uuid>(in.getIncarnation(), "incarnation");
    value.host_identity = checks.line(in.getHostIdentity(), "host identity");
    value.boot_id = checks.line(in.getBootId(), "boot id");
    value.software = checks.line(in.getSoftware(), "software");
    value.roles = checks.list(in.getRoles(), flat::roles_max, "roles",
                              [&](capnp::Text::Reader role) { return checks.line(role, "role"); });
    value.capabilities =
        checks.list(in.getCapabilities(), flat::capabilities_max, "capabilities",
                    [&](capnp::Text::Reader item) { return checks.line(item, "capability"); });
    value.witness = read(in.getWitness(), checks);
    return value;
}

void write(schema::Welcome::Builder out, const Welcome& value) {
    out.setVersion(value.version);
    out.setLineage(flat::blob(value.lineage.view()));
    out.setEpoch(value.epoch);
    out.setHeadSeq(value.head_seq);
    out.setHeadHash(flat::blob(value.head_hash.view()));
    if (value.hash_at_witness) {
        out.setHashAtWitness(flat::blob(value.hash_at_witness->view()));
    }
    out.setHeartbeatMs(value.heartbeat_ms);
    out.setDeadMs(value.dead_ms);
    auto resets = out.initResets(flat::count(value.resets, resets_sent_max));
    for (unsigned i = 0; i < resets.size(); ++i) flat::write(resets[i], value.resets[i]);
    out.setWantsWorld(value.wants_world);
}

Welcome read(schema::Welcome::Reader in, Checks& checks) {
    Welcome value;
    value.version = in.getVersion();
    value.lineage = checks.fixed<Uuid>(in.getLineage(), "welcome lineage");
    value.epoch = in.getEpoch();
    value.head_seq = in.getHeadSeq();
    value.head_hash = checks.fixed<Hash>(in.getHeadHash(), "head hash");
    const auto at_witness = in.getHashAtWitness();
    if (at_witness.size() != 0) {
        value.hash_at_witness = checks.fixed<Hash>(at_witness, "hash at witness");
    }
    value.heartbeat_ms = in.getHeartbeatMs();
    value.dead_ms = in.getDeadMs();
    if (value.heartbeat_ms == 0 || value.dead_ms <= value.heartbeat_ms) {
        checks.fail("heartbeat", "not shorter than the silence that closes");
    }
    value.resets =
        checks.list(in.getResets(), resets_sent_max, "resets",
                    [&](schema::LineageReset::Reader reset) { return flat::read(reset, checks); });
    value.wants_world = in.getWantsWorld();
    return value;
}

void write(schema::EffectWanted::Builder out, const EffectWanted& value) {
    flat::write(out.initEffect(), value.effect);
    out.setEpoch(value.epoch);
    write(out.initHead(), value.head);
    out.setDigest(flat::blob(value.digest.view()));
}

EffectWanted read(schema::EffectWanted::Reader in, Checks& checks) {
    return {flat::read(in.getEffect(), checks), in.getEpoch(), read(in.getHead(), checks),
            checks.fixed<Hash>(in.getDigest(), "effect digest")};
}

void write(schema::WorldFound::Builder out, const WorldFound& value) {
    auto jobs = out.initJobs(flat::count(value.jobs, world_jobs_max));
    for (unsigned i = 0; i < jobs.size(); ++i) flat::write(jobs[i], value.jobs[i]);
    out.setIsCut(value.is_cut);
}

WorldFound read(schema::WorldFound::Reader in, Checks& checks) {
    return {checks.list(in.getJobs(), world_jobs_max, "jobs",
                        [&](schema::JobWorld::Reader job) { return flat::read(job, checks); }),
            in.getIsCut()};
}

AgentMessage read(schema::AgentMessage::Reader in, Checks& checks) {
    using Root = schema::AgentMessage;
    switch (in.which()) {
        case Root::HELLO:
            return read(in.getHello(), checks);
        case Root::EFFECT_TAKEN:
            return EffectTaken{flat::read(in.getEffectTaken(), checks)};
        case Root::REPORT:
            return ReportMade{flat::read(in.getReport(), checks)};
        case Root::PROGRESS:
            return ProgressMade{flat::read(in.getProgress(), checks)};
        case Root::HEARTBEAT:
            return Heartbeat{};
        case Root::REFUSED:
            return Refused{flat::read(in.getRefused(), checks)};
        case Root::WORLD_FOUND:
            return read(in.getWorldFound(), checks);
    }
    checks.fail("agent message", "unknown alternative");
    return Heartbeat{};
}

AnchorMade read(schema::AnchorMade::Reader in, Checks& checks) {
    AnchorMade made;
    made.lineage = checks.fixed<Uuid>(in.getLineage(), "lineage");
    made.last_seq = in.getLastSeq();
    made.line = checks.text(in.getLine(), "anchor", anchor_line_bytes_max);
    const bool is_printable = std::all_of(made.line.begin(), made.line.end(),
                                          [](char c) { return c >= ' ' && c <= '~'; });
    // The agent keeps it as a line of a file.
    if (!is_printable) checks.fail("anchor", "not printable");
    return made;
}

OrchestratorMessage read(schema::OrchestratorMessage::Reader in, Checks& checks) {
    using Root = schema::OrchestratorMessage;
    switch (in.which()) {
        case Root::WELCOME:
            return read(in.getWelcome(), checks);
        case Root::EFFECT_WANTED:
            return read(in.getEffectWanted(), checks);
        case Root::EFFECT_WITHDRAWN: {
            const auto withdrawn = in.getEffectWithdrawn();
            return EffectWithdrawn{flat::read(withdrawn.getId(), checks), withdrawn.getEpoch()};
        }
        case Root::REPORT_ACK:
            return ReportAck{checks.fixed<Uuid>(in.getReportAck(), "report id")};
        case Root::HEARTBEAT:
            return Heartbeat{};
        case Root::REFUSED:
            return Refused{flat::read(in.getRefused(), checks)};
        case Root::ANCHOR_MADE:
            return read(in.getAnchorMade(), checks);
    }
    checks.fail("orchestrator message", "unknown alternative");
    return Heartbeat{};
}

template <class Root, class Value>
Bytes encode_root(const Value& value) {
    flat::Message message;
    auto root = message.init_root<Root>();
    flat::write(root, value);
    return flat::to_bytes(root);
}

template <class Root>
auto decode_stored(ByteView bytes) {
    return flat::from_bytes<Root>(
        bytes, [](typename Root::Reader root, Checks& checks) { return flat::read(root, checks); },
        flat::stored_bytes_max);
}

}  // namespace

Bytes encode(const AgentMessage& message) {
    flat::Message builder;
    auto root = builder.init_root<schema::AgentMessage>();
    std::visit(
        flat::Overloaded{
            [&](const Hello& hello) { write(root.initHello(), hello); },
            [&](const EffectTaken& taken) { flat::write(root.initEffectTaken(), taken.id); },
            [&](const ReportMade& made) { flat::write(root.initReport(), made.report); },
            [&](const ProgressMade& made) { flat::write(root.initProgress(), made.progress); },
            [&](const Heartbeat&) { root.setHeartbeat(); },
            [&](const Refused& refused) { flat::write(root.initRefused(), refused.error); },
            [&](const WorldFound& found) { write(root.initWorldFound(), found); },
        },
        message);
    return flat::to_bytes(root);
}

Bytes encode(const OrchestratorMessage& message) {
    flat::Message builder;
    auto root = builder.init_root<schema::OrchestratorMessage>();
    std::visit(
        flat::Overloaded{
            [&](const Welcome& welcome) { write(root.initWelcome(), welcome); },
            [&](const EffectWanted& wanted) { write(root.initEffectWanted(), wanted); },
            [&](const EffectWithdrawn& withdrawn) {
                auto out = root.initEffectWithdrawn();
                flat::write(out.initId(), withdrawn.id);
                out.setEpoch(withdrawn.epoch);
            },
            [&](const ReportAck& ack) { root.setReportAck(flat::blob(ack.report_id.view())); },
            [&](const Heartbeat&) { root.setHeartbeat(); },
            [&](const Refused& refused) { flat::write(root.initRefused(), refused.error); },
            [&](const AnchorMade& made) {
                auto out = root.initAnchorMade();
                out.setLineage(flat::blob(made.lineage.view()));
                out.setLastSeq(made.last_seq);
                out.setLine(flat::text(made.line));
            },
        },
        message);
    return flat::to_bytes(root);
}

Result<AgentMessage> decode_agent_message(ByteView bytes) {
    return flat::from_bytes<schema::AgentMessage>(
        bytes,
        [](schema::AgentMessage::Reader root, Checks& checks) { return read(root, checks); });
}

Result<OrchestratorMessage> decode_orchestrator_message(ByteView bytes) {
    return flat::from_bytes<schema::OrchestratorMessage>(
        bytes, [](schema::OrchestratorMessage::Reader root, Checks& checks) {
            return read(root, checks);
        });
}

Bytes encode_spec(const JobSpec& spec) {
    return encode_root<schema::JobSpec>(spec);
}

Result<JobSpec> decode_spec(ByteView bytes) {
    return decode_stored<schema::JobSpec>(bytes);
}

Bytes encode_effect(const Effect& effect) {
    return encode_root<schema::Effect>(effect);
}

Result<Effect> decode_effect(ByteView bytes) {
    return decode_stored<schema::Effect>(bytes);
}

Bytes encode_report(const Report& report) {
    return encode_root<schema::Report>(report);
}

Result<Report> decode_report(ByteView bytes) {
    return decode_stored<schema::Report>(bytes);
}

Bytes encode_ticket(const Ticket& ticket) {
    return encode_root<schema::Ticket>(ticket);
}

Result<Ticket> decode_ticket(ByteView bytes) {
    return decode_stored<schema::Ticket>(bytes);
}

Hash effect_digest(const Effect& effect) {
    return sha256(encode_root<schema::Work>(effect.work));
}

}  // namespace drover
