#include "replicator/target_replica.h"

#include "base/log.h"
#include "base/mutation.h"
#include "base/threads.h"
#include "replicator/bulk_lanes.h"
#include "replicator/peer_codec.h"
#include "replicator/target_admission.h"
#include "replicator/target_session.h"

#include <algorithm>
#include <list>

namespace drover::replicator {
namespace {

/// How often a source that waits for room hears of us.
constexpr std::int64_t hold_ms = 2'000;
/// Between two looks for a point.
constexpr std::int64_t look_ms = 50;

class Target final : public TargetReplica {
  public:
    Target(std::unique_ptr<TargetState> state, const TargetConfig& config, Clock& clock,
           Random& random)
        : state_(std::move(state)),
          clock_(clock),
          random_(random),
          ticket_(config.ticket),
          overwrite_acknowledged_(config.overwrite_acknowledged) {}

    ~Target() override;

    void serve_control(std::unique_ptr<wire::Link> link, Bytes hello) override;
    void serve_bulk(std::unique_ptr<wire::Link> link, Bytes hello) override;
    void update(const Ticket& ticket, bool overwrite_acknowledged) override;
    [[nodiscard]] TargetProgress progress() override;
    [[nodiscard]] Result<> promote() override;
    [[nodiscard]] Result<> restore_point(std::uint64_t batch) override;
    [[nodiscard]] Result<BatchMark> begin_test(std::int64_t wait_ms) override;
    [[nodiscard]] Result<> end_test() override;
    void forget() override;

  private:
    struct Worker {
        Thread thread;
        bool finished = false;  ///< guarded by mutex_
    };

    void serve(std::unique_ptr<wire::Link> link, const Bytes& hello);
    [[nodiscard]] bool wait_for_room(wire::Link& link);
    [[nodiscard]] Result<std::shared_ptr<TargetSession>> begin_session(
        std::unique_ptr<wire::Link>& link, const Bytes& hello);
    [[nodiscard]] Result<Checkpoint> admit_now(const PeerHello& hello);
    [[nodiscard]] Result<> settle_for_good();
    [[nodiscard]] Result<> open_journal();
    void end_session();
    void close();
    void join_finished();

    std::unique_ptr<TargetState> state_;
    Clock& clock_;
    Random& random_;

    /// Held while a session is begun or ended for good: sessions follow one another, never overlap.
    Mutex admission_mutex_;

