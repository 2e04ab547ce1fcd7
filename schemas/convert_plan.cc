#include "schemas/convert.h"

namespace drover::flat {

void write(schema::Fault::Builder out, const Error& value) {
    out.setCode(wire_enum<schema::ErrorCode>(value.code()));
    out.setId(text(host_line(value.id())));
    out.setDetail(text(free_text(value.detail())));
    out.setKept(text(free_text(value.kept())));
    out.setNext(text(free_text(value.next())));
}

Error read(schema::Fault::Reader in, Checks& checks) {
    const auto code = checks.number(in.getCode(), Errc::cancelled, "error code");
    std::string id = checks.line(in.getId(), "error id");
    std::string detail = checks.text(in.getDetail(), "error detail");
    std::string kept = checks.text(in.getKept(), "error kept");
    std::string next = checks.text(in.getNext(), "error next");
    return Error(code, std::move(id), std::move(detail), std::move(kept), std::move(next));
}

void write_paths(capnp::List<capnp::Text>::Builder out, const std::vector<std::string>& paths) {
    for (unsigned i = 0; i < out.size(); ++i) out.set(i, text(paths[i]));
}

std::vector<std::string> read_paths(capnp::List<capnp::Text>::Reader in, std::string_view field,
                                    Checks& checks) {
    return checks.list(in, disks_max, field,
                       [&](capnp::Text::Reader path) { return checks.line(path, field); });
}

void write_hooks(capnp::List<schema::HookName>::Builder out,
                 const std::map<HookStep, std::string>& hooks) {
    unsigned index = 0;
    for (const auto& [step, name] : hooks) {
        auto entry = out[index++];
        entry.setStep(wire_enum<schema::HookStep>(step));
        entry.setName(text(name));
    }
}

std::map<HookStep, std::string> read_hooks(capnp::List<schema::HookName>::Reader in,
                                           Checks& checks) {
    std::map<HookStep, std::string> hooks;
    const auto entries = checks.list(in, hook_steps, "hooks", [&](schema::HookName::Reader entry) {
        const auto step = checks.number(entry.getStep(), HookStep::test_stop, "hook step");
        return std::pair(step, checks.name(entry.getName(), "hook"));
    });
    for (const auto& [step, name] : entries) {
        if (!hooks.empty() && hooks.rbegin()->first >= step) checks.fail("hooks", "not ascending");
        hooks.emplace(step, name);
    }
    return hooks;
}

void write_disk_pairs(capnp::List<schema::DiskPair>::Builder out,
                      const std::vector<DiskPair>& disks) {
    for (unsigned i = 0; i < out.size(); ++i) {
        out[i].setSource(text(disks[i].source));
        out[i].setTarget(text(disks[i].target));
        out[i].setSkipFreeSpace(disks[i].skip_free_space);
    }
}

std::vector<DiskPair> read_disk_pairs(capnp::List<schema::DiskPair>::Reader in, Checks& checks) {
    return checks.list(in, disks_max, "disks", [&](schema::DiskPair::Reader disk) {
        return DiskPair{checks.line(disk.getSource(), "source disk"),
                        checks.line(disk.getTarget(), "target disk"), disk.getSkipFreeSpace()};
    });
}

void write(schema::JobSpec::Builder out, const JobSpec& value) {
    out.setName(text(value.name));
    out.setSourceAgent(text(value.source_agent));
    out.setTargetAgent(text(value.target_agent));
    write_disk_pairs(out.initDisks(count(value.disks, disks_max)), value.disks);
    write_hooks(out.initHooks(count(value.hooks, hook_steps)), value.hooks);
    out.initLimits().setRateBytesPerS(value.limits.rate_bytes_per_s);
    out.setOutageMaxS(value.outage_max_s);
    out.setHoldS(value.hold_s);
    out.setBacklogBytesMax(value.backlog_bytes_max);
    out.setComparison(wire_enum<schema::Comparison>(value.comparison));
}

JobSpec read(schema::JobSpec::Reader in, Checks& checks) {
    JobSpec value;
    value.name = checks.name(in.getName(), "job name");
    value.source_agent = checks.name(in.getSourceAgent(), "source agent");
    value.target_agent = checks.name(in.getTargetAgent(), "target agent");
    value.disks = read_disk_pairs(in.getDisks(), checks);
    if (value.disks.empty()) checks.fail("disks", "none");
    value.hooks = read_hooks(in.getHooks(), checks);
    value.limits.rate_bytes_per_s = in.getLimits().getRateBytesPerS();
    value.outage_max_s = in.getOutageMaxS();
    value.hold_s = in.getHoldS();
    value.backlog_bytes_max = in.getBacklogBytesMax();
    value.comparison = checks.number(in.getComparison(), Comparison::automatic, "comparison");
    return value;
}

void write(schema::EffectId::Builder out, const EffectId& value) {
    out.setLineage(blob(value.lineage.view()));
    out.setJob(blob(value.job.view()));
    out.setSeq(value.seq);
    out.setKind(wire_enum<schema::EffectKind>(value.kind));
    out.setSide(wire_enum<schema::Side>(value.side));
    out.setCauseHash(blob(value.cause_hash));
}

EffectId read(schema::EffectId::Reader in, Checks& checks) {
    EffectId value;
    value.lineage = checks.fixed<Uuid>(in.getLineage(), "effect lineage");
    value.job = checks.fixed<JobId>(in.getJob(), "effect job");
    value.seq = in.getSeq();
    value.kind = checks.number(in.getKind(), EffectKind::compare, "effect kind");
    value.side = checks.number(in.getSide(), Side::target, "effect side");
    value.cause_hash = checks.fixed<Uuid>(in.getCauseHash(), "effect cause").data;
    return value;
}

void write(schema::Ticket::Builder out, const Ticket& value) {
    out.setLineage(blob(value.lineage.view()));
    out.setJob(blob(value.job.view()));
    out.setJobName(text(value.job_name));
    out.setSerial(value.serial);
    out.setSourceAgent(text(value.source_agent));
    out.setTargetAgent(text(value.target_agent));
    write_disk_pairs(out.initDisks(count(value.disks, disks_max)), value.disks);
    auto sizes = out.initSizesBytes(count(value.sizes_bytes, disks_max));
    for (unsigned i = 0; i < sizes.size(); ++i) sizes.set(i, value.sizes_bytes[i]);
    out.setNotAfterMicros(value.not_after_micros);
    out.setSignature(blob(value.signature));
}

Ticket read(schema::Ticket::Reader in, Checks& checks) {
    Ticket value;
    value.lineage = checks.fixed<Uuid>(in.getLineage(), "ticket lineage");
    value.job = checks.fixed<JobId>(in.getJob(), "ticket job");
    value.job_name = checks.name(in.getJobName(), "ticket job name");
    value.serial = in.getSerial();
    value.source_agent = checks.name(in.getSourceAgent(), "ticket source agent");
    value.target_agent = checks.name(in.getTargetAgent(), "ticket target agent");
    value.disks = read_disk_pairs(in.getDisks(), checks);
    value.sizes_bytes = checks.list(in.getSizesBytes(), disks_max, "ticket sizes",
                                    [](std::uint64_t size) { return size; });
    if (value.disks.size() != value.sizes_bytes.size()) {
        checks.fail("ticket sizes", "not one for each disk");
    }
    value.not_after_micros = in.getNotAfterMicros();
    value.signature = checks.bytes(in.getSignature(), "ticket signature", signature_bytes_max);
    return value;
}

void write(schema::Endpoint::Builder out, const Endpoint& value) {
    out.setHost(text(host_line(value.host)));
    out.setControlPort(value.control_port);
    out.setBulkPort(value.bulk_port);
}

Endpoint read(schema::Endpoint::Reader in, Checks& checks) {
    return {checks.line(in.getHost(), "endpoint host"), in.getControlPort(), in.getBulkPort()};
}

void write(schema::FenceProof::Builder out, const FenceProof& value) {
    out.setToken(blob(value.token.view()));
    out.setJob(blob(value.job.view()));
    out.setRun(value.run);
    out.setTrackerSeq(value.tracker_seq);
    out.setFencedMicros(value.fenced_micros);
    out.setCertificatePem(text(value.certificate_pem));
    out.setSignature(blob(value.signature));
}

FenceProof read(schema::FenceProof::Reader in, Checks& checks) {
    FenceProof value;
    value.token = checks.fixed<FenceToken>(in.getToken(), "fence token");
    value.job = checks.fixed<JobId>(in.getJob(), "fence job");
    value.run = in.getRun();
    value.tracker_seq = in.getTrackerSeq();
    value.fenced_micros = in.getFencedMicros();
    value.certificate_pem =
        checks.text(in.getCertificatePem(), "fence certificate", certificate_bytes_max);
    value.signature = checks.bytes(in.getSignature(), "fence signature", signature_bytes_max);
    return value;
}

void write(schema::ByteRange::Builder out, const ByteRange& value) {
    out.setDisk(value.disk);
    out.setOffset(value.offset);
    out.setLength(value.length);
}

ByteRange read(schema::ByteRange::Reader in, Checks& checks) {
    const ByteRange value{in.getDisk(), in.getOffset(), in.getLength()};
    if (value.disk >= disks_max) checks.fail("range disk", "too high");
    if (value.offset + value.length < value.offset) checks.fail("range", "overflows");
    return value;
}

}  // namespace drover::flat
