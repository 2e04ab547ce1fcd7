#include "replicator/source_replica.h"

#include "base/log.h"
#include "base/threads.h"
#include "replicator/batch_stream.h"
#include "replicator/peer_channel.h"
#include "replicator/source_compare.h"
#include "replicator/source_connect.h"
#include "replicator/source_held.h"
#include "replicator/source_induction.h"
#include "replicator/source_pass.h"
#include "replicator/source_read_back.h"
#include "replicator/source_seal.h"
#include "replicator/source_skip.h"
#include "replicator/source_verify.h"
#include "replicator/source_walk.h"

#include <algorithm>
#include <limits>

namespace drover::replicator {
namespace {

/// A scan costs what the disk's size costs: at most a quarter of the time is spent on it.
constexpr std::int64_t scan_pause_factor = 3;
constexpr std::int64_t scan_pause_ms_min = 100;
constexpr std::int64_t scan_pause_ms_max = 10'000;
constexpr std::int64_t busy_pause_ms = 2;
/// After a pass that sent more than this, the next one follows at once.
constexpr std::uint64_t idle_sent_bytes_max = 1U << 20;
constexpr std::int64_t backoff_ms_min = 100;
constexpr std::int64_t backoff_ms_max = 5'000;
constexpr int audit_attempts_max = 200;
/// Reads under way on a disk in sync: what a request of its users then waits behind.
constexpr unsigned gentle_depth = 4;
constexpr unsigned any_depth = std::numeric_limits<unsigned>::max();

class Source final : public SourceReplica {
  public:
    Source(SourceConfig config, SourceState state, SourceObserver& observer, Clock& clock,
           Random& random)
        : job_(std::move(config), std::move(state), observer, clock, random),
          thread_([this] { run(); }) {}

    ~Source() override {
        job_.wishes.stop();
        if (thread_.joinable()) thread_.join();
    }

    void update(const Ticket& ticket, ReplicateMode mode, const Limits& limits,
                bool overwrite_acknowledged) override {
        if (ticket.job != job_.config.ticket.job) return;
        job_.wishes.update({ticket, mode, limits, overwrite_acknowledged});
    }

    [[nodiscard]] std::uint64_t backlog_bytes() override { return total_backlog(job_); }

    [[nodiscard]] Result<> settle(std::uint64_t backlog_bytes_max,
                                  std::int64_t timeout_ms) override {
        return job_.wishes.wait_settled(backlog_bytes_max, timeout_ms);
    }

    [[nodiscard]] Result<FenceMark> fence_mark() override;
    [[nodiscard]] Result<DrainDone> drain(std::span<const ByteRange> repair) override;

    [[nodiscard]] Result<VerifyDone> verify() override { return job_.wishes.wait_verified(); }

    [[nodiscard]] Result<VerifyDone> prove() override { return job_.wishes.wait_proved(); }

    [[nodiscard]] Result<std::optional<CompareDone>> compare(std::int64_t wait_ms) override {
        return job_.wishes.wait_compared(wait_ms);
    }

    [[nodiscard]] Result<SealedPoint> seal_point(std::shared_ptr<Freezer> freezer,
                                                 std::int64_t timeout_ms) override {
        return job_.wishes.wait_sealed(std::move(freezer), timeout_ms);
    }

    void stop() override { job_.wishes.stop(); }

    void forget() override;

  private:
    void run();
    [[nodiscard]] Result<> connect_and_serve();
    [[nodiscard]] Result<> wait_on(const Error* waits_for);
    [[nodiscard]] Result<> compare_on(PeerChannel& control);
    [[nodiscard]] Result<> serve(PeerChannel& control, PeerLinks& links,
                                 Wishes::Attachment& attached);
    [[nodiscard]] std::vector<BulkLane> lanes_over(PeerLinks& links);
    [[nodiscard]] Result<> step(PeerChannel& control, BatchStream& stream);
    [[nodiscard]] Result<> seal(Freezer& freezer, BatchStream& stream);
    [[nodiscard]] Result<> end_drain(PeerChannel& control, BatchStream& stream,
                                     const PassFacts& facts);
    [[nodiscard]] Result<> ping_if_due(PeerChannel& control);
    void enter_by_phases();
    void give_way_to_workload(bool gives);
    void note_failure(const Error& error);
    [[nodiscard]] std::int64_t pause_after(const PassFacts& facts);
    void rest(std::int64_t ms);
    [[nodiscard]] std::uint64_t payload_sent() const;
    [[nodiscard]] Result<> audit_disk(std::size_t disk);

