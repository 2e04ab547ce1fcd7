/// The orchestrator's half of one agent session, without any I/O.
///
/// Rules it keeps: the first message must be a Hello whose agent name equals the certificate's; an
/// agent that remembers a higher epoch or another lineage than ours, or a position beyond our log, is
/// told so and refused (we are the stale copy); silence beyond dead_ms closes.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "schemas/session.h"

namespace drover::wire {

struct OrchestratorStep {
    std::vector<OrchestratorMessage> send;
    std::optional<Hello> hello;          ///< set in the step that accepted it
    std::vector<Report> reports;         ///< to submit; acknowledge() each once durable
    std::vector<EffectId> taken;
    std::vector<Progress> progress;
    std::optional<WorldFound> world;
    std::optional<Error> close;
    bool is_older_copy = false;  ///< with close: what the agent obeyed is not in our log
};

/// What the session needs to know of our log when a Hello arrives.
struct LogView {
    Witness head;
    /// The chain hash at a position; nullopt beyond the end.
    std::function<std::optional<Hash>(std::uint64_t seq)> hash_at;
    /// How our log came to its lineage, oldest first.
    std::span<const LineageReset> resets = {};
    bool wants_world = false;  ///< for the answer to a Hello
};

class OrchestratorSession {
  public:
    /// `certificate_name`: agent name taken from the verified certificate.
    explicit OrchestratorSession(std::string certificate_name, std::uint32_t heartbeat_ms = 5000,
                                 std::uint32_t dead_ms = 20000);

    [[nodiscard]] OrchestratorStep connected(SteadyMillis now);
    [[nodiscard]] OrchestratorStep received(const AgentMessage& message, const LogView& log,
                                            SteadyMillis now);
    [[nodiscard]] OrchestratorStep want(EffectWanted effect, SteadyMillis now);
    [[nodiscard]] OrchestratorStep withdraw(EffectWithdrawn effect, SteadyMillis now);
    [[nodiscard]] OrchestratorStep acknowledge(const Uuid& report_id, SteadyMillis now);
    [[nodiscard]] OrchestratorStep tick(SteadyMillis now);
    /// Until then tick() does nothing.
    [[nodiscard]] SteadyMillis next_tick() const;

    [[nodiscard]] const std::optional<Hello>& hello() const { return hello_; }

  private:
    [[nodiscard]] OrchestratorStep refuse(Error error);
    [[nodiscard]] OrchestratorStep on_hello(const Hello& hello, const LogView& log);
    [[nodiscard]] OrchestratorStep on_message(const AgentMessage& message);
    /// Sends `message` if the agent was accepted; otherwise nothing.
    [[nodiscard]] OrchestratorStep sent(OrchestratorMessage message, SteadyMillis now);

    std::string certificate_name_;
    std::uint32_t heartbeat_ms_;
    std::uint32_t dead_ms_;
    std::optional<Hello> hello_;
    bool connected_ = false;
    SteadyMillis last_received_ = 0;
    SteadyMillis last_sent_ = 0;
};

}  // namespace drover::wire
