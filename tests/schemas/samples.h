/// One filled example of every kind of work, report and message, for round-trip and hostility
/// tests.
#pragma once

#include "schemas/codec.h"

#include <vector>

namespace drover::samples {

inline Uuid uuid(std::uint8_t seed) {
    Uuid out;
    for (std::size_t i = 0; i < out.data.size(); ++i) {
        out.data[i] = static_cast<std::uint8_t>(seed * 31 + i);
    }
    return out;
}

inline Hash hash(std::uint8_t seed) {
    Hash out;
    for (std::size_t i = 0; i < out.data.size(); ++i) {
        out.data[i] = static_cast<std::uint8_t>(seed * 17 + i);
    }
    return out;
}

inline std::vector<DiskPair> disks() {
    return {{"/dev/vda", "/dev/sdb"}, {"/srv/a.img", "/b.img"}};
}

inline JobSpec spec() {
    JobSpec spec;
    spec.name = "web-01";
    spec.source_agent = "source";
    spec.target_agent = "target";
    spec.disks = disks();
    spec.hooks = {{HookStep::pre_fence, "stop-db"}, {HookStep::pre_deactivate, "stop-new-db"}};
    spec.limits.rate_bytes_per_s = 50'000'000;
    return spec;
}

inline EffectId effect_id(EffectKind kind) {
    EffectId id;
    id.lineage = uuid(1);
    id.job = uuid(2);
    id.seq = 77;
    id.kind = kind;
    id.side = Side::target;
    id.cause_hash = uuid(3).data;
    return id;
}

inline Ticket ticket() {
    Ticket ticket;
    ticket.lineage = uuid(1);
    ticket.job = uuid(2);
    ticket.job_name = "web-01";
    ticket.serial = 5;
    ticket.source_agent = "source";
    ticket.target_agent = "target";
    ticket.disks = disks();
    ticket.sizes_bytes = {1U << 30, 1U << 20};
    ticket.not_after_micros = 1'700'000'000'000'000;
    ticket.signature = Bytes(64, 0xab);
    return ticket;
}

inline FenceProof proof() {
    FenceProof proof;
    proof.token = uuid(4);
    proof.job = uuid(2);
    proof.run = 3;
    proof.tracker_seq = 123456789;
    proof.fenced_micros = 1'600'000'000'000'001;
    proof.certificate_pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    proof.signature = Bytes(64, 0xcd);
    return proof;
}

/// In the order of EffectWork.
inline std::vector<EffectWork> works() {
    ReplicateWork replicate;
    replicate.ticket = ticket();
    replicate.peer = {"10.0.0.2", 16325, 16326};
    replicate.mode = ReplicateMode::connected;
    replicate.limits.rate_bytes_per_s = 9;
    replicate.backlog_bytes_max = 4096;
    replicate.overwrite_acknowledged = true;
    replicate.reverse = true;
    return {
        PreflightWork{{"/dev/vda"}, {{HookStep::validate, "healthy"}}},
        replicate,
        FenceWork{uuid(4), 3, {"/dev/vda"}, 1U << 20, {"stop-db", hash(7)}, {"start-db", hash(8)}},
        HoldFenceWork{uuid(4)},
        DrainWork{uuid(4), {{1, 4096, 8192}}},
        VerifyWork{uuid(4), false},
        ActivateWork{uuid(4), proof(), "source", {"start-new", hash(9)}},
        ValidateWork{{"healthy", hash(6)}},
        DeactivateWork{uuid(4), {"stop-new", hash(3)}, true},
        ReleaseWork{uuid(4), {"start-db", hash(8)}, true},
        CleanupWork{true},
        DeleteDataWork{{"/dev/sdb", "/b.img"}},
        WakeAtWork{-5},
        StartTestWork{{"start-test", hash(4)}, {"stop-test", hash(5)}},
        RevertTestWork{{"stop-test", hash(5)}},
        ReverseDrainWork{uuid(4)},
        ReverseVerifyWork{uuid(4)},
        CompareWork{uuid(4)}};
}

inline std::vector<Effect> effects() {
    std::vector<Effect> out;
    for (const EffectWork& work : works()) {
        const auto kind = kind_of(work);
        const bool local = kind == EffectKind::wake_at;
        out.push_back({effect_id(kind), local ? "" : "source", "web-01", work});
    }
    return out;
}

/// In the order of ReportBody.
inline std::vector<ReportBody> bodies() {
    PreflightDone preflight;
    preflight.findings = {{Severity::warning, "hook_slow", "stop-db", "took 9 s", "make it quick"}};
    preflight.disks = {{"/dev/vda", "wwn-0x5", 1U << 30, 4096, "ebpf"}};
    preflight.capabilities = {"track.ebpf", "test.overlay"};
    preflight.hook_digests = {{HookStep::pre_fence, hash(5)}, {HookStep::validate, hash(6)}};
    preflight.endpoint = {"10.0.0.2", 6325, 6326};
    preflight.journal_mode = "direct";
    return {
        preflight,
        MirrorDone{uuid(7)},
        DataStateNow{DataState::in_sync, uuid(7), 42},
        GenerationGone{1, "reboot"},
        FenceDone{proof()},
        FenceDeclined{1U << 30},
        FenceBreach{2},
        FenceBrokenByRoot{"root on tty1"},
        DrainDone{9, 1000, 1001, 1002, 1003},
        VerifyDone{{{hash(8), hash(9), 1U << 30, 4, 5}}, {{0, 0, 4096}}},
        ActivateDone{1'600'000'000'000'002},
        ValidateDone{"http 200"},
        DeactivateDone{true, 5000, true, 4096},
        ReleaseDone{1'600'000'000'000'003},
        CleanupDone{},
        DataDeleted{},
        StepFailed{Error(Errc::unavailable, "disk_busy", "in use by lvm", "all data", "stop lvm")},
        StartTestDone{7, PointKind::filesystem, 8, "qcow2", {"/run/a", "/run/b"}},
        RevertTestDone{},
        ReverseDrainDone{9, 1000},
        ReverseVerifyDone{{{hash(8), hash(9), 1U << 30}}, {{0, 0, 4096}}},
        CompareDone{{{hash(8), hash(8), 1U << 29, 0, 1U << 29}}, {{0, 0, 1}}, {{0, 5, 6}}}};
}

inline std::vector<Report> reports() {
    std::vector<Report> out;
    for (const ReportBody& body : bodies()) {
        out.push_back({uuid(10), effect_id(EffectKind::fence), body});
    }
    return out;
}

inline Hello hello() {
    Hello hello;
    hello.agent = "source";
    hello.incarnation = uuid(11);
    hello.host_identity = "machine-1";
    hello.boot_id = "boot-1";
    hello.software = "drover 0.1.0";
    hello.roles = {"source", "target"};
    hello.capabilities = {"track.ebpf"};
    hello.witness = {uuid(1), 4, 70, hash(12)};
    return hello;
}

inline Progress progress() {
    Progress progress;
    progress.job = uuid(2);
    progress.side = Side::target;
    progress.state = DataState::rescanning;
    progress.disks = {{100, 50, 25}, {0, 0, 0}};
    progress.bytes_changed = 1;
    progress.bytes_sent_mirror = 2;
    progress.bytes_sent_sync = 3;
    progress.bytes_zero_skipped = 4;
    progress.bytes_resumed = 5;
    progress.passes = 6;
    progress.tracker_losses = 7;
    progress.rate_bytes_per_s = 8;
    progress.bytes_written_since_activation = 9;
    progress.detail = "the peer is away";
    progress.bytes_unverified = 10;
    progress.bytes_read_back = 11;
    progress.bytes_differed = 12;
    progress.walk_rounds = 13;
    progress.walk_alarms = 14;
    progress.journal_lag_bytes = 15;
    progress.points = {{16, 17, PointKind::crash}, {18, 19, PointKind::application}};
    progress.bytes_on_wire = 20;
    return progress;
}

inline Refused refused() {
    return {Error(Errc::denied, "stale_epoch", "epoch 3 < 4", "everything", "stop the old one")};
}

inline JobWorld job_world(Side side) {
    JobWorld world;
    world.job = uuid(2);
    world.side = side;
    world.job_name = "web";
    world.last_seq = 77;
    world.busy = side == Side::source;
    world.closed = side == Side::target;
    world.fence = side == Side::source ? uuid(6) : Uuid{};
    world.handover = side == Side::target ? Handover::active : Handover::none;
    world.handover_token = side == Side::target ? uuid(6) : Uuid{};
    world.breached = side == Side::source;
    return world;
}

inline LineageReset lineage_reset(const Uuid& old_lineage, const Uuid& new_lineage) {
    LineageReset reset;
    reset.old_lineage = old_lineage;
    reset.old_head_seq = 60;
    reset.old_head_hash = hash(11);
    reset.old_epoch = 4;
    reset.new_lineage = new_lineage;
    reset.new_epoch = 1004;
    reset.at_micros = 1'700'000'000'000'000;
    reset.by = "operator:ann";
    reset.reason = "the volume was lost";
    reset.signature = Bytes(64, 7);
    return reset;
}

/// Every alternative of AgentMessage, with every body of a report.
inline std::vector<AgentMessage> agent_messages() {
    std::vector<AgentMessage> out{
        hello(),
        EffectTaken{effect_id(EffectKind::drain)},
        ProgressMade{progress()},
        Heartbeat{},
        refused(),
        WorldFound{{job_world(Side::source), job_world(Side::target)}, true}};
    for (const Report& report : reports()) out.emplace_back(ReportMade{report});
    return out;
}

inline Welcome welcome() {
    Welcome welcome;
    welcome.lineage = uuid(1);
    welcome.epoch = 5;
    welcome.head_seq = 90;
    welcome.head_hash = hash(13);
    welcome.hash_at_witness = hash(12);
    return welcome;
}

inline EffectWanted wanted(const Effect& effect) {
    return {effect, 5, {uuid(1), 5, 90, hash(13)}, effect_digest(effect)};
}

/// Every alternative of OrchestratorMessage, with every kind of work.
inline std::vector<OrchestratorMessage> orchestrator_messages() {
    std::vector<OrchestratorMessage> out{
        welcome(),           EffectWithdrawn{effect_id(EffectKind::replicate), 5},
        ReportAck{uuid(10)}, Heartbeat{},
        refused(),           AnchorMade{uuid(11), 2048, "{\"anchor\":{}}"}};
    for (const Effect& effect : effects()) out.emplace_back(wanted(effect));
    return out;
}

}  // namespace drover::samples
