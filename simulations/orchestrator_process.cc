#include "simulations/orchestrator_process.h"

#include "base/sha256.h"
#include "wire/pki.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace drover::sim {
namespace {

constexpr Micros second = 1'000'000;
constexpr Micros restart_after_failure = 2 * second;
constexpr Micros tick_max = 600 * second;
constexpr std::size_t session_parcel_bytes = 512;

/// The volume as the process sees it: every write can be its last act.
class VolumeLog final : public eventlog::EventLog {
  public:
    explicit VolumeLog(std::shared_ptr<eventlog::MemoryLog> volume)
        : volume_(std::move(volume)) {}

    eventlog::AppendResult append(std::span<const eventlog::Append> batch, eventlog::Epoch epoch,
                                  WallMicros now_micros) override {
        Environment& environment = Environment::current();
        environment.step("log.before_append");
        environment.take_sync_time();
        auto result = volume_->append(batch, epoch, now_micros);
        environment.step("log.appended");
        return result;
    }

    Result<> read(eventlog::Seq from, const eventlog::RecordVisitor& visit) const override {
        return volume_->read(from, visit);
    }

    Result<> read_stream(eventlog::StreamId stream, eventlog::StreamSeq from,
                         const eventlog::RecordVisitor& visit) const override {
        return volume_->read_stream(stream, from, visit);
    }

    [[nodiscard]] eventlog::Head head() const override { return volume_->head(); }

    [[nodiscard]] eventlog::StreamHead stream_head(eventlog::StreamId stream) const override {
        return volume_->stream_head(stream);
    }

    [[nodiscard]] Result<Hash> hash_at(eventlog::Seq seq) const override {
        return volume_->hash_at(seq);
    }

    [[nodiscard]] Result<std::optional<eventlog::CommandAnswer>> find_answer(
        const Uuid& command_id) const override {
        return volume_->find_answer(command_id);
    }

    Result<eventlog::Epoch> raise_epoch(WallMicros now_micros) override {
        auto raised = volume_->raise_epoch(now_micros);
        Environment::current().step("log.epoch_raised");
        return raised;
    }

    Result<> sync_head() override {
        Environment::current().take_sync_time();
        auto synced = volume_->sync_head();
        Environment::current().step("log.head_synced");
        return synced;
    }

    [[nodiscard]] std::uint64_t free_bytes() const override { return volume_->free_bytes(); }

  private:
    const std::shared_ptr<eventlog::MemoryLog> volume_;
};

}  // namespace

/// One life of the process, on its main fiber's stack.
class OrchestratorHost::Run {
  public:
    explicit Run(OrchestratorHost& host)
        : host_(host),
          log_(host.volume) {}

    [[nodiscard]] Result<> serve();

    void post(std::function<void()> call) {
        inbox_.push_back(std::move(call));
        wake();
    }

    void wake() { (void)Scheduler::current().wake(std::exchange(waiting_, {})); }

    void accept(const std::shared_ptr<Stream>& stream);

    void submit(orchestrator::Submission submission, orchestrator::Completion completion) {
        core_->engine().submit(std::move(submission), std::move(completion));
    }

    [[nodiscard]] const orchestrator::Core* core() const { return core_.get(); }

  private:
    struct Peer {
        std::shared_ptr<Stream> stream;
        bool is_closed = false;
    };

    [[nodiscard]] orchestrator::Moment now() const {
        return {host_.clock.wall_micros(), host_.clock.steady_ms()};
    }

    [[nodiscard]] Result<> turns();
    void receive(orchestrator::ConnectionId id);
    void deliver(const orchestrator::Outbox& outbox);
    [[nodiscard]] Micros next_due() const;

    OrchestratorHost& host_;
    VolumeLog log_;
    std::unique_ptr<orchestrator::Core> core_;
    std::deque<std::function<void()>> inbox_;
    Scheduler::Waiter waiting_;
    std::map<orchestrator::ConnectionId, Peer> peers_;
    orchestrator::ConnectionId next_id_ = 1;
    Micros next_tick_ = 0;
    Micros tick_every_ = second;
};

Result<> OrchestratorHost::Run::serve() {
    Scheduler& scheduler = Scheduler::current();
    const auto sign = [](ByteView message) { return wire::sign(ticket_key, message); };
    constexpr std::uint32_t never_ms = 0x7fffffff;
    TRY(core_, orchestrator::Core::start(
                   {log_, host_.random_, sign, {}, {.heartbeat_ms = never_ms, .dead_ms = never_ms}},
                   now()));
    core_->engine().subscribe(
        [this](const eventlog::Record& record, const orchestrator::Fact& fact) {
            if (host_.on_fact) host_.on_fact(record, fact);
        });
    core_->engine().on_submit([this] { wake(); });
    if (host_.on_started) host_.on_started();
    host_.take_address();
    next_tick_ = scheduler.now();
    for (;;) {
        while (!inbox_.empty()) {
            const auto call = std::move(inbox_.front());
            inbox_.pop_front();
            call();
            tick_every_ = second;
            next_tick_ = std::min(next_tick_, scheduler.now() + second);
        }
        if (scheduler.now() >= next_tick_) {
            TRY_VOID(core_->tick(now()));
            tick_every_ = std::min(4 * tick_every_, tick_max);
            next_tick_ = scheduler.now() + tick_every_;
        }
        TRY_VOID(turns());
        if (!inbox_.empty()) continue;
        waiting_ = scheduler.next_wait();
        (void)scheduler.wait(next_due());
    }
}

