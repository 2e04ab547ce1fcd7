#include "schemas/model.h"

#include "base/assert.h"

#include <algorithm>

namespace drover {
namespace {

/// Length first, so that no two different values give the same bytes.
void put_text(Bytes& out, std::string_view text) {
    put_u32(out, static_cast<std::uint32_t>(text.size()));
    put_bytes(out, as_bytes(text));
}

/// That of `values` which has this name, with "-" for "_" or not.
template <class T>
std::optional<T> value_named(std::string_view name, std::initializer_list<T> values) {
    std::string wanted(name);
    std::replace(wanted.begin(), wanted.end(), '-', '_');
    for (const T value : values) {
        if (name_of(value) == wanted) return value;
    }
    return std::nullopt;
}

void put_micros(Bytes& out, WallMicros micros) {
    put_u64(out, static_cast<std::uint64_t>(micros));
}

}  // namespace

/// Layout: prefix, token, job, run u32, tracker seq u64, time u64, certificate text.
Bytes fence_proof_message(const FenceProof& proof) {
    Bytes out;
    put_text(out, "drover-fence1");
    put_bytes(out, proof.token.view());
    put_bytes(out, proof.job.view());
    put_u32(out, proof.run);
    put_u64(out, proof.tracker_seq);
    put_micros(out, proof.fenced_micros);
    put_text(out, proof.certificate_pem);
    return out;
}

/// Layout: prefix, lineage, job, name, serial u64, both agents, disk pairs, sizes, time u64; every
/// text and list begins with its u32 length.
Bytes ticket_message(const Ticket& ticket) {
    Bytes out;
    put_text(out, "drover-ticket1");
    put_bytes(out, ticket.lineage.view());
    put_bytes(out, ticket.job.view());
    put_text(out, ticket.job_name);
    put_u64(out, ticket.serial);
    put_text(out, ticket.source_agent);
    put_text(out, ticket.target_agent);
    put_u32(out, static_cast<std::uint32_t>(ticket.disks.size()));
    for (const DiskPair& disk : ticket.disks) {
        put_text(out, disk.source);
        put_text(out, disk.target);
    }
    put_u32(out, static_cast<std::uint32_t>(ticket.sizes_bytes.size()));
    for (const std::uint64_t size : ticket.sizes_bytes) put_u64(out, size);
    put_micros(out, ticket.not_after_micros);
    return out;
}

std::string effect_text(const EffectId& id) {
    std::string text = id.job.hex();
    text += '/';
    text += std::to_string(id.seq);
    text += '/';
    text += name_of(id.kind);
    text += '/';
    text += name_of(id.side);
    return text;
}

std::string_view name_of(Side side) {
    switch (side) {
        case Side::source:
            return "source";
        case Side::target:
            return "target";
    }
    DROVER_UNREACHABLE();
}

std::string_view name_of(HookStep step) {
    switch (step) {
        case HookStep::pre_fence:
            return "pre_fence";
        case HookStep::post_release:
            return "post_release";
        case HookStep::post_activate:
            return "post_activate";
        case HookStep::validate:
            return "validate";
        case HookStep::pre_deactivate:
            return "pre_deactivate";
        case HookStep::test_start:
            return "test_start";
        case HookStep::test_stop:
            return "test_stop";
    }
    DROVER_UNREACHABLE();
}

std::string_view name_of(EffectKind kind) {
    switch (kind) {
        case EffectKind::preflight:
            return "preflight";
        case EffectKind::replicate:
            return "replicate";
        case EffectKind::fence:
            return "fence";
        case EffectKind::hold_fence:
            return "hold_fence";
        case EffectKind::drain:
            return "drain";
        case EffectKind::verify:
            return "verify";
        case EffectKind::activate:
            return "activate";
        case EffectKind::validate:
            return "validate";
        case EffectKind::deactivate:
            return "deactivate";
        case EffectKind::release:
            return "release";
        case EffectKind::cleanup:
            return "cleanup";
        case EffectKind::delete_data:
            return "delete_data";
        case EffectKind::wake_at:
            return "wake_at";
        case EffectKind::seal_point:
            return "seal_point";
        case EffectKind::start_test:
            return "start_test";
        case EffectKind::revert_test:
            return "revert_test";
        case EffectKind::hold_test:
            return "hold_test";
        case EffectKind::reverse_drain:
            return "reverse_drain";
        case EffectKind::reverse_verify:
            return "reverse_verify";
        case EffectKind::compare:
            return "compare";
    }
    DROVER_UNREACHABLE();
}

EffectKind kind_of(const EffectWork& work) {
    struct Kinds {
        EffectKind operator()(const PreflightWork&) { return EffectKind::preflight; }

        EffectKind operator()(const ReplicateWork&) { return EffectKind::replicate; }

        EffectKind operator()(const FenceWork&) { return EffectKind::fence; }

        EffectKind operator()(const HoldFenceWork&) { return EffectKind::hold_fence; }

        EffectKind operator()(const DrainWork&) { return EffectKind::drain; }

        EffectKind operator()(const VerifyWork&) { return EffectKind::verify; }

        EffectKind operator()(const ActivateWork&) { return EffectKind::activate; }

        EffectKind operator()(const ValidateWork&) { return EffectKind::validate; }

        EffectKind operator()(const DeactivateWork&) { return EffectKind::deactivate; }

        EffectKind operator()(const ReleaseWork&) { return EffectKind::release; }

        EffectKind operator()(const CleanupWork&) { return EffectKind::cleanup; }

        EffectKind operator()(const DeleteDataWork&) { return EffectKind::delete_data; }

        EffectKind operator()(const WakeAtWork&) { return EffectKind::wake_at; }

        EffectKind operator()(const StartTestWork&) { return EffectKind::start_test; }

        EffectKind operator()(const RevertTestWork&) { return EffectKind::revert_test; }

        EffectKind operator()(const ReverseDrainWork&) { return EffectKind::reverse_drain; }

        EffectKind operator()(const ReverseVerifyWork&) { return EffectKind::reverse_verify; }

        EffectKind operator()(const CompareWork&) { return EffectKind::compare; }
    };

    return std::visit(Kinds{}, work);
}

std::string_view name_of(Comparison comparison) {
    switch (comparison) {
        case Comparison::before_release:
            return "before_release";
        case Comparison::during_hold:
            return "during_hold";
        case Comparison::never:
            return "never";
        case Comparison::automatic:
            return "automatic";
    }
    DROVER_UNREACHABLE();
}

std::string_view name_of(DataState state) {
    switch (state) {
        case DataState::idle:
            return "idle";
        case DataState::mirroring:
            return "mirroring";
        case DataState::catching_up:
            return "catching_up";
        case DataState::in_sync:
            return "in_sync";
        case DataState::lagging:
            return "lagging";
        case DataState::not_converging:
            return "not_converging";
        case DataState::stalled:
            return "stalled";
        case DataState::rescanning:
            return "rescanning";
        case DataState::paused:
            return "paused";
        case DataState::disconnected:
            return "disconnected";
    }
    DROVER_UNREACHABLE();
}

std::string_view name_of(PointKind kind) {
    switch (kind) {
        case PointKind::crash:
            return "crash-consistent";
        case PointKind::filesystem:
            return "filesystem-consistent";
        case PointKind::application:
            return "application-consistent";
    }
    DROVER_UNREACHABLE();
}

std::string_view name_of(Severity severity) {
    switch (severity) {
        case Severity::info:
            return "info";
        case Severity::warning:
            return "warning";
        case Severity::critical:
            return "critical";
    }
    DROVER_UNREACHABLE();
}

std::string_view name_of(Errc code) {
    switch (code) {
        case Errc::none:
            return "none";
        case Errc::invalid:
            return "invalid";
        case Errc::not_found:
            return "not_found";
        case Errc::conflict:
            return "conflict";
        case Errc::denied:
            return "denied";
        case Errc::unavailable:
            return "unavailable";
        case Errc::corrupt:
            return "corrupt";
        case Errc::io:
            return "io";
        case Errc::unsupported:
            return "unsupported";
        case Errc::timed_out:
            return "timed_out";
        case Errc::cancelled:
            return "cancelled";
    }
    DROVER_UNREACHABLE();
}

/// "pre_fence" as in events, or "pre-fence" as in the API and a hook's environment.
std::optional<HookStep> hook_step_from(std::string_view name) {
    return value_named(name, {HookStep::pre_fence, HookStep::post_release, HookStep::post_activate,
                              HookStep::validate, HookStep::pre_deactivate, HookStep::test_start,
                              HookStep::test_stop});
}

std::optional<Comparison> comparison_from(std::string_view name) {
    return value_named(name, {Comparison::before_release, Comparison::during_hold,
                              Comparison::never, Comparison::automatic});
}

}  // namespace drover
