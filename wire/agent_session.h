/// The agent's half of the session with the orchestrator, without any I/O: feed it what happened, do
/// what it returns. The same object runs under the Asio driver and in the simulator.
///
/// Rules it keeps: Hello first; a Welcome of a lower epoch than the highest seen, of another lineage,
/// or of a log that cannot show the witness's hash is refused. Another lineage is accepted only with
/// a chain of signed resets that begins at the lineage this agent obeyed, in a higher epoch. Effects
/// before Welcome are a protocol error; unacknowledged reports are sent again after every reconnect;
/// silence beyond dead_ms closes.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "schemas/session.h"

namespace drover::wire {

/// What the session wants done, in this order: persist, then send, then deliver, then close.
struct AgentStep {
    std::optional<Witness> persist;          ///< make durable before anything below
    std::vector<AgentMessage> send;
    std::vector<EffectWanted> effects;       ///< hand to the executor; epoch already checked
    std::vector<EffectWithdrawn> withdrawn;
    std::vector<AnchorMade> anchors;         ///< to keep
    std::vector<Uuid> acknowledged;          ///< reports the agent may forget
    std::optional<Error> close;              ///< close the connection, show why
    bool welcomed = false;                   ///< true in the step that accepted the Welcome
    bool wants_world = false;                ///< in that step: say what this host holds
};

class AgentSession {
  public:
    /// `hello.witness` is the durable witness; `pending` are reports not yet acknowledged.
    /// `recovery_public_pem` verifies resets; empty: none is believed.
    AgentSession(Hello hello, std::vector<Report> pending, std::string recovery_public_pem = {});

    [[nodiscard]] AgentStep connected(SteadyMillis now);
    [[nodiscard]] AgentStep received(const OrchestratorMessage& message, SteadyMillis now);
    /// A new report: sent at once when welcomed, kept until acknowledged in any case.
    [[nodiscard]] AgentStep report(Report report, SteadyMillis now);
    [[nodiscard]] AgentStep progress(Progress progress, SteadyMillis now);
    /// An effect is durably taken.
    [[nodiscard]] AgentStep taken(const EffectId& id, SteadyMillis now);
    /// Once the effect with this head was obeyed, the witness moves forward. Returned in `persist`.
    [[nodiscard]] AgentStep obeyed(const Witness& head, SteadyMillis now);
    /// Heartbeats and the dead-peer deadline. Call at least every heartbeat_ms / 2.
    [[nodiscard]] AgentStep tick(SteadyMillis now);
    void disconnected();

    [[nodiscard]] const Witness& witness() const { return hello_.witness; }

    [[nodiscard]] bool is_welcomed() const { return welcome_.has_value(); }

    [[nodiscard]] bool wants_world() const { return welcome_ && welcome_->wants_world; }

    /// What this host holds, where the orchestrator wants to know.
    [[nodiscard]] AgentStep world(WorldFound found, SteadyMillis now);

  private:
    [[nodiscard]] AgentStep refuse(Error error);
    [[nodiscard]] AgentStep on_welcome(const Welcome& welcome);
    [[nodiscard]] AgentStep on_effect(const EffectWanted& wanted);
    [[nodiscard]] AgentStep on_withdrawn(const EffectWithdrawn& withdrawn);
    [[nodiscard]] AgentStep on_ack(const ReportAck& ack);
    /// Notes that something is sent.
    [[nodiscard]] AgentStep sent(AgentStep step, SteadyMillis now);

    Hello hello_;
    std::string recovery_public_pem_;
    std::deque<Report> pending_;
    std::optional<Welcome> welcome_;
    bool connected_ = false;
    SteadyMillis last_received_ = 0;
    SteadyMillis last_sent_ = 0;
};

}  // namespace drover::wire
