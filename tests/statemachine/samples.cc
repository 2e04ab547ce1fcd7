#include "samples.h"

#include "scenario.h"

namespace drover::statemachine::testing {

JobWorld world_of(Side side, std::uint64_t last_seq) {
    JobWorld world;
    world.job = bytes_of(1);
    world.side = side;
    world.job_name = web_spec().name;
    world.last_seq = last_seq;
    if (side == Side::source) world.fence = bytes_of(0x40);
    if (side == Side::target) world.handover = Handover::active;
    if (side == Side::target) world.handover_token = bytes_of(0x40);
    return world;
}

std::vector<Event> sample_events() {
    const Error error(Errc::io, "disk_failed", "vdb: write failed", "the source",
                      "replace the disk");
    const std::vector<Finding> findings{
        {Severity::critical, "target_mounted", "/dev/vdb", "it is mounted", "unmount it"}};
    const std::vector<DiskProof> proofs = equal_disks().disks;
    const std::vector<ByteRange> ranges{{1, 4096, 8192}};
    FenceProof proof;
    proof.token = bytes_of(0x40);
    proof.job = bytes_of(1);
    proof.run = 1;
    proof.tracker_seq = 99;
    proof.fenced_micros = start_micros;
    proof.certificate_pem = "certificate\n";
    proof.signature = Bytes(64, 3);
    const std::string by = "operator:ann";
    return {
        JobPlanned{web_spec(), by},
        PreflightPassed{bytes_of<Hash>(7)},
        PreflightFailed{findings},
        MirrorStarted{by},
        MirrorCompleted{bytes_of(8)},
        TestStarted{by},
        TestReverted{},
        CutoverArmed{by, start_micros + 3600 * second_micros, bytes_of<Hash>(7), 300, true},
        Disarmed{by},
        CutoverStarted{by, 1, bytes_of(0x40), start_micros + 300 * second_micros},
        SourceFenced{proof},
        FenceRefused{70'000'000},
        DeltaDrained{12, 345'678},
        TargetVerified{proofs},
        MismatchFound{ranges},
        TargetActivated{start_micros + second_micros},
        TargetValidated{"health"},
        ValidationWaived{by, "known to be slow"},
        Committed{by},
        RollbackStarted{RollbackMode::keep, by, "operator", "all of it"},
        SourceReleased{start_micros + 2 * second_micros},
        TargetFenced{},
        ReverseDrained{9'000},
        ReverseVerified{proofs},
        ReverseAbandoned{by, "all of it"},
        ResyncStarted{by, 2, "all of it"},
        Cancelled{by},
        PreflightChecked{Side::target, preflight_half(Side::target)},
        Paused{by, "backup window"},
        Resumed{by},
        Parked{EffectKind::validate, error},
        Unparked{by},
        Quarantined{"history not legal"},
        QuarantineLifted{by},
        LimitsChanged{by, Limits{10'000'000}},
        RetryStarted{by, 2},
        DataStateChanged{DataState::lagging, bytes_of(8), 123'456},
        GenerationLost{1, "host was restarted"},
        ActivationFailed{error},
        ValidationFailed{error},
        DeadlinePassed{start_micros + 300 * second_micros},
        AgentLost{Side::source},
        AgentBack{Side::target},
        TargetStopConfirmed{by, "power was cut"},
        TargetDeactivated{true, 77'777},
        FenceBreached{3},
        FenceBroken{"root on web-old"},
        CleanedUp{Side::target},
        DeletionStarted{by},
        TargetDataDeleted{},
        CommandRejected{by, "cutover", "cutover_lagging", "123456 bytes behind"},
        ReconcileStarted{90},
        WorldSeen{world_of(Side::target, 91)},
        Reconciled{},
        ResolvedToTarget{by, "it answers requests"},
        ResolvedToSource{by, "the target was never started"},
        ResolvedToNeither{by, "both were switched off"},
        TestReady{{12, PointKind::application, start_micros, "reflink", {"/run/a", "/run/b"}}},
        TestRevertStarted{by},
        HoldCompared{{{bytes_of<Hash>(3), bytes_of<Hash>(3), 900, 60, 64}}, {{0, 4096, 64}}},
        CopyDiffers{{{1, 4096, 8192}}},
        ComparisonWaived{by, "the source is gone"},
    };
}

}  // namespace drover::statemachine::testing
