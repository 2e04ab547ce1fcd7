/// The conversations with all agents, without any I/O: feed it what arrived on which connection, do
/// what take_outbox() says. Turns reports into commands and acknowledges them once durable; says
/// which agents are there; keeps every agent to its own jobs.
///
///   connection ─ AgentMessage ─► OrchestratorSession ─► engine.submit(ReportReceived) ─► durable
///   ─► ReportAck dispatcher ─ Send ─► the agent's connection
///
/// Two hosts that speak under one name at the same time (a cloned machine) are both refused for
/// host_conflict_hold_ms, so that neither can act on disks that the other may hold.
#pragma once

#include "base/random.h"
#include "orchestrator/dispatcher.h"
#include "orchestrator/engine.h"
#include "orchestrator/telemetry.h"
#include "wire/orchestrator_session.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace drover::orchestrator {

using ConnectionId = std::uint64_t;

struct Outgoing {
    ConnectionId connection = 0;
    OrchestratorMessage message;
};

struct Closing {
    ConnectionId connection = 0;
    Error why;
};

/// To do in this order: send, then close.
struct Outbox {
    std::vector<Outgoing> send;
    std::vector<Closing> close;
};

/// What is known of an agent beside the durable registry.
struct Presence {
    std::optional<ConnectionId> connection;  ///< set while welcomed
    std::string address;
    WallMicros last_seen_micros = 0;
    SteadyMillis lost_ms = 0;  ///< when the last connection ended, or droverd started
    std::string alarm;         ///< why it is refused, empty when well
    std::vector<JobWorld> unknown_jobs;  ///< held there, and not in this log: it was restored
    SteadyMillis refused_until_ms = 0;
};

/// A lost connection becomes the fact AgentLost only after this time: a reconnect is not news.
constexpr SteadyMillis link_grace_ms = 4000;
constexpr SteadyMillis host_conflict_hold_ms = 60'000;
/// Reports of one connection that wait to become durable; beyond it the connection is closed, and
/// the agent sends them again later.
constexpr std::size_t reports_waiting_max = 1024;

struct SessionTiming {
    std::uint32_t heartbeat_ms = 5'000;  ///< each side sends one at least this often
    std::uint32_t dead_ms = 20'000;      ///< silence after which a side closes
};

class AgentSessions {
  public:
    AgentSessions(Engine& engine, Dispatcher& dispatcher, Telemetry& telemetry, Random& random,
                  const SessionTiming& timing, SteadyMillis started_ms,
                  std::optional<Error> older_copy = {});

    /// `agent` is the name in the verified certificate.
    void opened(ConnectionId id, const std::string& agent, const std::string& address,
                const Moment& now);
    void received(ConnectionId id, const AgentMessage& message, const Moment& now);
    /// The bytes were no message: the connection is refused and closed.
    void unreadable(ConnectionId id, const Error& why);
    void closed(ConnectionId id, const Moment& now);
    /// Heartbeats, dead peers, deferred reports, links. Call at least every second.
    void tick(const Moment& now);

    /// The newest anchor, for every agent that is here or comes.
    void announce(AnchorMade anchor);

    void send(const Send& send, const Moment& now);
    void withdraw(const Withdraw& withdraw, const Moment& now);

    /// Submits LinkChanged where a job's view of its agents is not what is so.
    void reconcile_links(const JobId& job, const Moment& now);

    [[nodiscard]] Outbox take_outbox();

    [[nodiscard]] bool is_connected(const std::string& agent) const;
    [[nodiscard]] const Presence* presence(const std::string& agent) const;
    [[nodiscard]] std::size_t connected_count() const;

    /// An agent showed that it has obeyed more than this log holds, or another log: this one is an
    /// older copy. From then on nothing is asked of anybody, no report is taken and no link becomes
    /// a fact, until droverd is started on the right one.
    [[nodiscard]] const std::optional<Error>& older_copy() const { return older_copy_; }

    /// Reports that were acknowledged without being of use.
    [[nodiscard]] std::uint64_t stale_reports() const { return stale_reports_; }

  private:
    struct Peer {
        std::string agent;
        std::string address;
        wire::OrchestratorSession session;
        std::map<Uuid, Report> waiting;  ///< submitted, not yet durable
        /// Of those, refused for now, in the order in which they came: the last report of how a
        /// copy is doing must not be overtaken by an older one.
        std::vector<Uuid> deferred;

        [[nodiscard]] bool has_deferred(const JobId& job) const;
        /// Set while the binding of its name to its host is not durable yet: nothing is sent to it
        /// and nothing taken from it before.
        std::optional<wire::OrchestratorStep> unbound;
    };

    void apply(ConnectionId id, wire::OrchestratorStep step, const Moment& now);
    void perform(ConnectionId id, const wire::OrchestratorStep& step, const Moment& now);
    /// False: refused, or held back until its name is bound to its host.
    bool admit(ConnectionId id, const wire::OrchestratorStep& step, const Moment& now);
    [[nodiscard]] Result<> check_rivals(ConnectionId id, const Hello& hello, const Moment& now);
    void describe(ConnectionId id, Describe wish);
    void bound(ConnectionId id, const Result<Answer>& answer);
    void welcome(ConnectionId id, const Hello& hello, const Moment& now);
    void take_report(ConnectionId id, const Report& report);
    void submit_report(ConnectionId id, const Report& report);
    void report_done(ConnectionId id, const Uuid& report_id, const Result<Answer>& answer);
    void defer(ConnectionId id, const Uuid& report_id);
    void take_world(const std::string& agent, const WorldFound& found);
    void submit_world(const std::string& agent, const JobEntry& entry, const JobWorld& world);
    [[nodiscard]] bool wants_world(const std::string& agent) const;
    void send_anchor(ConnectionId id);
    void note_older_copy(const std::string& agent, const Error& why);
    void take_progress(const Peer& peer, const Progress& progress, const Moment& now);
    void refuse(ConnectionId id, const Error& why);
    void leave(ConnectionId id, const Moment& now);
    [[nodiscard]] wire::LogView log_view() const;
    [[nodiscard]] bool owns(const std::string& agent, const JobId& job, Side side) const;
    /// True if the job's view of that agent is what is so.
    bool reconcile_side(const JobEntry& entry, Side side, const Moment& now);
    void tick_sessions(const Moment& now);

    Engine& engine_;
    Dispatcher& dispatcher_;
    Telemetry& telemetry_;
    Random& random_;
    SessionTiming timing_;
    SteadyMillis started_ms_;
    Moment now_;
    std::map<ConnectionId, Peer> peers_;
    std::map<std::string, Presence> presences_;
    /// When each session wants its next tick; the real time may be later than what stands here.
    std::set<std::pair<SteadyMillis, ConnectionId>> due_;
    /// Those with deferred reports.
    std::set<ConnectionId> deferring_;
    /// Jobs whose view of their agents may not be what is so. Every tick looks at them again; what
    /// can make another job such a one (an agent comes or goes, a fact of the job) adds it.
    std::set<JobId> unsettled_;
    std::optional<AnchorMade> anchor_;
    Outbox outbox_;
    std::optional<Error> older_copy_;
    std::uint64_t stale_reports_ = 0;
};

}  // namespace drover::orchestrator
