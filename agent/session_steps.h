/// What the session's answers mean for the agent, without sockets and threads: the witness is
/// stored before anything that follows from it, effects reach the executor, reports the
/// orchestrator. The Asio driver and the simulator's driver feed it and carry what it sends.
#pragma once

#include "agent/executor.h"
#include "agent/state_store.h"
#include "wire/agent_session.h"

#include <functional>
#include <optional>
#include <string>

namespace drover::agent {

/// Delays between attempts to connect, in milliseconds.
class Backoff {
  public:
    static constexpr std::int64_t ms_min = 100;
    static constexpr std::int64_t ms_max = 5'000;

    /// The delay after a connection that lasted `connected_ms` (0: none came about); with jitter,
    /// so that a thousand agents do not come back in one moment.
    [[nodiscard]] std::int64_t next_ms(std::int64_t connected_ms, Random& random);

  private:
    std::int64_t delay_ms_ = ms_min;
};

class SessionSteps {
  public:
    struct Outlets {
        std::function<void(const AgentMessage&)> send;  ///< dropped while there is no connection
        std::function<void()> close;                    ///< the connection, if there is one
        std::function<void(const Error&)> fail;         ///< the process has to begin again
    };

    /// What this host holds is said again after this time, where it is wanted.
    static constexpr SteadyMillis world_interval_ms = 10'000;

    /// `recovery_public_pem`: of the enrolment; verifies that a restored log may be obeyed.
    SessionSteps(Hello hello, std::vector<Report> pending, StatePaths paths, Clock& clock,
                 Outlets outlets, std::string recovery_public_pem = {});

    /// Once, before anything else.
    void set_executor(Executor& executor) { executor_ = &executor; }

    void connected();
    void received(const OrchestratorMessage& message);
    /// `why`: shown, unless the session itself closed the connection.
    void disconnected(const Error& why);
    void tick();

    void taken(const EffectId& effect);
    void report(const Report& report);
    void progress(const Progress& progress);

    /// Why there is no session, for people.
    void complain(const Error& error);

    [[nodiscard]] bool is_welcomed() const { return session_.is_welcomed(); }

    [[nodiscard]] const Witness& witness() const { return session_.witness(); }

    [[nodiscard]] const std::string& last_trouble() const { return last_trouble_; }

  private:
    void apply(const wire::AgentStep& step);
    void keep(const AnchorMade& made);
    void obey(const EffectWanted& wanted);
    void say_world();
    [[nodiscard]] bool persist(const std::optional<Witness>& witness);

    wire::AgentSession session_;
    StatePaths paths_;
    Clock& clock_;
    Outlets outlets_;
    Executor* executor_ = nullptr;
    std::string last_trouble_;  ///< logged once, not at every attempt
    SteadyMillis world_said_ms_ = 0;
    bool is_closing_ = false;   ///< the session ended this connection
};

}  // namespace drover::agent
