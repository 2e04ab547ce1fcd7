#include "statemachine/outstanding.h"

#include "base/assert.h"
#include "base/mutation.h"
#include "statemachine/wanted.h"

#include <algorithm>

namespace drover::statemachine {
namespace {

EffectId effect_id(const Job& job, const Cause& cause, EffectKind kind, Side side) {
    EffectId id;
    id.lineage = job.lineage;
    id.job = job.id;
    id.seq = cause.seq;
    id.kind = kind;
    id.side = side;
    std::copy_n(cause.hash.data.begin(), id.cause_hash.size(), id.cause_hash.begin());
    return id;
}

/// With the digest that the approved plan hash covers, so that the agent runs no other file.
Hook hook_of(const Job& job, HookStep step) {
    const auto found = job.spec.hooks.find(step);
    if (found == job.spec.hooks.end()) return {};
    const auto& preflight = preflight_of(job, side_of(step));
    DROVER_ASSERT(preflight.has_value());
    return {found->second, preflight->hook_digests.at(step)};
}

std::vector<std::string> disks_of(const Job& job, Side side) {
    std::vector<std::string> out;
    for (const DiskPair& disk : job.spec.disks) {
        out.push_back(side == Side::source ? disk.source : disk.target);
    }
    return out;
}

PreflightWork preflight_work(const Job& job, Side side) {
    PreflightWork work{disks_of(job, side), {}};
    for (const auto& [step, name] : job.spec.hooks) {
        if (side_of(step) == side) work.hooks.emplace(step, name);
    }
    return work;
}

Ticket ticket_of(const Job& job) {
    Ticket ticket;
    ticket.lineage = job.lineage;
    ticket.job = job.id;
    ticket.job_name = job.spec.name;
    ticket.serial = job.ticket_serial;
    ticket.source_agent = job.spec.source_agent;
    ticket.target_agent = job.spec.target_agent;
    ticket.disks = job.spec.disks;
    const auto& source = preflight_of(job, Side::source);
    DROVER_ASSERT(source.has_value());
    for (const DiskFacts& disk : source->disks) ticket.sizes_bytes.push_back(disk.size_bytes);
    ticket.not_after_micros = job.ticket_not_after_micros;
    return ticket;
}

ReplicateWork replicate_work(const Job& job, Side side, ReplicateMode mode) {
    ReplicateWork work;
    work.ticket = ticket_of(job);
    if (side == Side::source) {
        const auto& target = preflight_of(job, Side::target);
        DROVER_ASSERT(target.has_value());
        work.peer = target->endpoint;
    }
    work.mode = mode;
    // A hold may begin when the ticket of the copy is nearly over.
    if (mode == ReplicateMode::compare) {
        work.ticket.not_after_micros = std::max(work.ticket.not_after_micros,
                                                job.phase_cause.wall_micros + ticket_life_micros);
    }
    work.limits = job.limits;
    work.backlog_bytes_max = job.spec.backlog_bytes_max;
    work.overwrite_acknowledged = job.overwrite_acknowledged;
    return work;
}

/// Both ends copy, or only the source keeps its tracker attached, or nobody does anything.
struct CopyWish {
    ReplicateMode mode = ReplicateMode::track_only;
    bool on_target = false;
};

/// The way back: the target sends, the source takes it in. Named by the rollback, which stands
/// still once the target is fenced.
ReplicateWork reverse_work(const Job& job, Side side, bool held) {
    ReplicateWork work = replicate_work(job, Side::source, ReplicateMode::connected);
    if (held) work.mode = ReplicateMode::track_only;
    work.ticket.serial = job.deactivate_cause.seq;
    work.ticket.not_after_micros = std::max(work.ticket.not_after_micros,
                                            job.deactivate_cause.wall_micros + ticket_life_micros);
    std::swap(work.ticket.source_agent, work.ticket.target_agent);
    for (DiskPair& disk : work.ticket.disks) std::swap(disk.source, disk.target);
    work.peer = side == Side::target ? preflight_of(job, Side::source)->endpoint : Endpoint{};
    work.overwrite_acknowledged = false;
    work.reverse = true;
    return work;
}

bool goes_back(const Job& job) {
    return job.phase == Phase::reverse_draining || job.phase == Phase::reverse_verifying;
}

std::optional<CopyWish> copy_wish(const Job& job, bool held) {
    // The target was declared stopped and has not said so itself: nothing may write to its disks.
    if (job.deactivate_pending) return std::nullopt;
    const auto unless_held = [held](ReplicateMode mode) {
        return CopyWish{held ? ReplicateMode::track_only : mode, true};
    };
    switch (job.phase) {
        case Phase::mirroring:
        case Phase::syncing:
        case Phase::armed:
        // The target takes batches into its journal and applies none under the open overlay.
        case Phase::testing:
            return unless_held(ReplicateMode::transfer);
        case Phase::fencing:
        case Phase::draining:
        case Phase::verifying:
            return unless_held(ReplicateMode::connected);
        // From here the target's disks are somebody else's; the source keeps its tracker, so that a
        // later resync knows what changed.
        case Phase::holding:
            if (!held && wants_hold_comparison(job)) return CopyWish{ReplicateMode::compare, true};
            return CopyWish{ReplicateMode::track_only, false};
        case Phase::activating:
        case Phase::validating:
        case Phase::rolling_back:
        case Phase::reverse_draining:
        case Phase::reverse_verifying:
        case Phase::rolled_back:
            return CopyWish{ReplicateMode::track_only, false};
        case Phase::planned:
        case Phase::blocked:
        case Phase::ready:
        case Phase::committed:
        case Phase::cancelled:
            return std::nullopt;
    }
    DROVER_UNREACHABLE();
}

bool wants_hold_fence(const Job& job) {
    if (!job.fence || job.fence_broken) return false;
    switch (job.phase) {
        case Phase::draining:
        case Phase::verifying:
        case Phase::activating:
        case Phase::validating:
        case Phase::holding:
        case Phase::rolling_back:
        case Phase::reverse_draining:
        case Phase::reverse_verifying:
            return true;
        case Phase::planned:
        case Phase::blocked:
        case Phase::ready:
        case Phase::mirroring:
        case Phase::syncing:
        case Phase::testing:
        case Phase::armed:
        case Phase::fencing:
        case Phase::committed:
        case Phase::rolled_back:
        case Phase::cancelled:
            return false;
    }
    DROVER_UNREACHABLE();
}

bool wants_deletion(const Job& job) {
    return (job.phase == Phase::rolled_back || job.phase == Phase::cancelled) &&
           job.deletion_wanted && !job.data_deleted && !job.deactivate_pending &&
           !job.test_reverting;
}

/// A side forgets the job only when nothing else is owed there.
bool wants_cleanup(const Job& job, Side side) {
    if (!is_final(job.phase) || job.cleaned_up.at(static_cast<std::size_t>(side))) return false;
    if (side == Side::source) return !job.release_pending;
    return !job.deactivate_pending && !job.test_reverting && !wants_deletion(job);
}

class Collector {
  public:
    Collector(const Job& job, bool ignore_holds)
        : job_(job),
          ignore_holds_(ignore_holds),
          held_(!ignore_holds && !DROVER_MUTANT("hold_ignored") && (job.paused || job.parked)) {}

