/// A management server with many agents in one process: the production core over whatever log, and
/// agents that answer every effect at once as real ones answer when it succeeded. Every message
/// goes through the codec of the session, both ways.
///
///   submit ─► Core::turn ─► outbox ─► encode, decode ─► agent ─► encode, decode ─► Core
#pragma once

#include "eventlog/log.h"
#include "orchestrator/core.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace drover::bench {

struct FleetOptions {
    std::size_t agents = 200;  ///< half of them sources, half targets
    bool signs = true;         ///< Ed25519, as droverd does; otherwise a hash
};

class Fleet {
  public:
    /// Starts a core on what `log` holds, and enrols and connects agents that it does not know.
    Fleet(eventlog::EventLog& log, const FleetOptions& options, std::uint64_t seed);

    /// Names are free to choose; which agents a job is between follows from `number`.
    void plan(const std::string& name, std::size_t number);
    void submit(const std::string& name, statemachine::Wish wish);
    /// The copy of the job falls behind and catches up again.
    void waver(const std::string& name);

    /// Turns until nothing is left to do.
    void settle();

    struct Counters {
        std::uint64_t effects = 0;       ///< sent to agents
        std::uint64_t reports = 0;       ///< sent by agents
        std::vector<double> command_us;  ///< from submit to the answer, for submit() and plan()
        std::vector<double> turn_us;
    };

    [[nodiscard]] const Counters& counters() const { return counters_; }

    void forget_counters() { counters_ = {}; }

    [[nodiscard]] const orchestrator::Core& core() const { return *core_; }

    [[nodiscard]] std::size_t count(statemachine::Phase phase) const;

  private:
    struct Agent {
        std::string name;
        /// The transfers it was told of, by job: what standing reports are about.
        std::map<JobId, EffectId> transfers;
    };

    void enrol(const std::string& agent);
    void connect(std::size_t index);
    void deliver(const orchestrator::Outgoing& outgoing);
    void obey(Agent& agent, orchestrator::ConnectionId connection, const Effect& effect);
    void say(orchestrator::ConnectionId connection, const AgentMessage& message);
    void report(orchestrator::ConnectionId connection, const EffectId& effect, ReportBody body);
    [[nodiscard]] orchestrator::Moment now();

    SystemClock clock_;
    SeededRandom random_;
    std::unique_ptr<orchestrator::Core> core_;
    std::vector<Agent> agents_;  ///< connection n is of agent n - 1
    Counters counters_;
};

/// Moves `fleet` through whole lives of jobs, `jobs` at a time, until its log holds `events`.
void live(Fleet& fleet, eventlog::Seq events, std::size_t jobs);

}  // namespace drover::bench
