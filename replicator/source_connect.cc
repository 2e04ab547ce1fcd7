#include "replicator/source_connect.h"

#include "base/mutation.h"
#include "replicator/bulk_lanes.h"
#include "replicator/peer_codec.h"
#include "replicator/source_skip.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// Bits that will be taken again were counted as changed once already.
void requeue(SourceJob& job, std::size_t disk, BlockMap sent) {
    if (job.state.phase(disk) == CopyPhase::tracked) {
        const std::uint64_t counted = job.state.counter(Counter::bytes_changed);
        const std::uint64_t again = std::min(counted, sent.count() * block_bytes);
        job.state.set(Counter::bytes_changed, counted - again);
    }
    if (!DROVER_MUTANT("pending_not_restored")) job.tracker(disk).dirty().merge(sent);
    sent.clear_all();
}

void requeue_pending(SourceJob& job, std::size_t disk) {
    requeue(job, disk, job.state.pending(disk, 0));
    requeue(job, disk, job.state.pending(disk, 1));
}

/// What the target cannot vouch for having read back, because it ended or the disk was too slow,
/// goes again: that proves it and costs no other way of knowing it.
void requeue_unread(SourceJob& job, std::uint64_t verified_batch) {
    if (!job.reads_back) return;
    job.state.note_read_back(verified_batch);
    if (!job.state.has_unread()) return;
    for (std::size_t i = 0; i < job.disks(); ++i) {
        requeue(job, i, job.state.unread(i, 0));
        requeue(job, i, job.state.unread(i, 1));
    }
    job.state.forget_unread();
}

bool is_ours(const SourceJob& job, const PeerCheckpoint& checkpoint) {
    const std::uint64_t acked = job.state.acked_batch();
    return checkpoint.state == CheckpointState::syncing &&
           checkpoint.generation == job.state.generation() &&
           (checkpoint.batch == acked || checkpoint.batch == acked + 1);
}

void go_on(SourceJob& job, const PeerCheckpoint& checkpoint) {
    // Durable, only its acknowledgement was lost: its blocks need not go again. A target reads
    // back a checkpoint whose writing failed, so a number never names an earlier attempt
    // (TargetState::make_certain).
    if (checkpoint.batch > job.state.acked_batch()) job.state.end_batch(checkpoint.batch);
    job.state.set_acked_batch(checkpoint.batch, true);
    requeue_unread(job, checkpoint.verified_batch);
    for (std::size_t i = 0; i < job.disks(); ++i) {
        requeue_pending(job, i);
        const CopyPhase phase = job.state.phase(i);
        if (phase != CopyPhase::mirroring && phase != CopyPhase::catching_up) continue;
        job.state.set_cursor(i, checkpoint.mirrored_upto[i]);
        if (checkpoint.mirrored_upto[i] == job.size(i)) job.state.set_phase(i, CopyPhase::tracked);
    }
    const std::uint64_t backlog = total_backlog(job);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < job.disks(); ++i) total += job.size(i);
    job.state.set(Counter::bytes_resumed, total - std::min(total, backlog));
}

void start_over(SourceJob& job, const PeerCheckpoint& checkpoint) {
    if (job.state.is_known_to_target()) {
        job.state.renew_generation(job.random.uuid());
        job.report.generation_gone(
            0,
            checkpoint.state == CheckpointState::invalid
                ? "the target cannot vouch for its disks: one was changed, exchanged, resized or "
                  "released to users; its agent's log says which"
                : "the target no longer holds this generation of the copy");
    }
    job.state.set_acked_batch(checkpoint.batch, false);
    // Sent or compared as a whole, everything is read there once more.
    job.state.forget_unread();
    job.state.set(Counter::bytes_resumed, 0);
    for (std::size_t i = 0; i < job.disks(); ++i) {
        requeue_pending(job, i);
        job.state.set_cursor(i, 0);
        if (checkpoint.is_blank()) {
            begin_sweep(job, i);
            job.state.set_phase(i, CopyPhase::mirroring);
        } else {
            revoke_skips(job, i);
            // The comparison finds what differs. A write before the clearing is seen by its reads,
            // one after it keeps its bit.
            const bool compares = !DROVER_MUTANT("compare_skipped");
            job.state.set_phase(i, compares ? CopyPhase::comparing : CopyPhase::tracked);
            job.tracker(i).dirty().clear_all();
        }
    }
}

