/// An agent as a process on a simulated machine: the production executor, jobs, journal and
/// replicas, with a driver that carries messages over the simulated network.
#pragma once

#include "agent/executor.h"
#include "base/random.h"
#include "simulations/machine.h"
#include "simulations/network.h"

#include <deque>
#include <functional>
#include <memory>
#include <string>

namespace drover::sim {

/// The machine's clocks. The wall clock may be wrong and may step.
class MachineClock final : public Clock {
  public:
    [[nodiscard]] WallMicros wall_micros() const override {
        return epoch_micros + Scheduler::current().now() + offset_micros;
    }

    [[nodiscard]] SteadyMillis steady_ms() const override {
        return Scheduler::current().now() / 1000;
    }

    static constexpr WallMicros epoch_micros = 1'800'000'000'000'000;
    WallMicros offset_micros = 0;
};

struct AgentOptions {
    std::string name;    ///< of the agent, by its certificate
    std::string server;  ///< machine name of the orchestrator
    bool is_source = true;
    bool is_target = true;
    replicator::Pacing pacing;
    /// The driver ticks so long after something happened here, and more and more rarely while
    /// nothing does.
    Micros tick_min = 1'000'000;
    Micros tick_max = 600'000'000;
    std::int64_t ack_timeout_ms = 30'000;
    std::uint64_t journal_bytes = 0;  ///< of each ring of a journal; 0: none
};

constexpr std::uint16_t agents_port = 6325;
constexpr const char* ticket_key = "key:tickets";
constexpr const char* ticket_public = "public:key:tickets";
constexpr const char* authority = "authority";

class AgentHost {
  public:
    AgentHost(Machine& machine, Network& network, AgentOptions options, std::uint64_t seed);

    /// Enrolment: identity and state directories, once per machine.
    void enrol();
    void start();
    /// SIGKILL. It starts again by itself after `restart_after` (systemd), unless that is `never`.
    void kill(Micros restart_after);
    [[nodiscard]] bool is_running() const;

    [[nodiscard]] ProcessId process() const { return process_; }

    /// Something happened on the machine that a tick may find.
    void stir();

    Machine& machine;
    MachineClock clock;
    const AgentOptions options;
    /// For every fact that this agent reports; the world looks at them.
    std::function<void(const Report&)> on_report;
    /// For every batch of which it says, as a target with a journal or as a source to which one
    /// sends back, that it is durable; before it says so.
    std::function<void(std::uint64_t batch)> on_acknowledged;
    std::uint64_t starts = 0;
    std::uint64_t own_failures = 0;  ///< ended by itself, as a process that cannot go on does

  private:
    class Run;

    void main();

    Network& network_;
    SeededRandom random_;
    ProcessId process_ = no_process;
    Run* run_ = nullptr;  ///< on the main fiber's stack, while it runs
};

}  // namespace drover::sim
