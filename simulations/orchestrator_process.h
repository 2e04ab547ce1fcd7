/// droverd as a process on a simulated machine: the production core over a log in memory that
/// outlives it, with a driver that carries messages over the simulated network.
#pragma once

#include "eventlog/memory_log.h"
#include "orchestrator/core.h"
#include "simulations/agent_process.h"

#include <functional>
#include <memory>
#include <string>

namespace drover::sim {

constexpr const char* server_name = "server";

class OrchestratorHost {
  public:
    OrchestratorHost(std::string machine, std::shared_ptr<eventlog::MemoryLog> volume,
                     Network& network, std::uint64_t seed);

    void start();
    /// SIGKILL. It starts again by itself after `restart_after`, unless that is `never`.
    void kill(Micros restart_after);
    [[nodiscard]] bool is_running() const;

    [[nodiscard]] ProcessId process() const { return process_; }

    /// Whether it starts again by itself after it ended.
    void set_restarts(bool restarts) { restarts_ = restarts; }

    /// Instead of `server_name`.
    void set_address(std::string address) { address_ = std::move(address); }

    /// Agents that dial its address reach this process from now on.
    void take_address();

    /// A request of an operator: it travels to the process and its answer back, or is lost with
    /// either. `heard` is called at most once, outside of any fiber.
    using Heard = std::function<void(const Result<orchestrator::Answer>&)>;
    void request(orchestrator::Submission submission, Heard heard);

    /// The state of the process that runs; nullptr if none does, or it is still starting.
    [[nodiscard]] const orchestrator::Core* core() const;

    /// Called in order for every event that became durable, before its effects.
    std::function<void(const eventlog::Record&, const orchestrator::Fact&)> on_fact;
    /// Called when a process has replayed the log and takes up its work.
    std::function<void()> on_started;
    /// Called for every message that leaves for an agent.
    std::function<void(const std::string& agent, const OrchestratorMessage&)> on_send;

    const std::string machine;
    MachineClock clock;
    std::shared_ptr<eventlog::MemoryLog> volume;
    std::uint64_t starts = 0;
    std::uint64_t own_failures = 0;
    std::string last_failure;

  private:
    class Run;

    void main();

    Network& network_;
    SeededRandom random_;
    bool restarts_ = true;
    std::string address_ = server_name;
    ProcessId process_ = no_process;
    Run* run_ = nullptr;
};

}  // namespace drover::sim
