#include "schemas/convert.h"

namespace drover::flat {
namespace {

void write(schema::ReplicateWork::Builder out, const ReplicateWork& value) {
    flat::write(out.initTicket(), value.ticket);
    flat::write(out.initPeer(), value.peer);
    out.setMode(wire_enum<schema::ReplicateMode>(value.mode));
    out.initLimits().setRateBytesPerS(value.limits.rate_bytes_per_s);
    out.setBacklogBytesMax(value.backlog_bytes_max);
    out.setOverwriteAcknowledged(value.overwrite_acknowledged);
    out.setReverse(value.reverse);
}

ReplicateWork read(schema::ReplicateWork::Reader in, Checks& checks) {
    ReplicateWork value;
    value.ticket = flat::read(in.getTicket(), checks);
    value.peer = flat::read(in.getPeer(), checks);
    value.mode = checks.number(in.getMode(), ReplicateMode::compare, "replicate mode");
    value.limits.rate_bytes_per_s = in.getLimits().getRateBytesPerS();
    value.backlog_bytes_max = in.getBacklogBytesMax();
    value.overwrite_acknowledged = in.getOverwriteAcknowledged();
    value.reverse = in.getReverse();
    return value;
}

void write(schema::Hook::Builder out, const Hook& value) {
    if (value.empty()) return;
    out.setName(text(value.name));
    out.setSha256(blob(value.sha256.view()));
}

Hook read(schema::Hook::Reader in, std::string_view field, Checks& checks) {
    if (in.getName().size() == 0) return {};
    return {checks.name(in.getName(), field), checks.fixed<Hash>(in.getSha256(), field)};
}

void write(schema::FenceWork::Builder out, const FenceWork& value) {
    out.setToken(blob(value.token.view()));
    out.setRun(value.run);
    write_paths(out.initDisks(count(value.disks, disks_max)), value.disks);
    out.setBacklogBytesMax(value.backlog_bytes_max);
    write(out.initPreFenceHook(), value.pre_fence_hook);
    write(out.initPostReleaseHook(), value.post_release_hook);
}

FenceWork read(schema::FenceWork::Reader in, Checks& checks) {
    FenceWork value;
    value.token = checks.fixed<FenceToken>(in.getToken(), "fence token");
    value.run = in.getRun();
    value.disks = read_paths(in.getDisks(), "fence disks", checks);
    value.backlog_bytes_max = in.getBacklogBytesMax();
    value.pre_fence_hook = read(in.getPreFenceHook(), "pre-fence hook", checks);
    value.post_release_hook = read(in.getPostReleaseHook(), "post-release hook", checks);
    return value;
}

void write(schema::DrainWork::Builder out, const DrainWork& value) {
    out.setToken(blob(value.token.view()));
    auto ranges = out.initRepair(count(value.repair, mismatches_max));
    for (unsigned i = 0; i < ranges.size(); ++i) flat::write(ranges[i], value.repair[i]);
}

DrainWork read(schema::DrainWork::Reader in, Checks& checks) {
    DrainWork value;
    value.token = checks.fixed<FenceToken>(in.getToken(), "drain token");
    value.repair =
        checks.list(in.getRepair(), mismatches_max, "drain repair",
                    [&](schema::ByteRange::Reader range) { return flat::read(range, checks); });
    return value;
}

void write(schema::ActivateWork::Builder out, const ActivateWork& value) {
    out.setToken(blob(value.token.view()));
    flat::write(out.initProof(), value.proof);
    out.setSourceAgent(text(value.source_agent));
    write(out.initPostActivateHook(), value.post_activate_hook);
}

ActivateWork read(schema::ActivateWork::Reader in, Checks& checks) {
    ActivateWork value;
    value.token = checks.fixed<FenceToken>(in.getToken(), "activate token");
    value.proof = flat::read(in.getProof(), checks);
    value.source_agent = checks.name(in.getSourceAgent(), "activate source agent");
    value.post_activate_hook = read(in.getPostActivateHook(), "post-activate hook", checks);
    return value;
}

PreflightWork read(schema::PreflightWork::Reader in, Checks& checks) {
    return {read_paths(in.getDisks(), "preflight disks", checks),
            read_hooks(in.getHooks(), checks)};
}

void write(schema::PreflightWork::Builder out, const PreflightWork& value) {
    write_paths(out.initDisks(count(value.disks, disks_max)), value.disks);
    write_hooks(out.initHooks(count(value.hooks, hook_steps)), value.hooks);
}

/// The groups of the union with a token and a hook.
DeactivateWork read_deactivate(schema::Work::Deactivate::Reader in, Checks& checks) {
    return {checks.fixed<FenceToken>(in.getToken(), "deactivate token"),
            read(in.getPreDeactivateHook(), "pre-deactivate hook", checks), in.getKeepChanges()};
}

ReleaseWork read_release(schema::Work::Release::Reader in, Checks& checks) {
    return {checks.fixed<FenceToken>(in.getToken(), "release token"),
            read(in.getPostReleaseHook(), "post-release hook", checks), in.getKeepReverse()};
}

StartTestWork read_start_test(schema::Work::StartTest::Reader in, Checks& checks) {
    return {read(in.getTestStartHook(), "test-start hook", checks),
            read(in.getTestStopHook(), "test-stop hook", checks)};
}

}  // namespace

void write(schema::Work::Builder out, const EffectWork& value) {
    std::visit(
        Overloaded{
            [&](const PreflightWork& work) { write(out.initPreflight(), work); },
            [&](const ReplicateWork& work) { write(out.initReplicate(), work); },
            [&](const FenceWork& work) { write(out.initFence(), work); },
            [&](const HoldFenceWork& work) {
                out.initHoldFence().setToken(blob(work.token.view()));
            },
            [&](const DrainWork& work) { write(out.initDrain(), work); },
            [&](const VerifyWork& work) {
                auto group = out.initVerify();
                group.setToken(blob(work.token.view()));
                group.setInductionOnly(!work.compare);
            },
            [&](const ActivateWork& work) { write(out.initActivate(), work); },
            [&](const ValidateWork& work) { write(out.initValidate().initHook(), work.hook); },
            [&](const DeactivateWork& work) {
                auto group = out.initDeactivate();
                group.setToken(blob(work.token.view()));
                write(group.initPreDeactivateHook(), work.pre_deactivate_hook);
                group.setKeepChanges(work.keep_changes);
            },
            [&](const ReleaseWork& work) {
                auto group = out.initRelease();
                group.setToken(blob(work.token.view()));
                write(group.initPostReleaseHook(), work.post_release_hook);
                group.setKeepReverse(work.keep_reverse);
            },
            [&](const CleanupWork& work) { out.initCleanup().setKeepFence(work.keep_fence); },
            [&](const DeleteDataWork& work) {
                write_paths(out.initDeleteData().initDisks(count(work.disks, disks_max)),
                            work.disks);
            },
            [&](const WakeAtWork& work) { out.initWakeAt().setAtMicros(work.at_micros); },
            [&](const StartTestWork& work) {
                auto group = out.initStartTest();
                write(group.initTestStartHook(), work.test_start_hook);
                write(group.initTestStopHook(), work.test_stop_hook);
            },
            [&](const RevertTestWork& work) {
                write(out.initRevertTest().initTestStopHook(), work.test_stop_hook);
            },
            [&](const ReverseDrainWork& work) {
                out.initReverseDrain().setToken(blob(work.token.view()));
            },
            [&](const ReverseVerifyWork& work) {
                out.initReverseVerify().setToken(blob(work.token.view()));
            },
            [&](const CompareWork& work) { out.initCompare().setToken(blob(work.token.view())); },
        },
        value);
}

EffectWork read(schema::Work::Reader in, Checks& checks) {
    switch (in.which()) {
        case schema::Work::PREFLIGHT:
            return read(in.getPreflight(), checks);
        case schema::Work::REPLICATE:
            return read(in.getReplicate(), checks);
        case schema::Work::FENCE:
            return read(in.getFence(), checks);
        case schema::Work::HOLD_FENCE:
            return HoldFenceWork{
                checks.fixed<FenceToken>(in.getHoldFence().getToken(), "hold-fence token")};
        case schema::Work::DRAIN:
            return read(in.getDrain(), checks);
        case schema::Work::VERIFY:
            return VerifyWork{checks.fixed<FenceToken>(in.getVerify().getToken(), "verify token"),
                              !in.getVerify().getInductionOnly()};
        case schema::Work::ACTIVATE:
            return read(in.getActivate(), checks);
        case schema::Work::VALIDATE:
            return ValidateWork{read(in.getValidate().getHook(), "validate hook", checks)};
        case schema::Work::DEACTIVATE:
            return read_deactivate(in.getDeactivate(), checks);
        case schema::Work::RELEASE:
            return read_release(in.getRelease(), checks);
        case schema::Work::CLEANUP:
            return CleanupWork{in.getCleanup().getKeepFence()};
        case schema::Work::DELETE_DATA:
            return DeleteDataWork{read_paths(in.getDeleteData().getDisks(), "disks", checks)};
        case schema::Work::WAKE_AT:
            return WakeAtWork{in.getWakeAt().getAtMicros()};
        case schema::Work::START_TEST:
            return read_start_test(in.getStartTest(), checks);
        case schema::Work::REVERT_TEST:
            return RevertTestWork{
                read(in.getRevertTest().getTestStopHook(), "test-stop hook", checks)};
        case schema::Work::REVERSE_DRAIN:
            return ReverseDrainWork{
                checks.fixed<FenceToken>(in.getReverseDrain().getToken(), "reverse-drain token")};
        case schema::Work::REVERSE_VERIFY:
            return ReverseVerifyWork{
                checks.fixed<FenceToken>(in.getReverseVerify().getToken(), "reverse-verify token")};
        case schema::Work::COMPARE:
            return CompareWork{
                checks.fixed<FenceToken>(in.getCompare().getToken(), "compare token")};
    }
    checks.fail("work", "unknown alternative");
    return {};
}

void write(schema::Effect::Builder out, const Effect& value) {
    write(out.initId(), value.id);
    out.setAgent(text(value.agent));
    out.setJobName(text(value.job_name));
    write(out.initWork(), value.work);
}

Effect read(schema::Effect::Reader in, Checks& checks) {
    Effect value;
    value.id = read(in.getId(), checks);
    value.work = read(in.getWork(), checks);
    // An id that names another kind of work is a forgery or a bug.
    if (kind_of(value.work) != value.id.kind) checks.fail("effect", "work and kind differ");
    const bool local = std::holds_alternative<WakeAtWork>(value.work);
    value.agent = local ? checks.optional_name(in.getAgent(), "effect agent")
                        : checks.name(in.getAgent(), "effect agent");
    value.job_name = checks.name(in.getJobName(), "effect job name");
    return value;
}

}  // namespace drover::flat