    Mutex mutex_;
    Condition room_;  ///< notified when a full journal has room again, or nobody waits any more
    Ticket ticket_;
    bool overwrite_acknowledged_;
    bool closed_ = false;  ///< destroyed or forgotten: no more sessions
    /// Shared: a bulk link may be handed over while the control thread ends the session.
    std::shared_ptr<TargetSession> session_;
    std::list<Worker> workers_;
};

Target::~Target() {
    close();
    {
        const std::lock_guard admission(admission_mutex_);
        end_session();
    }
    // After closed_ no worker is added, so the list can be walked without the lock.
    for (Worker& worker : workers_) worker.thread.join();
}

void Target::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    room_.notify_all();
}

void Target::join_finished() {
    const std::lock_guard lock(mutex_);
    for (auto worker = workers_.begin(); worker != workers_.end();) {
        if (!worker->finished) {
            ++worker;
            continue;
        }
        worker->thread.join();
        worker = workers_.erase(worker);
    }
}

void Target::serve_control(std::unique_ptr<wire::Link> link, Bytes hello) {
    join_finished();
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    Worker& worker = workers_.emplace_back();
    worker.thread =
        Thread([this, &worker, hello = std::move(hello), own = std::move(link)]() mutable {
            serve(std::move(own), hello);
            const std::lock_guard finished(mutex_);
            worker.finished = true;
        });
}

void Target::serve(std::unique_ptr<wire::Link> link, const Bytes& hello) {
    if (!wait_for_room(*link)) return;
    std::shared_ptr<TargetSession> session;
    {
        const std::lock_guard admission(admission_mutex_);
        auto begun = begin_session(link, hello);
        if (!begun) {
            log::info("replicator", "a source was refused: " + begun.error().text());
            // If the source is gone already, nobody misses the reason.
            if (link) (void)link->send(encode(TargetMessage(PeerRefused{begun.error()})));
            return;
        }
        session = *begun;
    }
    session->run();
}

/// A test has filled the journal: whoever comes stays connected, and hears why it waits and that we
/// live, until there is room. False if either side is gone.
bool Target::wait_for_room(wire::Link& link) {
    while (const auto full = state_->full_in_test()) {
        if (!link.send(encode(TargetMessage(Waiting{*full})))) return false;
        std::unique_lock lock(mutex_);
        room_.wait_for(lock, hold_ms, [this] { return closed_ || !state_->full_in_test(); });
        if (closed_) return false;
    }
    return true;
}

Result<Checkpoint> Target::admit_now(const PeerHello& hello) {
    if (const auto certain = state_->make_certain(); !certain)
        return Error(Errc::io, "checkpoint_uncertain",
                     "writing the checkpoint failed half-way, and it cannot be read back: " +
                         certain.error().detail(),
                     "everything that was acknowledged as durable",
                     "look at the file system of the agent's state directory; the source tries "
                     "again by itself");
    const Checkpoint checkpoint = state_->checkpoint();
    const std::lock_guard lock(mutex_);
    if (closed_) return Error(Errc::unavailable, "job_not_here", "this target is being closed");
    return admit({ticket_, overwrite_acknowledged_, checkpoint, state_->disk_sizes(),
                  state_->sector_bytes()},
                 hello);
}

Result<std::shared_ptr<TargetSession>> Target::begin_session(std::unique_ptr<wire::Link>& link,
                                                             const Bytes& hello) {
    TRY(const SourceMessage first, decode_source_message(hello));
    const auto* asked = std::get_if<PeerHello>(&first);
    if (asked == nullptr)
        return Error(Errc::invalid, "bad_message", "the first message is not a hello");
    // A hello that is refused must not disturb the session that works.
    TRY_VOID(admit_now(*asked));
    end_session();
    TRY(const Checkpoint checkpoint, admit_now(*asked));
    if (!(checkpoint == state_->checkpoint())) TRY_VOID(state_->replace(checkpoint));
    TRY_VOID(state_->settle());
    const bool knows_journals = std::ranges::count(asked->capabilities, "mode.journal") > 0;
    state_->acknowledges_early = state_->has_journal() && knows_journals;
    PeerWelcome welcome;
    welcome.session_id = random_.uuid();
    welcome.mode = state_->acknowledges_early ? JournalMode::journal : JournalMode::direct;
    welcome.checkpoint = state_->acknowledged().for_peer();
    welcome.checkpoint.verified_batch = state_->read_back.verified_batch;
    welcome.sizes_bytes = state_->disk_sizes();
    welcome.capabilities = {"bulk.raw",    "bulk.zero",          lz4_capability,  zstd_capability,
                            "mode.direct", read_back_capability, lanes_capability};
    welcome.lanes = static_cast<std::uint8_t>(lanes_for(*asked));
    if (state_->has_journal()) welcome.capabilities.emplace_back("mode.journal");
    auto session = std::make_shared<TargetSession>(*state_, welcome.session_id, std::move(link),
                                                   *asked, clock_);
    {
        // Before the welcome: the source answers it with a bulk link that must find the session.
        const std::lock_guard lock(mutex_);
        session_ = session;
    }
    session->welcome(welcome);
    return session;
}

void Target::end_session() {
    std::shared_ptr<TargetSession> old;
    {
        const std::lock_guard lock(mutex_);
        old = std::move(session_);
        session_ = nullptr;
    }
    if (!old) return;
    old->abort();
    old->wait_ended();
}

void Target::serve_bulk(std::unique_ptr<wire::Link> link, Bytes hello) {
    const auto asked = decode_bulk_hello(hello);
    const std::lock_guard lock(mutex_);
    if (!asked || !session_ || session_->id() != asked->session_id) {
        log::info("replicator", "a bulk link without a session was dropped");
        return;
    }
    session_->take_bulk(*asked, std::move(link));
}

void Target::update(const Ticket& ticket, bool overwrite_acknowledged) {
    std::shared_ptr<TargetSession> revoked;
    {
        const std::lock_guard lock(mutex_);
        if (ticket.job != ticket_.job || ticket.serial < ticket_.serial) return;
        if (ticket.serial > ticket_.serial) revoked = session_;
        ticket_ = ticket;
        overwrite_acknowledged_ = overwrite_acknowledged;
    }
    // A higher serial revokes the session that was admitted under a lower one.
    if (revoked) revoked->abort();
}

TargetProgress Target::progress() {
    const Checkpoint checkpoint = state_->checkpoint();
    return {checkpoint.batch,
            state_->bytes_written,
            state_->read_back.unverified_bytes,
            checkpoint.state == CheckpointState::promoted,
            state_->journal_lag_bytes(),
            state_->points(),
            state_->journal_used_bytes(),
            state_->journal_budget_bytes(),
            state_->is_in_test()};
}

Result<> Target::promote() {
    const std::lock_guard admission(admission_mutex_);
    if (state_->is_in_test()) return target_in_test();
    end_session();
    TRY_VOID(state_->make_certain());
    TRY_VOID(settle_for_good());
    Checkpoint next = state_->checkpoint();
    if (next.state != CheckpointState::promoted && !DROVER_MUTANT("promote_keeps_generation")) {
        next.state = CheckpointState::promoted;
        next.generation = Generation();
        next.mode = JournalMode::direct;
        for (CheckpointDisk& disk : next.disks) {
            disk.mirrored_upto = 0;
            disk.samples.clear();
        }
        const std::lock_guard lock(mutex_);
        next.serial = std::max(next.serial, ticket_.serial);
        TRY_VOID(state_->replace(next));
    }
    TRY_VOID(state_->remove_journal());
    state_->close_disks();
    return {};
}

Result<> Target::restore_point(std::uint64_t batch) {
    const std::lock_guard admission(admission_mutex_);
    if (state_->is_in_test()) return target_in_test();
    end_session();
    TRY_VOID(state_->make_certain());
    return state_->restore_point(batch);
}

/// Of one that failed the frames of open batches are gone: what a session still brings of them is
/// not taken.
Result<> Target::open_journal() {
    if (state_->has_open_journal()) return {};
    end_session();
    return state_->settle();
}

Result<BatchMark> Target::begin_test(std::int64_t wait_ms) {
    if (!state_->has_journal())
        return Error(Errc::unsupported, "test_needs_journal",
                     "the target writes its disks in place: there is nothing to test on",
                     "the copy goes on", "configure a journal on the target, then plan anew");
    const SteadyMillis until = clock_.steady_ms() + wait_ms;
    for (;;) {
        {
            // Alone: what an earlier process left is opened once, and a session that begins sees
            // the disks standing still, or not.
            const std::lock_guard admission(admission_mutex_);
            TRY_VOID(open_journal());
            TRY(const auto frozen, state_->freeze());
            if (frozen) return *frozen;
        }
        if (clock_.steady_ms() >= until) break;
        sleep_ms(look_ms);
    }
    state_->forget_freeze();
    return Error(Errc::unavailable, "no_point_yet",
                 "the target's disks have not been at a point within " +
                     std::to_string(wait_ms / 1'000) + " s",
                 "the copy goes on", "wait until the job is in sync and shows points, then retry");
}

Result<> Target::end_test() {
    {
        const std::lock_guard admission(admission_mutex_);
        const Result<> opened = open_journal();
        // Without a journal there is nothing to thaw; all is compared.
        if (!opened && opened.error().id() != "test_journal_lost") return opened;
        TRY_VOID(state_->thaw());
    }
    const std::lock_guard lock(mutex_);
    room_.notify_all();
    return {};
}

/// Everything that was acknowledged is on the disks, or they are not given away.
Result<> Target::settle_for_good() {
    const Checkpoint before = state_->checkpoint();
    const bool is_written_in_place = before.mode == JournalMode::direct;
    if (is_written_in_place || before.state == CheckpointState::promoted) return {};
    TRY_VOID(state_->settle());
    if (state_->checkpoint().state != CheckpointState::invalid) return {};
    return journal_corrupt("what it held may be missing on the disks");
}

void Target::forget() {
    close();
    const std::lock_guard admission(admission_mutex_);
    end_session();
    if (const auto removed = state_->remove_checkpoint(); !removed)
        log::warn("replicator", "the checkpoint stays: " + removed.error().text());
    if (const auto removed = state_->remove_journal(); !removed)
        log::warn("replicator", "the journal stays: " + removed.error().text());
}

}  // namespace

Result<std::unique_ptr<TargetReplica>> open_target_replica(TargetConfig config, Clock& clock,
                                                           Random& random) {
    TRY(auto state, TargetState::open(config));
    const bool may_overwrite =
        config.overwrite_acknowledged && config.ticket.serial > state->checkpoint().serial;
    // Promoted disks belong to somebody else: not even a descriptor of ours stays on them.
    if (state->checkpoint().state == CheckpointState::promoted && !may_overwrite)
        state->close_disks();
    // What was committed is on the disks, or can be taken back, before anybody asks.
    if (config.fence_point) TRY_VOID(state->settle());
    return std::unique_ptr<TargetReplica>(
        std::make_unique<Target>(std::move(state), config, clock, random));
}

}  // namespace drover::replicator