    std::vector<Effect> collect() {
        // What the log wants may be long over: nothing is asked, nothing is taken back.
        const bool is_older_copy = job_.reconciling && !DROVER_MUTANT("reconciling_ignored");
        if (!job_.exists || is_older_copy) return {};
        const bool sealed = job_.quarantined.has_value();
        copy(held_ || sealed);
        if (wants_hold_fence(job_)) {
            add(job_.fence_cause, Side::source, EffectKind::hold_fence,
                HoldFenceWork{job_.fence->token});
        }
        if (sealed) return std::move(effects_);  // a history we do not trust starts nothing
        if (!held_) forward();
        back();
        clean_up();
        if (const auto wake = next_wake(job_)) {
            effects_.push_back({wake->id, "", job_.spec.name, WakeAtWork{wake->at_micros}});
        }
        return std::move(effects_);
    }

  private:
    void add(const Cause& cause, Side side, EffectKind kind, EffectWork work) {
        effects_.push_back({effect_id(job_, cause, kind, side), agent_of(job_, side),
                            job_.spec.name, std::move(work)});
    }

    void copy(bool held) {
        const auto wish = copy_wish(job_, held);
        if (!wish) return;
        for (const Side side : {Side::source, Side::target}) {
            if (side == Side::target && !wish->on_target) continue;
            add(job_.copy_cause, side, EffectKind::replicate,
                replicate_work(job_, side, wish->mode));
        }
        if (!goes_back(job_)) return;
        for (const Side side : {Side::source, Side::target}) {
            add(job_.deactivate_cause, side, EffectKind::replicate, reverse_work(job_, side, held));
        }
    }

