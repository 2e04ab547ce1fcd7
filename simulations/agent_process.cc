#include "simulations/agent_process.h"

#include "agent/preflight.h"
#include "agent/session_steps.h"
#include "replicator/peer_codec.h"

#include <algorithm>
#include <array>
#include <utility>

namespace drover::sim {
namespace {

constexpr Micros second = 1'000'000;
constexpr Micros restart_after_failure = 2 * second;
constexpr std::size_t session_parcel_bytes = 512;
/// A job has 1 to so many bulk connections, by its id.
constexpr unsigned streams_max = 3;
constexpr std::uint32_t points_max = 3;

class SimulatedReplicas final : public agent::ReplicaFactory {
  public:
    SimulatedReplicas(const AgentOptions& options, Clock& clock, Random& random)
        : options_(options),
          clock_(clock),
          random_(random) {}

    Result<std::unique_ptr<replicator::SourceReplica>> open_source(
        replicator::SourceConfig config, replicator::SourceObserver& observer) override {
        const std::uint64_t walk = config.pacing.walk_bytes_per_s;
        config.pacing = options_.pacing;
        config.pacing.walk_bytes_per_s = walk;
        config.ack_timeout_ms = options_.ack_timeout_ms;
        // In virtual time nothing is ever waited for that would make the policy compress.
        constexpr std::array kinds{replicator::Compression::automatic, replicator::Compression::lz4,
                                   replicator::Compression::zstd};
        config.compression = kinds[config.ticket.job.data[0] % kinds.size()];
        config.streams = 1 + config.ticket.job.data[1] % streams_max;
        // Disks are much smaller than a batch: of half of the jobs each disk is one by itself.
        if (config.ticket.job.data[2] % 2 == 0) config.batch_bytes = 1;
        return replicator::open_source_replica(std::move(config), observer, clock_, random_);
    }

    Result<std::unique_ptr<replicator::TargetReplica>> open_target(
        replicator::TargetConfig config) override {
        if (config.journal) {
            config.journal->redo_bytes = options_.journal_bytes;
            config.journal->undo_bytes = options_.journal_bytes;
            const bool keeps_many = config.journal->duty == replicator::JournalDuty::recent_points;
            if (keeps_many) config.journal->points_max = points_max;
        }
        return replicator::open_target_replica(std::move(config), clock_, random_);
    }

  private:
    const AgentOptions& options_;
    Clock& clock_;
    Random& random_;
};

/// The control link of who writes into a journal: tells what it is about to acknowledge.
class AcknowledgingLink final : public wire::Link {
  public:
    AcknowledgingLink(std::unique_ptr<wire::Link> link, const AgentHost& host)
        : link_(std::move(link)),
          host_(host) {}

    [[nodiscard]] Result<> send(ByteView head, ByteView body) override {
        const auto message = replicator::decode_target_message(head);
        const auto* committed = message ? std::get_if<replicator::Committed>(&*message) : nullptr;
        const bool is_heard = caller_is_alive() && host_.on_acknowledged;
        if (committed != nullptr && is_heard) host_.on_acknowledged(committed->batch);
        return link_->send(head, body);
    }

    [[nodiscard]] Result<Bytes> receive(std::int64_t timeout_ms) override {
        return link_->receive(timeout_ms);
    }

    void abort() override { link_->abort(); }

    [[nodiscard]] const std::string& peer() const override { return link_->peer(); }

  private:
    std::unique_ptr<wire::Link> link_;
    const AgentHost& host_;
};

/// The network between agents, as this process has it.
class SimulatedPeers final : public agent::PeerNetwork {
  public:
    SimulatedPeers(const AgentHost& host, Network& network, Stream::Party self,
                   const agent::Config& config, const agent::AgentIdentity& identity, Clock& clock)
        : host_(host),
          network_(network),
          self_(std::move(self)),
          config_(config),
          identity_(identity),
          clock_(clock) {}