Result<> check_welcome(SourceJob& job, const PeerWelcome& welcome) {
    if (welcome.version != peer_version)
        return Error(Errc::unsupported, "version_mismatch",
                     "the target chose a protocol that was not offered");
    if (welcome.sizes_bytes.size() != job.disks() ||
        welcome.checkpoint.mirrored_upto.size() != job.disks())
        return Error(Errc::invalid, "ticket_mismatch",
                     "the target speaks of another number of disks");
    for (std::size_t i = 0; i < job.disks(); ++i) {
        if (welcome.sizes_bytes[i] >= job.size(i) &&
            welcome.checkpoint.mirrored_upto[i] <= job.size(i))
            continue;
        return Error(Errc::invalid, "target_too_small",
                     "disk " + std::to_string(i) + " of the target has " +
                         std::to_string(welcome.sizes_bytes[i]) + " bytes, the source " +
                         std::to_string(job.size(i)),
                     "both disks; nothing was written",
                     "provide a target disk of at least the source's size");
    }
    return {};
}

PeerHello hello_for(const SourceJob& job, const Wishes::Desired& desired, unsigned lanes) {
    PeerHello hello;
    hello.ticket = desired.ticket;
    hello.generation = job.state.generation();
    hello.boot_id = job.config.boot_id;
    hello.resume = job.state.is_known_to_target();
    hello.overwrite_acknowledged = desired.overwrite_acknowledged;
    hello.capabilities = {"bulk.raw", "bulk.zero", "mode.direct", "mode.journal",
                          read_back_capability};
    for (std::string& name : codec_capabilities(job.config.compression))
        hello.capabilities.push_back(std::move(name));
    if (lanes > 1) hello.capabilities.emplace_back(lanes_capability);
    hello.lanes = static_cast<std::uint8_t>(lanes);
    return hello;
}

/// How many lanes the target gives to the source that asked for `wanted`.
Result<unsigned> lanes_in(const PeerWelcome& welcome, unsigned wanted) {
    if (std::ranges::count(welcome.capabilities, lanes_capability) == 0) return 1U;
    if (welcome.lanes <= wanted) return unsigned{welcome.lanes};
    return Error(Errc::unsupported, "version_mismatch",
                 "the target chose more bulk links than were offered");
}

/// Says on each which one it is, and connects the second and later ones.
Result<> open_lanes(PeerChannel& control, PeerLinks& links, Wishes::Attachment& attached,
                    BulkHello hello) {
    for (hello.lane = 0; hello.lane < hello.lanes; ++hello.lane) {
        if (hello.lane > 0) {
            TRY(auto dialled, links.dial_bulk());
            attached.add(*dialled);
            links.more_bulk.push_back(std::move(dialled));
        }
        wire::Link& link = hello.lane == 0 ? *links.bulk : *links.more_bulk.back();
        // At once: a listener waits for the first frame of a link only so long.
        if (const auto sent = link.send(encode(hello)); !sent)
            return control.reason_behind(sent.error());
    }
    return {};
}

}  // namespace

Result<std::vector<std::uint64_t>> connect_to_target(SourceJob& job, PeerChannel& control,
                                                     PeerLinks& links,
                                                     Wishes::Attachment& attached) {
    const Wishes::Desired desired = job.wishes.desired();
    job.serial = desired.ticket.serial;
    const unsigned lanes_wanted =
        links.dial_bulk ? std::clamp(job.config.streams, 1U, lanes_max) : 1U;
    TRY_VOID(control.send(hello_for(job, desired, lanes_wanted)));
    TRY(const PeerWelcome welcome, control.expect<PeerWelcome>());
    TRY_VOID(check_welcome(job, welcome));
    TRY(const unsigned lanes, lanes_in(welcome, lanes_wanted));
    job.makes_points = welcome.mode == JournalMode::journal;
    job.reads_back = std::ranges::count(welcome.capabilities, read_back_capability) > 0;
    job.read_back_seen = {};
    job.codecs = codecs_in(welcome.capabilities);
    if (is_ours(job, welcome.checkpoint)) {
        go_on(job, welcome.checkpoint);
    } else if (job.config.fence_point) {
        return changes_unknown("the source no longer holds what it was fenced with");
    } else {
        start_over(job, welcome.checkpoint);
    }
    TRY_VOID(open_lanes(control, links, attached,
                        {welcome.session_id, desired.ticket, 0, static_cast<std::uint8_t>(lanes)}));
    std::vector<std::uint64_t> mirrored_upto;
    for (std::size_t i = 0; i < job.disks(); ++i) {
        const bool whole = job.state.phase(i) == CopyPhase::tracked;
        const bool comparing = job.state.phase(i) == CopyPhase::comparing;
        mirrored_upto.push_back(whole ? job.size(i) : comparing ? 0 : job.state.cursor(i));
    }
    return mirrored_upto;
}

}  // namespace drover::replicator