    /// Steps that paused and parked withhold.
    void forward() {
        const Cause& cause = job_.phase_cause;
        if (job_.phase <= Phase::ready) {
            for (const Side side : {Side::source, Side::target}) {
                if (preflight_of(job_, side)) continue;
                add(cause, side, EffectKind::preflight, preflight_work(job_, side));
            }
        }
        if (job_.phase == Phase::fencing) {
            add(cause, Side::source, EffectKind::fence,
                FenceWork{*job_.token, job_.run, disks_of(job_, Side::source),
                          job_.spec.backlog_bytes_max, hook_of(job_, HookStep::pre_fence),
                          hook_of(job_, HookStep::post_release)});
        }
        if (job_.phase == Phase::draining) {
            add(cause, Side::source, EffectKind::drain, DrainWork{*job_.token, job_.repair});
        }
        if (job_.phase == Phase::verifying) {
            add(cause, Side::source, EffectKind::verify,
                VerifyWork{*job_.token, !job_.verifies_by_induction});
        }
        if (job_.phase == Phase::testing && !job_.test && !job_.test_reverting) {
            add(cause, Side::target, EffectKind::start_test,
                StartTestWork{hook_of(job_, HookStep::test_start),
                              hook_of(job_, HookStep::test_stop)});
        }
        if (wants_hold_comparison(job_)) {
            add(cause, Side::source, EffectKind::compare, CompareWork{*job_.token});
        }
        if (job_.phase == Phase::reverse_draining && may_go_back(job_)) {
            add(cause, Side::target, EffectKind::reverse_drain, ReverseDrainWork{*job_.token});
        }
        if (job_.phase == Phase::reverse_verifying && may_go_back(job_)) {
            add(cause, Side::target, EffectKind::reverse_verify, ReverseVerifyWork{*job_.token});
        }
        if (job_.phase == Phase::activating) activate(cause);
        if (job_.phase == Phase::validating) {
            add(cause, Side::target, EffectKind::validate,
                ValidateWork{hook_of(job_, HookStep::validate)});
        }
    }

    void activate(const Cause& cause) {
        const bool is_void = fence_is_void(job_) && !DROVER_MUTANT("breach_ignored");
        if (!job_.activate_derived || (is_void && !ignore_holds_)) return;
        DROVER_ASSERT(job_.fence && job_.fence->run == job_.run && job_.fence->token == job_.token);
        add(cause, Side::target, EffectKind::activate,
            ActivateWork{*job_.token, *job_.fence, job_.spec.source_agent,
                         hook_of(job_, HookStep::post_activate)});
    }

    /// The way back is never withheld.
    void back() {
        const bool must_go_down =
            job_.phase == Phase::rolling_back && job_.activate_derived && !job_.target_deactivated;
        if (must_go_down || job_.deactivate_pending) {
            add(job_.deactivate_cause, Side::target, EffectKind::deactivate,
                DeactivateWork{*job_.token, hook_of(job_, HookStep::pre_deactivate),
                               keeps_changes()});
        }
        if (job_.test_reverting) {
            add(job_.phase_cause, Side::target, EffectKind::revert_test,
                RevertTestWork{hook_of(job_, HookStep::test_stop)});
        }
        if (wants_release(job_)) {
            release(job_.phase_cause, *job_.token, job_.reverse_verified);
        }
        if (job_.release_pending && target_is_out(job_)) {
            release(job_.release_cause, *job_.release_pending, false);
        }
    }

