/// Compares what should be running (outstanding(job), for every touched job) with what each
/// connected agent was told in its present connection, and returns what to tell it.
/// Level-triggered: nothing is stored, nothing is remembered as sent across a reconnect or a
/// restart, so nothing can be forgotten.
///
///   touched jobs ─► outstanding − told ─► Actions{head sync?, send, withdraw, timers due}
///
/// A step function, like the engine. Its caller performs the actions in this order: sync the log's
/// head if asked to, then send and withdraw, then submit the timers.
#pragma once

#include "orchestrator/facts.h"
#include "schemas/session.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace drover::orchestrator {

/// Signs the bytes of a ticket. Deterministic: the same ticket has the same signature, hence the
/// same effect has the same digest after a restart.
using TicketSigner = std::function<Result<Bytes>(ByteView)>;

struct Send {
    std::string agent;
    EffectWanted wanted;
};

struct Withdraw {
    std::string agent;
    EffectWithdrawn withdrawn;
};

struct Actions {
    /// The head must be durable outside the log before `send` leaves the process.
    bool sync_head = false;
    std::vector<Send> send;
    std::vector<Withdraw> withdraw;
    std::vector<EffectId> timers_due;
};

struct Moment {
    WallMicros wall_micros = 0;
    SteadyMillis steady_ms = 0;
};

/// A due timer is submitted again after this time while it is still outstanding.
constexpr SteadyMillis timer_retry_ms = 5000;

class Dispatcher {
  public:
    explicit Dispatcher(TicketSigner sign)
        : sign_(std::move(sign)) {}

    /// The agent's connection is new: it knows of nothing that was sent before.
    void agent_connected(const std::string& agent);
    void agent_lost(const std::string& agent);

    void touch(const JobId& job) { touched_.insert(job); }

    void touch_all(const State& state);

    /// The agent says that it has the effect.
    void taken(const std::string& agent, const EffectId& effect);

    /// `head` travels with every effect as the witness. Errors: those of signing.
    [[nodiscard]] Result<Actions> step(const State& state, const Witness& head, const Moment& now);

    /// When step() has to be called next although nothing is touched; nullopt: at no time.
    [[nodiscard]] std::optional<WallMicros> next_timer() const;

    enum class Told : std::uint8_t { no, sent, taken };
    [[nodiscard]] Told told(const std::string& agent, const EffectId& effect) const;

  private:
    struct Sent {
        Effect effect;  ///< before signing
        bool taken = false;
    };

    using SentEffects = std::map<EffectId, Sent>;

    struct Timer {
        EffectId effect;
        WallMicros at_micros = 0;
        SteadyMillis submitted_ms = 0;  ///< 0: not yet
    };

    Result<> reconcile(const JobEntry& entry, const Witness& head, Actions& actions);
    Result<> want(const Effect& effect, const Witness& head, Actions& actions);
    void withdraw_others(const JobEntry& entry, const std::set<EffectId>& wanted,
                         const Witness& head, Actions& actions);
    void keep_timer(const JobId& job, const std::vector<Effect>& wanted);
    void collect_due(const Moment& now, Actions& actions);

    TicketSigner sign_;
    std::map<std::string, SentEffects> connected_;
    void drop_timer(const JobId& job);

    std::map<JobId, Timer> timers_;
    std::set<std::pair<WallMicros, JobId>> due_;  ///< the timers in order of time
    std::set<JobId> touched_;
    std::set<std::string> new_agents_;
};

}  // namespace drover::orchestrator
