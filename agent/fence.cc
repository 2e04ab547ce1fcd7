#include "agent/fence.h"

#include "agent/disk_wait.h"
#include "base/log.h"
#include "base/mutation.h"
#include "wire/pki.h"

namespace drover::agent {
namespace {

constexpr std::int64_t settle_timeout_ms = 30'000;
constexpr int looks_max = 20;  // for users that are just leaving, and for the last completions
constexpr std::int64_t look_wait_ms = 100;

GuardName guard_of(const Effect& effect) {
    return {effect.id.job, Side::source};
}

const FenceWork& work_of(const Effect& effect) {
    return std::get<FenceWork>(effect.work);
}

Error tombstoned() {
    return Error(Errc::denied, "token_tombstoned",
                 "this fence token was released on this host and is dead",
                 "the source stays in service; nothing was changed",
                 "start a new cutover: it draws a new token");
}

/// Adds to an error what became of the source.
Error with_kept(const Error& error, const std::string& kept) {
    return Error(
        error.code(), error.id(), error.detail(), kept,
        error.next().empty() ? "correct the cause, then retry or roll back" : error.next());
}

}  // namespace

Result<> Fencer::run_hook(const Effect& effect, HookStep step, const Hook& hook) {
    if (hook.empty()) return {};
    const FenceWork& work = work_of(effect);
    return parts_.host.run_hook({hook, step, effect.job_name, work.disks, work.token});
}

Result<std::vector<std::uint64_t>> Fencer::write_marks(const std::vector<std::string>& disks) {
    std::vector<std::uint64_t> marks;
    for (const std::string& disk : disks) {
        TRY(const std::uint64_t mark, parts_.host.write_mark(disk));
        marks.push_back(mark);
    }
    return marks;
}

Result<ReportBody> Fencer::fence(const Effect& effect, replicator::SourceReplica& replica) {
    const FenceWork& work = work_of(effect);
    if (parts_.journal.is_tombstoned(work.token)) return tombstoned();
    TRY(const auto present, parts_.fences.of_job(effect.id.job));
    if (present && present->work().token != work.token)
        return Error(Errc::conflict, "fence_other_token",
                     "another fence of this job stands on this host",
                     "that fence and the disks it holds", "release it first, then start again");
    // The same token: an earlier attempt's fence stands already.
    if (present) return finish_interrupted(effect, &replica);
    auto settled = replica.settle(work.backlog_bytes_max, settle_timeout_ms);
    if (!settled && settled.error().code() == Errc::unavailable)
        return ReportBody(FenceDeclined{replica.backlog_bytes()});
    if (!settled)
        return with_kept(settled.error(), "the source is in service, nothing was changed");
    auto closed = close(effect, replica);
    if (closed) return signed_proof(*closed);
    auto undone = DROVER_MUTANT("failed_fence_left") ? Result<>() : undo(effect);
    if (undone) return with_kept(closed.error(), "the source is back in service; the copy is kept");
    return with_kept(
        closed.error(),
        "the copy is kept, but the source is NOT fully back in service: " + undone.error().text());
}

Result<FenceMarker> Fencer::close(const Effect& effect, replicator::SourceReplica& replica) {
    const FenceWork& work = work_of(effect);
    TRY_VOID(run_hook(effect, HookStep::pre_fence, work.pre_fence_hook));
    parts_.step("fence.hook");
    TRY_VOID(take_off(work));
    TRY_VOID(hide(work));
    parts_.step("fence.hidden");
    if (!DROVER_MUTANT("fence_without_guard"))
        TRY_VOID(parts_.host.hold_guard(guard_of(effect), work.disks));
    parts_.step("fence.guard");
    // Measured: a mounted ext4 kept writing after BLKROSET. It is an extra against processes that
    // open the disk plainly from now on, not the fence.
    for (const std::string& disk : work.disks) TRY_VOID(parts_.host.set_read_only(disk, true));
    parts_.step("fence.read_only");
    FenceMarker marker;
    marker.effect = effect;
    marker.host = parts_.fences.host();
    marker.fenced_micros = parts_.clock.wall_micros();
    TRY(marker.write_marks, write_marks(work.disks));
    TRY_VOID(parts_.fences.store(marker));
    parts_.step("fence.marker");
    TRY(FenceMarker proved, prove(std::move(marker), replica));
    parts_.step("fence.proof");
    return proved;
}

/// Filesystems and swap go; whatever else uses a disk after that is not ours to stop.
Result<> Fencer::take_off(const FenceWork& work) {
    for (const std::string& disk : work.disks) TRY_VOID(parts_.host.unmount(disk));
    parts_.step("fence.unmount");
    for (const std::string& disk : work.disks) TRY_VOID(parts_.host.swap_off(disk));
    parts_.step("fence.swap_off");
    for (const std::string& disk : work.disks) {
        for (int look = 1;; ++look) {
            TRY(const std::vector<DiskUse> uses, parts_.host.uses(disk));
            if (uses.empty()) break;
            const bool may_leave = uses.front().kind == DiskUse::Kind::writer;
            if (may_leave && look < looks_max) {
                parts_.host.wait_ms(look_wait_ms);
                continue;
            }
            return Error(Errc::unavailable, "source_in_use",
                         disk + " is still in use: " + uses.front().detail, "the copy is kept",
                         "let the pre-fence hook end it (stop the process, deactivate the volume "
                         "group or array), then retry");
        }
    }
    return {};
}

Result<> Fencer::hide(const FenceWork& work) {
    for (const std::string& disk : work.disks) TRY_VOID(parts_.host.hide_from_udev(disk));
    return {};
}

/// Nothing completed between two looks at the trackers and at the kernel's own counters, with an
/// audit that leaves nothing unexplained; the marker then says where they stood.
Result<FenceMarker> Fencer::prove(FenceMarker marker, replicator::SourceReplica& replica) {
    const std::vector<std::string>& disks = marker.work().disks;
    for (int look = 1; look <= looks_max; ++look) {
        TRY(const replicator::FenceMark before, replica.fence_mark());
        TRY(const auto marks_before, write_marks(disks));
        TRY(const replicator::FenceMark after, replica.fence_mark());
        TRY(const auto marks_after, write_marks(disks));
        if (before.seq_of_disk == after.seq_of_disk && marks_before == marks_after) {
            marker.tracker_seq = after.tracker_seq;
            marker.write_marks = marks_after;
            marker.host.boot_id = parts_.fences.host().boot_id;
            TRY_VOID(parts_.fences.store(marker));
            return marker;
        }
        parts_.host.wait_ms(look_wait_ms);
    }
    return Error(Errc::unavailable, "fence_not_quiet",
                 "writes keep completing on a disk that nobody should have open",
                 "the copy is kept", "find the writer (a kernel driver, another host), then retry");
}

Result<ReportBody> Fencer::signed_proof(const FenceMarker& marker) {
    FenceProof proof;
    proof.token = marker.work().token;
    proof.job = marker.effect.id.job;
    proof.run = marker.work().run;
    proof.tracker_seq = marker.tracker_seq;
    proof.fenced_micros = marker.fenced_micros;
    proof.certificate_pem = parts_.identity.tls.certificate_pem;
    TRY(proof.signature, wire::sign(parts_.identity.tls.key_pem, fence_proof_message(proof)));
    return ReportBody(FenceDone{std::move(proof)});
}

Result<std::optional<ReportBody>> Fencer::probe(const Effect& effect,
                                                replicator::SourceReplica* replica) {
    TRY(const auto marker, parts_.fences.find(work_of(effect).token));
    const bool stands = marker && marker->state == FenceState::fenced && replica != nullptr;
    if (!stands) return std::optional<ReportBody>();
    FenceMarker standing = *marker;
    TRY(const bool was_open, reestablish(standing));
    if (was_open) return std::optional<ReportBody>();
    TRY(const FenceMarker proved, prove(standing, *replica));
    TRY(ReportBody report, signed_proof(proved));
    return std::optional(std::move(report));
}

Result<ReportBody> Fencer::finish_interrupted(const Effect& effect,
                                              replicator::SourceReplica* replica) {
    auto report = probe(effect, replica);
    if (report && report->has_value()) return **report;
    const std::string why =
        report ? std::string("the agent ended before the fence was proved") : report.error().text();
    auto undone = undo(effect);
    if (!undone)
        return with_kept(undone.error(),
                         "the copy is kept, but the source is NOT fully back in "
                         "service after an interrupted fence");
    return Error(Errc::unavailable, "fence_interrupted", why,
                 "the source is back in service; the copy is kept", "retry the cutover");
}

/// Back to before close(), from wherever it ended. A marker in `releasing` is made first if there
/// is none, so that a crash or a failing hook in here is not forgotten either.
Result<> Fencer::undo(const Effect& effect) {
    const FenceWork& work = work_of(effect);
    TRY(auto marker, parts_.fences.find(work.token));
    if (!marker) {
        marker.emplace();
        marker->effect = effect;
        marker->host = parts_.fences.host();
        marker->state = FenceState::releasing;
        TRY_VOID(parts_.fences.store(*marker));
    }
    return open_up(*marker, work.post_release_hook);
}

Result<> Fencer::restore_service(const Effect& effect, const Hook& hook) {
    // One that a reboot cut short is completed early in the next boot.
    wait_for_disks(parts_.host, work_of(effect).disks);
    for (const std::string& disk : work_of(effect).disks)
        TRY_VOID(parts_.host.set_read_only(disk, false));
    parts_.step("release.writable");
    TRY_VOID(parts_.host.end_guard(guard_of(effect)));
    parts_.step("release.guard");
    // Only now: what udev tells of the disks has to find them free. The hook needs it done.
    for (const std::string& disk : work_of(effect).disks) TRY_VOID(parts_.host.show_to_udev(disk));
    parts_.step("release.shown");
    const auto started = run_hook(effect, HookStep::post_release, hook);
    if (!started && !DROVER_MUTANT("release_ignores_hook")) return started.error();
    parts_.step("release.hook");
    return {};
}

Result<> Fencer::open_up(const FenceMarker& marker, const Hook& post_release_hook) {
    if (marker.state == FenceState::reversing)
        return Error(Errc::conflict, "fence_reversing",
                     "what comes back from the target is neither complete nor undone",
                     "the fence and the disks it holds",
                     "complete the rollback, or abandon it: the release then undoes it first");
    FenceMarker releasing = marker;
    releasing.state = FenceState::releasing;
    // Which hook is to run is part of the intention: a fence that root removes after the commit has
    // none, and must not start the old workload after a crash either.
    std::get<FenceWork>(releasing.effect.work).post_release_hook = post_release_hook;
    if (!(releasing == marker)) TRY_VOID(parts_.fences.store(releasing));
    parts_.step("release.marker");
    TRY_VOID(restore_service(marker.effect, post_release_hook));
    TRY_VOID(parts_.fences.remove(marker.work().token));
    parts_.step("release.removed");
    return {};
}

Result<ReportBody> Fencer::release(const Effect& effect) {
    const auto& work = std::get<ReleaseWork>(effect.work);
    // First of all: from here on a delayed Fence of this token must fail, whether it ever came or
    // not.
    TRY_VOID(parts_.journal.tombstone(work.token));
    parts_.step("release.tombstone");
    TRY(auto marker, parts_.fences.find(work.token));
    if (!marker) {
        // A fence that failed half-way, and whose undoing could not even be noted, left no marker.
        if (const auto attempt = parts_.journal.find_fence(work.token)) {
            marker.emplace();
            marker->effect = *attempt;
            marker->host = parts_.fences.host();
        }
    }
    if (marker) {
        auto opened = open_up(*marker, work.post_release_hook);
        if (!opened)
            return with_kept(opened.error(),
                             "all data on the source; the fence is being released "
                             "and the source may not be in service yet");
    }
    return ReportBody(ReleaseDone{parts_.clock.wall_micros()});
}

Result<bool> Fencer::reestablish(FenceMarker& marker) {
    const FenceWork& work = marker.work();
    TRY(const bool held, parts_.host.guard_held(guard_of(marker.effect), work.disks));
    const bool same_boot = marker.host.boot_id == parts_.fences.host().boot_id;
    if (held && same_boot) return false;
    // Before anything below touches the disks. In a new boot a block device's counter begins at
    // zero, and an image file keeps its time: anything else was written while nobody held it.
    TRY(const auto found, write_marks(work.disks));
    bool was_open = false;
    for (std::size_t i = 0; i < marker.write_marks.size() && !same_boot; ++i) {
        TRY(const HostDisk disk, parts_.host.look_up(work.disks[i]));
        const std::uint64_t unwritten = disk.facts.is_block_device ? 0 : marker.write_marks[i];
        // An image file's time tells our own writes too.
        const bool is_ours = marker.state == FenceState::reversing && !disk.facts.is_block_device;
        const bool written =
            found[i] != unwritten && !is_ours && !DROVER_MUTANT("reboot_hides_writes");
        was_open = was_open || written;
    }
    for (const std::string& disk : work.disks) {
        TRY(const std::vector<DiskUse> uses, parts_.host.uses(disk));
        was_open = was_open || !uses.empty();
        TRY_VOID(parts_.host.unmount(disk));
        TRY_VOID(parts_.host.swap_off(disk));
    }
    TRY_VOID(parts_.host.hold_guard(guard_of(marker.effect), work.disks));
    for (const std::string& disk : work.disks) TRY_VOID(parts_.host.set_read_only(disk, true));
    if (same_boot) return was_open;
    // What happened before our guard came back is in `was_open`, what happens from now on shows
    // against the new marks.
    TRY(marker.write_marks, write_marks(work.disks));
    marker.host.boot_id = parts_.fences.host().boot_id;
    TRY_VOID(parts_.fences.store(marker));
    return was_open;
}

Result<std::uint64_t> Fencer::foreign_users(const FenceMarker& marker) {
    std::uint64_t used = 0;
    for (const std::string& disk : marker.work().disks) {
        TRY(const std::vector<DiskUse> uses, parts_.host.uses(disk));
        if (uses.empty()) continue;
        log::error("fence", disk + " is used by somebody else: " + uses.front().detail,
                   "job=" + marker.effect.job_name);
        ++used;
    }
    return used;
}

Result<std::uint64_t> Fencer::completions(const FenceMarker& marker) {
    TRY(const auto now, write_marks(marker.work().disks));
    std::uint64_t changed = 0;
    for (std::size_t i = 0; i < now.size() && i < marker.write_marks.size(); ++i)
        if (now[i] != marker.write_marks[i]) ++changed;
    return changed;
}

Result<> Fencer::check(const JobId& job, const FenceToken& token) {
    TRY(const auto marker, parts_.fences.of_job(job));
    if (!marker || marker->work().token != token || marker->state != FenceState::fenced)
        return Error(Errc::conflict, "not_fenced", "no fence with this token stands on this host",
                     "the copy is kept", "start the cutover again");
    TRY(const std::uint64_t changed, completions(*marker));
    if (changed == 0 && !marker->breached) return {};
    return Error(Errc::denied, "fence_breached",
                 "writes completed on " + std::to_string(changed) + " fenced disk(s)",
                 "the copy is kept; the target was not released",
                 "roll back, find the writer, cut over again");
}

}  // namespace drover::agent