    void release(const Cause& cause, const FenceToken& token, bool keeps_reverse) {
        add(cause, Side::source, EffectKind::release,
            ReleaseWork{token, hook_of(job_, HookStep::post_release), keeps_reverse});
    }

    /// In mode discard too: the content of an effect must not change under its name, and a mode
    /// can.
    [[nodiscard]] bool keeps_changes() const {
        return has_capability(job_, Side::target, capability_reverse);
    }

    void clean_up() {
        for (const Side side : {Side::source, Side::target}) {
            if (!wants_cleanup(job_, side)) continue;
            add(job_.phase_cause, side, EffectKind::cleanup,
                CleanupWork{job_.phase == Phase::committed || job_.resolved});
        }
        if (wants_deletion(job_)) {
            add(job_.deletion_cause, Side::target, EffectKind::delete_data,
                DeleteDataWork{disks_of(job_, Side::target)});
        }
    }

    const Job& job_;
    bool ignore_holds_;
    bool held_;
    std::vector<Effect> effects_;
};

WallMicros wake_time(const Job& job) {
    if (job.phase == Phase::armed) return job.armed ? job.armed->at_micros : 0;
    if (job.phase == Phase::holding) return job.decision_overdue ? 0 : job.hold_deadline_micros;
    if (is_in_cutover(job.phase)) return job.deadline_passed ? 0 : job.outage_deadline_micros;
    return 0;
}

}  // namespace

Side side_of(HookStep step) {
    switch (step) {
        case HookStep::pre_fence:
        case HookStep::post_release:
            return Side::source;
        case HookStep::post_activate:
        case HookStep::validate:
        case HookStep::pre_deactivate:
        case HookStep::test_start:
        case HookStep::test_stop:
            return Side::target;
    }
    DROVER_UNREACHABLE();
}

bool has_capability(const Job& job, Side side, std::string_view capability) {
    const auto& half = preflight_of(job, side);
    return half && std::find(half->capabilities.begin(), half->capabilities.end(), capability) !=
                       half->capabilities.end();
}

bool may_go_back(const Job& job) {
    return target_is_out(job) && job.changes_known && !fence_is_void(job);
}

std::optional<Wake> next_wake(const Job& job) {
    const WallMicros at_micros = wake_time(job);
    if (at_micros == 0) return std::nullopt;
    return Wake{at_micros, effect_id(job, job.wake_cause, EffectKind::wake_at, Side::source)};
}

bool wants_release(const Job& job) {
    const bool is_out = target_is_out(job) || DROVER_MUTANT("release_before_stop");
    if (!is_out || job.phase != Phase::rolling_back) return false;
    DROVER_ASSERT(job.rollback.has_value());
    return job.rollback->mode == RollbackMode::discard || job.reverse_verified ||
           DROVER_MUTANT("reverse_unproved");
}

bool is_current(const Job& job, const EffectId& id) {
    const auto effects = Collector(job, true).collect();
    return std::any_of(effects.begin(), effects.end(),
                       [&](const Effect& effect) { return effect.id == id; });
}

std::vector<Effect> outstanding(const Job& job) {
    return Collector(job, false).collect();
}

bool needs_head_sync(EffectKind kind) {
    switch (kind) {
        case EffectKind::fence:
        case EffectKind::activate:
        case EffectKind::deactivate:
        case EffectKind::release:
        case EffectKind::cleanup:
        case EffectKind::delete_data:
        case EffectKind::reverse_drain:
            return true;
        case EffectKind::preflight:
        case EffectKind::replicate:
        case EffectKind::hold_fence:
        case EffectKind::drain:
        case EffectKind::verify:
        case EffectKind::validate:
        case EffectKind::wake_at:
        case EffectKind::seal_point:
        case EffectKind::start_test:
        case EffectKind::revert_test:
        case EffectKind::hold_test:
        case EffectKind::reverse_verify:
        case EffectKind::compare:
            return false;
    }
    DROVER_UNREACHABLE();
}

}  // namespace drover::statemachine