    Result<replicator::PeerLinks> dial(const Endpoint& target,
                                       const std::string& expected_peer) override {
        replicator::PeerLinks links;
        TRY(links.control, dial_one(target.host, target.control_port, expected_peer));
        links.dial_bulk = [this, target, expected_peer] {
            return dial_one(target.host, target.bulk_port, expected_peer);
        };
        TRY(links.bulk, links.dial_bulk());
        return links;
    }

    Result<> listen(replicator::PeerGate::Find find) override {
        if (std::exchange(listening_, true)) return {};
        replicator::GateOptions options;
        options.own_agent = identity_.name;
        options.orchestrator_public_pem = identity_.orchestrator_public_pem;
        const auto gate = std::make_shared<replicator::PeerGate>(options, std::move(find), clock_);
        accept_on(config_.listen->control_port, gate, &replicator::PeerGate::admit_control);
        accept_on(config_.listen->bulk_port, gate, &replicator::PeerGate::admit_bulk);
        return {};
    }

    void stop_listening() override {
        if (!std::exchange(listening_, false)) return;
        network_.stop_listening(self_.machine, config_.listen->control_port);
        network_.stop_listening(self_.machine, config_.listen->bulk_port);
    }

  private:
    using Admit = void (replicator::PeerGate::*)(std::unique_ptr<wire::Link>);

    Result<std::unique_ptr<wire::Link>> dial_one(const std::string& host, std::uint16_t port,
                                                 const std::string& expected_peer) {
        TRY(auto stream, network_.dial(self_, host, port));
        auto link = make_link(stream, End::dialler);
        if (link->peer() == expected_peer) return link;
        return Error(Errc::denied, "peer_refused", "another agent answers there");
    }

    void accept_on(std::uint16_t port, const std::shared_ptr<replicator::PeerGate>& gate,
                   Admit admit) {
        network_.listen(self_.machine, port, self_,
                        [gate, admit, process = self_.process,
                         &host = host_](const std::shared_ptr<Stream>& stream) {
                            Scheduler::current().spawn(process, [gate, admit, stream, &host] {
                                (*gate.*admit)(accepted(stream, host));
                            });
                        });
    }

    static std::unique_ptr<wire::Link> accepted(const std::shared_ptr<Stream>& stream,
                                                const AgentHost& host) {
        auto link = make_link(stream, End::listener);
        if (host.options.journal_bytes == 0) return link;
        return std::make_unique<AcknowledgingLink>(std::move(link), host);
    }

    const AgentHost& host_;
    Network& network_;
    const Stream::Party self_;
    const agent::Config& config_;
    const agent::AgentIdentity& identity_;
    Clock& clock_;
    bool listening_ = false;
};

agent::Config config_of(const AgentOptions& options, const Machine& machine) {
    agent::Config config;
    config.name = options.name;
    config.server_host = options.server;
    config.state = machine.state_root();
    config.is_source = options.is_source;
    config.is_target = options.is_target;
    if (options.journal_bytes != 0) {
        config.journal_directory = machine.journal_root();
        config.test_directory = machine.test_root();
    }
    config.listen = agent::ListenConfig{machine.name, machine.name, 6325, 6326};
    return config;
}

}  // namespace

/// One life of the process. Everything is on the main fiber's stack, so that a kill takes it along.
class AgentHost::Run final : public agent::ExecutorOutput {
  public:
    explicit Run(AgentHost& host)
        : host_(host) {}

    [[nodiscard]] Result<> serve();

    void taken(const EffectId& effect) override {
        post([effect](agent::SessionSteps& steps) { steps.taken(effect); });
    }

    void report(const Report& report) override {
        if (host_.on_report) host_.on_report(report);
        post([report](agent::SessionSteps& steps) { steps.report(report); });
    }

    void progress(const Progress&) override {}

    void failed(const Error& error) override {
        if (!failure_) failure_ = error;
        wake();
    }

    void wake() { (void)Scheduler::current().wake(std::exchange(waiting_, {})); }

    void stir() {
        tick_every_ = host_.options.tick_min;
        next_tick_ = std::min(next_tick_, Scheduler::current().now() + tick_every_);
        wake();
    }

  private:
    using Call = std::function<void(agent::SessionSteps&)>;

