/// A management server in memory: the production core over a MemoryLog, a clock that moves when
/// told to, and agents that answer effects as real ones do. "The process" can be killed at any
/// point; the log stays.
#pragma once

#include "eventlog/memory_log.h"
#include "orchestrator/core.h"
#include "show_results.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace drover::orchestrator::testing {

constexpr WallMicros start_micros = 1'700'000'000'000'000;

/// The agent's end of a session.
struct FakeAgent {
    std::string name;
    std::string host_identity = "host-1";
    std::vector<std::string> capabilities = {anchors_capability};
    Witness witness = {};  ///< what it says it has obeyed
    ConnectionId connection = 0;  ///< 0: not connected
    bool answers = true;          ///< reports each effect as done as soon as it comes
    std::set<EffectKind> silent_on = {};
    std::vector<EffectWanted> wanted = {};  ///< in this connection, oldest first
    std::vector<EffectWithdrawn> withdrawn = {};
    std::vector<Uuid> acknowledged = {};
    std::vector<AnchorMade> anchors = {};
    std::vector<Error> refused = {};
    std::optional<Welcome> welcome = {};
    bool is_closed = false;

    [[nodiscard]] const EffectWanted* find(EffectKind kind) const;
    [[nodiscard]] std::size_t count(EffectKind kind) const;
};

class World {
  public:
    World();

    /// Starts "the process" on what the log holds.
    void start();
    /// The process dies: everything but the log is gone, connections too.
    void kill();

    /// Turns until nothing is left to do, carrying messages to and from the agents. Returns the
    /// fatal error if there was one.
    std::optional<Error> settle();
    /// One turn whose messages reach nobody: the process died after the commit, before the network.
    void turn_unheard();

    /// Connected agents send their heartbeats meanwhile.
    void pass_ms(std::int64_t ms);
    [[nodiscard]] Moment now() const;

    /// Queues; the answer appears in the returned place after settle().
    using Slot = std::shared_ptr<std::optional<Result<Answer>>>;
    Slot submit(const std::string& job, statemachine::Wish wish);
    Slot submit(Submission submission);
    /// Submits and settles; it must have been answered.
    Result<Answer> command(const std::string& job, statemachine::Wish wish);
    Result<Answer> registry(RegistryWish wish);

    FakeAgent& agent(const std::string& name) { return agents_.at(name); }

    /// Enrols `name` and connects it.
    FakeAgent& add_agent(const std::string& name);
    /// Another session under the name of an enrolled agent, kept under `key`.
    FakeAgent& add_twin(const std::string& key, const std::string& name,
                        const std::string& host_identity);
    void connect(FakeAgent& agent);
    void disconnect(FakeAgent& agent);
    void report(FakeAgent& agent, const Report& report);

    /// A job from source to target, planned.
    void plan(const std::string& name);
    /// A planned job with both agents connected, in sync.
    void sync(const std::string& name);

    [[nodiscard]] const statemachine::Job& job(const std::string& name) const;

    [[nodiscard]] statemachine::Phase phase(const std::string& name) const {
        return job(name).phase;
    }

    [[nodiscard]] JobSpec spec(const std::string& name) const;

    eventlog::MemoryLog log;
    SeededRandom random;
    ManualClock clock;
    std::unique_ptr<Core> core;
    EngineOptions options;

  private:
    void deliver(const Outbox& outbox);
    void hear(FakeAgent& agent, const OrchestratorMessage& message);
    void answer(FakeAgent& agent, const EffectWanted& wanted);
    FakeAgent* at(ConnectionId id);

    std::map<std::string, FakeAgent> agents_;
    ConnectionId next_connection_ = 1;
};

/// What an agent reports when the effect succeeded; several for standing ones.
[[nodiscard]] std::vector<ReportBody> success_of(const Effect& effect);

}  // namespace drover::orchestrator::testing
