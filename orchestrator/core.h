/// The orchestrator without clock, network and threads: engine, dispatcher and agent sessions in
/// the order that makes them one machine. The server gives it sockets and time; a simulation gives
/// it others.
///
///   turn: engine.step ─► links of touched jobs ─► dispatcher.step ─► sync head? ─► sessions.send
///   ─► due timers ─► again
#pragma once

#include "orchestrator/agent_sessions.h"
#include "orchestrator/dispatcher.h"
#include "orchestrator/engine.h"
#include "orchestrator/telemetry.h"

#include <memory>
#include <optional>

namespace drover::orchestrator {

struct CoreParts {
    eventlog::EventLog& log;
    Random& random;
    TicketSigner sign;
    EngineOptions options;
    SessionTiming sessions = {};
    std::optional<State> state = {};  ///< replay(log), from whoever knows it already
    /// What an earlier start found out about this log, see AgentSessions::older_copy().
    std::optional<Error> older_copy = {};
};

constexpr const char* software_version = "drover 0.1.0";

class Core {
  public:
    /// Replays the log, unless its state is given, and raises the epoch. Blocks. Errors: what replay
    /// or the log said: then droverd does not start.
    [[nodiscard]] static Result<std::unique_ptr<Core>> start(CoreParts parts, const Moment& now);

    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    /// Decides, commits and answers everything that is queued and hands what follows to the
    /// sessions. `more` when there is work left for a further turn. An error is fatal: the process
    /// must exit, and nothing of this turn may leave it.
    struct Turn {
        bool more = false;
    };

    [[nodiscard]] Result<Turn> turn(const Moment& now);

    /// Heartbeats, timers, the periodic head sync. Call every 250 ms or so. Errors as turn().
    [[nodiscard]] Result<> tick(const Moment& now);

    [[nodiscard]] Engine& engine() { return engine_; }

    [[nodiscard]] const Engine& engine() const { return engine_; }

    [[nodiscard]] AgentSessions& sessions() { return sessions_; }

    [[nodiscard]] const AgentSessions& sessions() const { return sessions_; }

    [[nodiscard]] const Dispatcher& dispatcher() const { return dispatcher_; }

    [[nodiscard]] const Telemetry& telemetry() const { return telemetry_; }

    [[nodiscard]] const State& state() const { return engine_.state(); }

  private:
    Core(CoreParts parts, State state, eventlog::Epoch epoch, const Moment& now);

    Result<> dispatch(const Moment& now);
    void submit_timer(const EffectId& effect);

    eventlog::EventLog& log_;
    Random& random_;
    Engine engine_;
    Dispatcher dispatcher_;
    Telemetry telemetry_;
    AgentSessions sessions_;
    std::set<JobId> touched_;  ///< since the last turn
};

}  // namespace drover::orchestrator