Micros OrchestratorHost::Run::next_due() const {
    const auto timer = core_->dispatcher().next_timer();
    if (!timer) return next_tick_;
    const Micros in = *timer - host_.clock.wall_micros();
    // One that is due was submitted, or is about to be again.
    return std::min(next_tick_, Scheduler::current().now() + std::max(in, second));
}

Result<> OrchestratorHost::Run::turns() {
    for (;;) {
        TRY(const auto turned, core_->turn(now()));
        deliver(core_->sessions().take_outbox());
        if (!turned.more) return {};
    }
}

void OrchestratorHost::Run::deliver(const orchestrator::Outbox& outbox) {
    for (const auto& outgoing : outbox.send) {
        const auto peer = peers_.find(outgoing.connection);
        if (peer == peers_.end()) continue;
        Environment::current().step("session.server_sends");
        const auto& stream = *peer->second.stream;
        if (host_.on_send) host_.on_send(stream.party(End::dialler).machine, outgoing.message);
        peer->second.stream->send(End::listener, outgoing.message, session_parcel_bytes);
    }
    for (const auto& closing : outbox.close) {
        const auto peer = peers_.find(closing.connection);
        if (peer == peers_.end()) continue;
        peer->second.stream->on_event(End::listener, nullptr);
        peer->second.stream->close(End::listener);
        peers_.erase(peer);
    }
}

void OrchestratorHost::Run::accept(const std::shared_ptr<Stream>& stream) {
    const orchestrator::ConnectionId id = next_id_++;
    peers_[id] = {stream};
    stream->on_event(End::listener, [this, id] {
        const auto peer = peers_.find(id);
        if (peer == peers_.end()) return;
        post([this, id] { receive(id); });
    });
    post([this, id, stream] {
        const std::string& uri = stream->party(End::dialler).identity;
        core_->sessions().opened(id, uri.substr(wire::agent_identity("").size()),
                                 stream->party(End::dialler).machine, now());
        receive(id);
    });
}

void OrchestratorHost::Run::receive(orchestrator::ConnectionId id) {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    const auto stream = peer->second.stream;
    while (auto parcel = stream->take(End::listener))
        core_->sessions().received(id, std::get<AgentMessage>(*parcel), now());
    if (!stream->has_ended(End::listener)) return;
    stream->on_event(End::listener, nullptr);
    stream->close(End::listener);
    peers_.erase(id);
    core_->sessions().closed(id, now());
}

OrchestratorHost::OrchestratorHost(std::string a_machine,
                                   std::shared_ptr<eventlog::MemoryLog> a_volume, Network& network,
                                   std::uint64_t seed)
    : machine(std::move(a_machine)),
      volume(std::move(a_volume)),
      network_(network),
      random_(seed) {}

bool OrchestratorHost::is_running() const {
    return process_ != no_process && Scheduler::current().is_alive(process_);
}

const orchestrator::Core* OrchestratorHost::core() const {
    return run_ != nullptr ? run_->core() : nullptr;
}

void OrchestratorHost::take_address() {
    if (run_ == nullptr || run_->core() == nullptr) return;
    network_.listen(address_, agents_port, {machine, process_, wire::server_identity},
                    [this, process = process_](const std::shared_ptr<Stream>& stream) {
                        if (run_ != nullptr && process_ == process) run_->accept(stream);
                    });
}

void OrchestratorHost::start() {
    if (is_running()) return;
    process_ = Scheduler::current().new_process();
    ++starts;
    Scheduler::current().spawn(process_, [this] { main(); });
}

void OrchestratorHost::main() {
    {
        Run run(*this);
        run_ = &run;

        struct Forget {
            OrchestratorHost& host;

            ~Forget() { host.run_ = nullptr; }
        } forget{*this};

        // It serves until it cannot go on; then the process ends and is started again.
        const Result<> outcome = run.serve();
        if (!outcome) last_failure = outcome.error().text();
    }
    ++own_failures;
    kill(restart_after_failure);
}

void OrchestratorHost::kill(Micros restart_after) {
    if (!is_running()) return;
    const ProcessId dying = process_;
    Scheduler& scheduler = Scheduler::current();
    network_.process_died(dying);
    // What a new process finds of an append that was under way is the volume's secret.
    volume->restart();
    if (restart_after != never)
        scheduler.after(restart_after, [this, dying] {
            if (process_ == dying && restarts_) start();
        });
    scheduler.kill(dying);
}

void OrchestratorHost::request(orchestrator::Submission submission, Heard heard) {
    Scheduler& scheduler = Scheduler::current();
    const Weather& weather = network_.weather();
    const Micros there = network_.dice().between(weather.latency_min, weather.latency_max);
    const Micros back = network_.dice().between(weather.latency_min, weather.latency_max);
    scheduler.after(
        there,
        [this, back, moved = std::make_shared<orchestrator::Submission>(std::move(submission)),
         heard = std::move(heard)] {
            if (run_ == nullptr || run_->core() == nullptr) return;
            run_->post([this, back, moved, heard] {
                // An answer that is on its way when the process dies still arrives.
                run_->submit(
                    std::move(*moved), [back, heard](const Result<orchestrator::Answer>& answer) {
                        Scheduler::current().after(back, [heard, answer] { heard(answer); });
                    });
            });
        });
}

}  // namespace drover::sim