    SourceJob job_;
    std::int64_t backoff_ms_ = backoff_ms_min;
    SteadyMillis pinged_ms_ = 0;
    Thread thread_;  ///< last: starts when everything else stands
};

// ---- the thread ----

void Source::run() {
    if (job_.state.lost_earlier()) {
        const auto lost = std::find_if(job_.config.disks.begin(), job_.config.disks.end(),
                                       [](const SourceDisk& d) { return !d.tracker->resumed(); });
        const auto index = lost == job_.config.disks.end() ? 0 : lost - job_.config.disks.begin();
        job_.report.generation_gone(static_cast<std::uint32_t>(index),
                                    "changes were not tracked without a gap since the last run");
    }
    while (!job_.wishes.stopped()) {
        if (job_.wishes.is_quiet()) {
            job_.report.enter(DataState::paused, backlogs_of(job_));
            rest(job_.config.pacing.progress_every_ms);
            continue;
        }
        const auto served = connect_and_serve();
        if (served || job_.wishes.stopped()) continue;
        // A newer ticket ended the connection: nothing is wrong.
        if (job_.serial != 0 && job_.wishes.is_over(job_.serial)) continue;
        log::info("replicator", "source connection ended: " + served.error().text(),
                  "job=" + uuid_text(job_.config.ticket.job));
        note_failure(served.error());
        const auto jitter =
            static_cast<std::int64_t>(job_.random.below(static_cast<std::uint64_t>(backoff_ms_)));
        rest(backoff_ms_ / 2 + jitter);
        backoff_ms_ = std::min(2 * backoff_ms_, backoff_ms_max);
    }
}

/// While the target takes its time, for example because a test runs there, people see that we live,
/// and a pause takes effect.
Result<> Source::wait_on(const Error* waits_for) {
    if (waits_for != nullptr) note_failure(*waits_for);
    report_progress(job_);
    if (!job_.wishes.is_over(job_.serial) && !job_.wishes.is_quiet()) return {};
    return Error(Errc::cancelled, "session_ended", "the answer is not wanted any more");
}

void Source::note_failure(const Error& error) {
    job_.report.set_detail(error.text());
    job_.report.enter(is_passing(error) ? DataState::disconnected : DataState::stalled,
                      backlogs_of(job_));
    if (is_passing(error)) return;
    // Trying again would not help whoever waits: they get the reason.
    job_.wishes.fail_requests(error);
}

Result<> Source::connect_and_serve() {
    TRY(PeerLinks links, job_.config.dial());
    Wishes::Attachment attached(job_.wishes, *links.control, *links.bulk);
    if (job_.wishes.stopped()) return {};
    PeerChannel control(*links.control, job_.config.ack_timeout_ms,
                        [this](const Error* waits_for) { return wait_on(waits_for); });
    if (job_.wishes.compare_wanted()) return compare_on(control);
    return serve(control, links, attached);
}

/// The disks on the other side are not ours: no pass, no batch, not even a hello for one.
Result<> Source::compare_on(PeerChannel& control) {
    TRY(CompareDone done, compare_held(job_, control));
    job_.wishes.finish_compare(std::move(done));
    backoff_ms_ = backoff_ms_min;
    return {};
}

std::vector<BulkLane> Source::lanes_over(PeerLinks& links) {
    const auto packer = [this] {
        return std::make_unique<BulkPacker>(job_.codecs, job_.config.compression, job_.clock);
    };
    std::vector<BulkLane> lanes;
    lanes.push_back({*links.bulk, packer()});
    for (const auto& link : links.more_bulk) lanes.push_back({*link, packer()});
    return lanes;
}

Result<> Source::serve(PeerChannel& control, PeerLinks& links, Wishes::Attachment& attached) {
    TRY(auto mirrored_upto, connect_to_target(job_, control, links, attached));
    BatchStream::Listener listener;
    if (job_.reads_back)
        listener = [this](const ReadBackFound& found) { take_read_back(job_, found); };
    SourceLanes lanes(lanes_over(links));
    BatchStream stream(lanes, control, job_.state, std::move(mirrored_upto), std::move(listener));
    job_.report.set_detail({});
    enter_by_phases();
    if (all_tracked(job_)) job_.report.mirror_done(job_.state.generation());
    pinged_ms_ = job_.clock.steady_ms();
    for (;;) {
        if (job_.wishes.is_over(job_.serial) || job_.wishes.is_quiet()) return {};
        if (job_.wishes.compare_wanted()) return {};
        if (job_.wishes.prove_wanted()) {
            auto proof = prove_by_induction(job_, control);
            // That it does not hold is an answer, and ends no connection.
            if (!proof && proof.error().code() != Errc::conflict) return proof.error();
            job_.wishes.finish_prove(std::move(proof));
        } else if (job_.wishes.verify_wanted()) {
            TRY(VerifyDone done, verify_disks(job_, control));
            job_.wishes.finish_verify(std::move(done));
        } else if (const auto freezer = job_.wishes.take_seal()) {
            TRY_VOID(seal(*freezer, stream));
        } else if (job_.wishes.wants_passes()) {
            TRY_VOID(step(control, stream));
            backoff_ms_ = backoff_ms_min;
        } else {
            rest(job_.config.pacing.progress_every_ms);
        }
        TRY_VOID(ping_if_due(control));
    }
}

Result<> Source::step(PeerChannel& control, BatchStream& stream) {
    const bool drains = job_.wishes.drain_wanted();
    give_way_to_workload(!drains);
    // Before a comparison too, which a resized disk has to begin anew.
    TRY_VOID(check_sizes(job_));
    enter_by_phases();
    TRY(const bool compared, compare_disks(job_, control, stream));
    if (!compared) return {};
    enter_by_phases();
    const bool was_tracked = all_tracked(job_);
    job_.wishes.note_pass_begun();
    TRY(const PassFacts facts, run_pass(job_, stream));
    if (was_tracked && all_tracked(job_)) {
        job_.wishes.note_pass(facts.backlog_bytes);
        if (drains) TRY_VOID(end_drain(control, stream, facts));
    }
    report_progress(job_);
    const bool is_idle = facts.is_complete && all_tracked(job_) && !job_.wishes.is_hurried();
    if (is_idle) TRY_VOID(walk_if_due(job_, control));
    if (const std::int64_t ms = pause_after(facts); ms > 0) rest(ms);
    return {};
}

/// The workload comes first, until it is the one that waits, or the copy is behind. Its requests
/// would queue behind as many of ours as are under way.
void Source::give_way_to_workload(bool gives) {
    const bool is_ahead = job_.report.state() == DataState::in_sync;
    for (std::size_t i = 0; i < job_.disks(); ++i)
        job_.device(i).limit_depth(gives && is_ahead ? gentle_depth : any_depth);
}

/// Whoever asked is answered in any case.
Result<> Source::seal(Freezer& freezer, BatchStream& stream) {
    give_way_to_workload(false);
    const auto outcome = replicator::seal_point(job_, stream, freezer);
    if (!outcome) {
        job_.wishes.finish_seal(outcome.error());
        return outcome.error();
    }
    job_.wishes.finish_seal(outcome->refused ? Result<SealedPoint>(*outcome->refused)
                                             : Result<SealedPoint>(outcome->point));
    return {};
}

/// The drain is over when a pass began with nothing left, by an exact audit, a last flush and
/// checkpoint on the target were acknowledged, and all that was written there was read back.
Result<> Source::end_drain(PeerChannel& control, BatchStream& stream, const PassFacts& facts) {
    const bool is_clean = facts.is_complete && facts.is_audited && facts.backlog_bytes == 0 &&
                          total_backlog(job_) == 0;
    if (!is_clean) return {};
    if (facts.is_point) stream.mark_point(job_.clock.wall_micros());
    // Nothing was sent since the last acknowledgement, which meant a flush and a checkpoint:
    // another one would only take its time, under the fence.
    TRY_VOID(stream.finish(!job_.state.is_known_to_target()));
    if (job_.makes_points) {
        // A target with a journal acknowledges what it has not yet applied. It answers in order.
        TRY_VOID(control.send(Ping{}));
        TRY_VOID(control.expect<Pong>());
    }
    TRY(const bool is_proved, finish_read_back(job_, control));
    tell_progress(job_);
    if (!is_proved) return {};
    DrainDone done{job_.state.acked_batch(), payload_sent()};
    done.bytes_read_back = job_.state.counter(Counter::bytes_read_back);
    done.bytes_differed = job_.state.counter(Counter::bytes_differed);
    done.bytes_unverified = job_.state.unread_bytes();
    job_.wishes.finish_drain(done);
    return {};
}

Result<> Source::ping_if_due(PeerChannel& control) {
    if (job_.clock.steady_ms() - pinged_ms_ < job_.config.pacing.ping_every_ms) return {};
    if (job_.reads_back && job_.state.has_unread()) {
        TRY_VOID(ask_read_back(job_, control));
    } else {
        TRY_VOID(control.send(Ping{}));
        TRY_VOID(control.expect<Pong>());
    }
    pinged_ms_ = job_.clock.steady_ms();
    return {};
}

// ---- small decisions ----

std::uint64_t Source::payload_sent() const {
    return job_.state.counter(Counter::bytes_sent_mirror) +
           job_.state.counter(Counter::bytes_sent_sync);
}

void Source::enter_by_phases() {
    const auto any = [this](CopyPhase phase) {
        for (std::size_t i = 0; i < job_.disks(); ++i) {
            if (job_.state.phase(i) == phase) return true;
        }
        return false;
    };
    const auto backlogs = backlogs_of(job_);
    if (any(CopyPhase::comparing)) return job_.report.enter(DataState::rescanning, backlogs);
    if (any(CopyPhase::mirroring)) return job_.report.enter(DataState::mirroring, backlogs);
    if (any(CopyPhase::catching_up) || !job_.report.counts_passes())
        job_.report.enter(DataState::catching_up, backlogs);
}

std::int64_t Source::pause_after(const PassFacts& facts) {
    if (!facts.is_complete || !all_tracked(job_)) return 0;
    if (job_.wishes.is_hurried()) return facts.is_audited ? 0 : busy_pause_ms;
    bool scans = false;
    for (std::size_t i = 0; i < job_.disks(); ++i)
        scans = scans || job_.tracker(i).kind() == "scan";
    if (scans)
        return std::clamp(scan_pause_factor * facts.refresh_ms, scan_pause_ms_min,
                          scan_pause_ms_max);
    return facts.sent_bytes > idle_sent_bytes_max ? 0 : job_.config.pacing.idle_pause_ms;
}

void Source::rest(std::int64_t ms) {
    const SteadyMillis until = job_.clock.steady_ms() + ms;
    for (;;) {
        const std::int64_t left = until - job_.clock.steady_ms();
        if (left <= 0 || job_.wishes.pause(std::min(left, job_.config.pacing.progress_every_ms)))
            return;
        report_progress(job_);
    }
}

// ---- for other threads ----

/// Waits out writes that complete while looking.
Result<> Source::audit_disk(std::size_t disk) {
    for (int attempt = 0; attempt < audit_attempts_max; ++attempt) {
        TRY(const Audit audit, job_.tracker(disk).audit());
        if (audit.verdict == Audit::Verdict::exact) return {};
        if (audit.verdict == Audit::Verdict::repaired) {
            job_.state.add(Counter::tracker_losses, 1);
            return {};
        }
        if (audit.verdict == Audit::Verdict::lost) {
            job_.state.add(Counter::tracker_losses, 1);
            job_.lost_disks |= std::uint32_t{1} << disk;
            return Error(Errc::unavailable, "tracker_lost",
                         "events of the change tracker were lost: " + audit.detail,
                         "everything copied so far; the disk is compared as a whole",
                         "cut over again when the job is in sync");
        }
        sleep_ms(busy_pause_ms);
    }
    return Error(Errc::unavailable, "disk_busy",
                 job_.device(disk).facts().path + " is still being written", "the copy",
                 "stop whatever writes to it");
}

Result<FenceMark> Source::fence_mark() {
    const std::lock_guard lock(job_.tracker_mutex);
    FenceMark mark;
    for (std::size_t i = 0; i < job_.disks(); ++i) {
        TRY_VOID(job_.tracker(i).refresh());
        TRY_VOID(audit_disk(i));
        mark.seq_of_disk.push_back(job_.tracker(i).seq());
        mark.tracker_seq += mark.seq_of_disk.back();
    }
    return mark;
}

Result<DrainDone> Source::drain(std::span<const ByteRange> repair) {
    const std::uint64_t sent_before = payload_sent();
    for (const ByteRange& range : repair) {
        const bool fits = range.disk < job_.disks() && range.length <= job_.size(range.disk) &&
                          range.offset <= job_.size(range.disk) - range.length;
        if (!fits) return Error(Errc::invalid, "bad_range", "a range to repair is beyond its disk");
        if (range.length == 0) continue;
        const std::uint64_t first = range.offset / block_bytes;
        job_.tracker(range.disk).dirty().set(first, blocks_of(range.offset + range.length) - first);
    }
    return job_.wishes.wait_drained(sent_before);
}

void Source::forget() {
    job_.wishes.stop();
    if (thread_.joinable()) thread_.join();
    for (std::size_t i = 0; i < job_.disks(); ++i) job_.tracker(i).forget();
    for (std::size_t i = 0; i < job_.disks(); ++i) forget_skips(job_, i);
    job_.state.forget();
}

Result<> check_config(const SourceConfig& config) {
    const std::size_t count = config.disks.size();
    if (count == 0 || count > disks_max || config.ticket.disks.size() != count ||
        config.ticket.sizes_bytes.size() != count)
        return Error(Errc::invalid, "ticket_mismatch",
                     "the ticket names another number of disks than are open here");
    for (std::size_t i = 0; i < count; ++i) {
        const DeviceFacts& facts = config.disks[i].device->facts();
        if (facts.size_bytes == config.ticket.sizes_bytes[i]) continue;
        return Error(Errc::invalid, "disk_resized",
                     facts.path + " has " + std::to_string(facts.size_bytes) +
                         " bytes; the job was planned with " +
                         std::to_string(config.ticket.sizes_bytes[i]),
                     "what was copied before", "plan the job again with the new size");
    }
    return {};
}

}  // namespace

Result<std::unique_ptr<SourceReplica>> open_source_replica(SourceConfig config,
                                                           SourceObserver& observer, Clock& clock,
                                                           Random& random) {
    TRY_VOID(check_config(config));
    SourceStateKey key;
    key.job = config.ticket.job;
    key.boot_id = config.boot_id;
    key.trackers_resumed = true;
    for (const SourceDisk& disk : config.disks) {
        key.sizes_bytes.push_back(disk.device->facts().size_bytes);
        key.tracker_generations.push_back(disk.tracker->generation());
        key.trackers_resumed = key.trackers_resumed && disk.tracker->resumed();
    }
    key.fence_point = config.fence_point;
    TRY_VOID(open_skips(config, key, random));
    TRY(SourceState state, SourceState::open(config.state_directory, key, random.uuid()));
    return std::unique_ptr<SourceReplica>(
        std::make_unique<Source>(std::move(config), std::move(state), observer, clock, random));
}

}  // namespace drover::replicator