    void post(Call call) {
        inbox_.push_back(std::move(call));
        wake();
    }

    [[nodiscard]] Result<> loop(agent::SessionSteps& steps);
    void connect_if_due(agent::SessionSteps& steps);
    void receive(agent::SessionSteps& steps);

    AgentHost& host_;
    std::deque<Call> inbox_;
    std::optional<Error> failure_;
    Scheduler::Waiter waiting_;
    std::shared_ptr<Stream> stream_;
    std::shared_ptr<Fiber> dialling_;
    std::shared_ptr<Stream> dialled_;
    bool dial_failed_ = false;
    agent::Backoff backoff_;
    Micros connected_at_ = 0;
    Micros next_dial_ = 0;
    Micros next_tick_ = 0;
    Micros tick_every_ = second;
};

Result<> AgentHost::Run::serve() {
    Machine& own = host_.machine;
    const agent::StatePaths paths{own.state_root()};
    const agent::Config config = config_of(host_.options, own);
    TRY(const agent::AgentIdentity identity, agent::load_identity(paths, host_.options.name));
    const auto host_ops = open_host(own);
    TRY(const auto journal, agent::Journal::open(paths.journal()));
    agent::FenceStore fences(paths.fences(), own.identity);
    agent::ExposureStore exposures(paths.exposures());
    const agent::AgentParts parts{
        config,
        paths,
        identity,
        *host_ops,
        *journal,
        fences,
        exposures,
        host_.clock,
        [](std::string_view step) { Environment::current().step("agent." + std::string(step)); }};
    Hello hello;
    hello.agent = config.name;
    TRY(hello.incarnation, agent::load_incarnation(paths, host_.random_));
    hello.host_identity = own.identity.id;
    hello.boot_id = own.identity.boot_id;
    hello.software = "drover sim";
    if (config.is_source) hello.roles.emplace_back("source");
    if (config.is_target) hello.roles.emplace_back("target");
    hello.capabilities = agent::agent_capabilities(config);
    TRY(hello.witness, agent::load_witness(paths));
    agent::SessionSteps steps(hello, journal->unacknowledged(), paths, host_.clock,
                              {.send =
                                   [this](const AgentMessage& message) {
                                       if (stream_)
                                           stream_->send(End::dialler, message,
                                                         session_parcel_bytes);
                                   },
                               .close =
                                   [this] {
                                       if (stream_) stream_->close(End::dialler);
                                   },
                               .fail = [this](const Error& error) { failed(error); }});
    SimulatedReplicas replicas(host_.options, host_.clock, host_.random_);
    const Stream::Party self{own.name, host_.process_, wire::agent_identity(host_.options.name)};
    SimulatedPeers peers(host_, host_.network_, self, config, identity, host_.clock);
    agent::ThreadWorkers workers;
    agent::Executor executor(parts, replicas, peers, workers, host_.random_, *this);
    steps.set_executor(executor);
    TRY_VOID(executor.start());
    (void)executor.wait_for_fences(90'000);
    Environment::current().step("agent.started");
    auto outcome = loop(steps);
    executor.stop();
    workers.stop();
    peers.stop_listening();
    return outcome;
}

Result<> AgentHost::Run::loop(agent::SessionSteps& steps) {
    Scheduler& scheduler = Scheduler::current();
    next_tick_ = scheduler.now() + host_.options.tick_min;
    for (;;) {
        while (!inbox_.empty()) {
            const Call call = std::move(inbox_.front());
            inbox_.pop_front();
            call(steps);
            tick_every_ = host_.options.tick_min;
            next_tick_ = std::min(next_tick_, scheduler.now() + tick_every_);
        }
        if (failure_) return *failure_;
        receive(steps);
        connect_if_due(steps);
        if (scheduler.now() >= next_tick_) {
            steps.tick();
            tick_every_ = std::min(4 * tick_every_, host_.options.tick_max);
            next_tick_ = scheduler.now() + tick_every_;
        }
        if (!inbox_.empty() || failure_) continue;
        if (stream_ && (stream_->has_arrived(End::dialler) || stream_->has_ended(End::dialler)))
            continue;
        waiting_ = scheduler.next_wait();
        const bool dials = !stream_ && !dialling_;
        (void)scheduler.wait(dials ? std::min(next_tick_, next_dial_) : next_tick_);
    }
}

void AgentHost::Run::receive(agent::SessionSteps& steps) {
    while (stream_) {
        if (auto parcel = stream_->take(End::dialler)) {
            Environment::current().step("session.agent_received");
            steps.received(std::get<OrchestratorMessage>(*parcel));
            tick_every_ = host_.options.tick_min;
            continue;
        }
        if (!stream_->has_ended(End::dialler)) return;
        stream_->on_event(End::dialler, nullptr);
        stream_->close(End::dialler);
        stream_ = nullptr;
        steps.disconnected(Error(Errc::unavailable, "connection_lost", "the connection ended"));
        const Micros lasted = Scheduler::current().now() - connected_at_;
        next_dial_ =
            Scheduler::current().now() + 1000 * backoff_.next_ms(lasted / 1000, host_.random_);
    }
}

/// The dial takes time, so it has a fiber of its own.
void AgentHost::Run::connect_if_due(agent::SessionSteps& steps) {
    Scheduler& scheduler = Scheduler::current();
    if (dialled_) {
        stream_ = std::exchange(dialled_, nullptr);
        dialling_ = nullptr;
        connected_at_ = scheduler.now();
        stream_->on_event(End::dialler, [this] { wake(); });
        steps.connected();
        return;
    }
    if (std::exchange(dial_failed_, false)) {
        dialling_ = nullptr;
        next_dial_ = scheduler.now() + 1000 * backoff_.next_ms(0, host_.random_);
    }
    if (stream_ || dialling_ || scheduler.now() < next_dial_) return;
    dialling_ = scheduler.spawn(host_.process_, [this] {
        const Stream::Party self{host_.machine.name, host_.process_,
                                 wire::agent_identity(host_.options.name)};
        auto dialled = host_.network_.dial(self, host_.options.server, agents_port);
        dial_failed_ = !dialled;
        if (dialled) dialled_ = *dialled;
        wake();
    });
}

AgentHost::AgentHost(Machine& a_machine, Network& network, AgentOptions an_options,
                     std::uint64_t seed)
    : machine(a_machine),
      options(std::move(an_options)),
      network_(network),
      random_(seed) {}

void AgentHost::enrol() {
    const agent::StatePaths paths{machine.state_root()};
    agent::AgentIdentity identity;
    identity.name = options.name;
    const std::string subject = wire::agent_identity(options.name);
    identity.tls = {authority, "certificate:" + subject + " by " + authority, "key:" + subject};
    identity.orchestrator_public_pem = ticket_public;
    (void)agent::make_state_directories(paths);
    (void)agent::store_identity(paths, identity);
}

bool AgentHost::is_running() const {
    return process_ != no_process && Scheduler::current().is_alive(process_);
}

void AgentHost::start() {
    if (is_running() || !machine.is_up()) return;
    process_ = Scheduler::current().new_process();
    ++starts;
    Scheduler::current().spawn(process_, [this] { main(); });
}

void AgentHost::main() {
    Result<> outcome;
    {
        Run run(*this);
        run_ = &run;

        struct Forget {
            AgentHost& host;

            ~Forget() { host.run_ = nullptr; }
        } forget{*this};

        outcome = run.serve();
    }
    // A process that cannot go on ends, and systemd starts it again.
    ++own_failures;
    kill(restart_after_failure);
}

void AgentHost::kill(Micros restart_after) {
    if (!is_running()) return;
    const ProcessId dying = process_;
    Scheduler& scheduler = Scheduler::current();
    network_.process_died(dying);
    if (restart_after != never)
        scheduler.after(restart_after, [this, dying] {
            if (process_ == dying) start();
        });
    scheduler.kill(dying);
}

void AgentHost::stir() {
    if (run_ != nullptr) run_->stir();
}

}  // namespace drover::sim
