#include "orchestrator/agent_sessions.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "base/mutation.h"
#include "base/sha256.h"
#include "schemas/codec.h"
#include "statemachine/rejections.h"

#include <algorithm>
#include <utility>

namespace drover::orchestrator {

namespace {

std::string agent_context(const std::string& agent) {
    return "agent=" + agent;
}

Describe describe_wish(const Hello& hello) {
    return {{.agent = hello.agent,
             .incarnation = hello.incarnation,
             .host_identity = printable(hello.host_identity, 128),
             .software = printable(hello.software, 64),
             .roles = hello.roles,
             .capabilities = hello.capabilities}};
}

}  // namespace

AgentSessions::AgentSessions(Engine& engine, Dispatcher& dispatcher, Telemetry& telemetry,
                             Random& random, const SessionTiming& timing, SteadyMillis started_ms,
                             std::optional<Error> older_copy)
    : engine_(engine),
      dispatcher_(dispatcher),
      telemetry_(telemetry),
      random_(random),
      timing_(timing),
      started_ms_(started_ms),
      older_copy_(std::move(older_copy)) {
    for (const auto& [id, entry] : engine.state().jobs) unsettled_.insert(id);
}

void AgentSessions::opened(ConnectionId id, const std::string& agent, const std::string& address,
                           const Moment& now) {
    now_ = now;
    const auto [peer, is_new] = peers_.try_emplace(
        id, Peer{agent,
                 address,
                 wire::OrchestratorSession(agent, timing_.heartbeat_ms, timing_.dead_ms),
                 {},
                 {},
                 {}});
    if (!is_new) return;
    due_.emplace(now.steady_ms, id);
    apply(id, peer->second.session.connected(now.steady_ms), now);
}

void AgentSessions::received(ConnectionId id, const AgentMessage& message, const Moment& now) {
    now_ = now;
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;  // already closed by us
    if (peer->second.unbound) {
        refuse(id, Error(Errc::invalid, "protocol_error", "a message came before Welcome",
                         "nothing of the session was used",
                         "check that both ends run versions that belong together"));
        return;
    }
    presences_[peer->second.agent].last_seen_micros = now.wall_micros;
    wire::LogView log = log_view();
    if (std::holds_alternative<Hello>(message)) log.wants_world = wants_world(peer->second.agent);
    apply(id, peer->second.session.received(message, log, now.steady_ms), now);
}

void AgentSessions::unreadable(ConnectionId id, const Error& why) {
    if (peers_.contains(id)) refuse(id, why);
}

void AgentSessions::closed(ConnectionId id, const Moment& now) {
    now_ = now;
    leave(id, now);
}

void AgentSessions::tick(const Moment& now) {
    now_ = now;
    tick_sessions(now);
    if (older_copy_) return;
    for (const ConnectionId id : std::exchange(deferring_, {})) {
        const auto peer = peers_.find(id);
        if (peer == peers_.end()) continue;
        for (const Uuid& report_id : std::exchange(peer->second.deferred, {})) {
            submit_report(id, peer->second.waiting.at(report_id));
        }
    }
    for (const JobId& job : std::exchange(unsettled_, {})) reconcile_links(job, now);
}

void AgentSessions::tick_sessions(const Moment& now) {
    std::vector<ConnectionId> ids;
    auto next = due_.begin();
    for (; next != due_.end() && next->first <= now.steady_ms; next = due_.erase(next))
        ids.push_back(next->second);
    for (const ConnectionId id : ids) {
        const auto peer = peers_.find(id);
        if (peer == peers_.end()) continue;
        if (!peer->second.unbound) apply(id, peer->second.session.tick(now.steady_ms), now);
        const auto still = peers_.find(id);
        if (still != peers_.end()) due_.emplace(still->second.session.next_tick(), id);
    }
}

void AgentSessions::announce(AnchorMade anchor) {
    anchor_ = std::move(anchor);
    for (const auto& [agent, there] : presences_)
        if (there.connection) send_anchor(*there.connection);
}

void AgentSessions::send_anchor(ConnectionId id) {
    const auto& hello = peers_.at(id).session.hello();
    const bool keeps_anchors =
        hello && std::find(hello->capabilities.begin(), hello->capabilities.end(),
                           anchors_capability) != hello->capabilities.end();
    if (anchor_ && keeps_anchors) outbox_.send.push_back({id, *anchor_});
}

void AgentSessions::send(const Send& send, const Moment& now) {
    const Presence* there = presence(send.agent);
    if (!there || !there->connection) return;
    const auto peer = peers_.find(*there->connection);
    if (peer == peers_.end()) return;
    apply(peer->first, peer->second.session.want(send.wanted, now.steady_ms), now);
}

void AgentSessions::withdraw(const Withdraw& withdraw, const Moment& now) {
    const Presence* there = presence(withdraw.agent);
    if (!there || !there->connection) return;
    const auto peer = peers_.find(*there->connection);
    if (peer == peers_.end()) return;
    apply(peer->first, peer->second.session.withdraw(withdraw.withdrawn, now.steady_ms), now);
}

Outbox AgentSessions::take_outbox() {
    return std::exchange(outbox_, {});
}

bool AgentSessions::is_connected(const std::string& agent) const {
    const Presence* there = presence(agent);
    return there && there->connection.has_value();
}

const Presence* AgentSessions::presence(const std::string& agent) const {
    const auto found = presences_.find(agent);
    return found == presences_.end() ? nullptr : &found->second;
}

std::size_t AgentSessions::connected_count() const {
    return static_cast<std::size_t>(
        std::count_if(presences_.begin(), presences_.end(),
                      [](const auto& entry) { return entry.second.connection.has_value(); }));
}

wire::LogView AgentSessions::log_view() const {
    const eventlog::EventLog& log = engine_.log();
    const eventlog::Head head = log.head();
    return {{head.lineage, head.epoch, head.seq, head.hash},
            [&log](std::uint64_t seq) -> std::optional<Hash> {
                const auto hash = log.hash_at(seq);
                if (!hash) return std::nullopt;
                return *hash;
            },
            engine_.state().resets};
}

void AgentSessions::apply(ConnectionId id, wire::OrchestratorStep step, const Moment& now) {
    if (!step.hello || admit(id, step, now)) perform(id, step, now);
}

void AgentSessions::perform(ConnectionId id, const wire::OrchestratorStep& step,
                            const Moment& now) {
    if (!peers_.contains(id)) return;  // refused meanwhile
    for (const OrchestratorMessage& message : step.send) outbox_.send.push_back({id, message});
    if (step.hello) welcome(id, *step.hello, now);
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    for (const EffectId& effect : step.taken) dispatcher_.taken(peer->second.agent, effect);
    for (const Progress& progress : step.progress) take_progress(peer->second, progress, now);
    for (const Report& report : step.reports) {
        take_report(id, report);
        if (!peers_.contains(id)) return;  // that report closed it
    }
    if (step.world) take_world(peer->second.agent, *step.world);
    if (step.close) {
        if (step.is_older_copy) note_older_copy(peer->second.agent, *step.close);
        outbox_.close.push_back({id, *step.close});
        leave(id, now);
    }
}

bool AgentSessions::admit(ConnectionId id, const wire::OrchestratorStep& step, const Moment& now) {
    const Hello& hello = *step.hello;
    if (auto alone = check_rivals(id, hello, now); !alone) {
        refuse(id, alone.error());
        return false;
    }
    const Describe wish = describe_wish(hello);
    const Registry& registry = engine_.state().registry;
    const auto facts = decide(registry, wish, "", now.wall_micros);
    if (!facts) {
        presences_[hello.agent].alarm = facts.error().detail();
        refuse(id, facts.error());
        return false;
    }
    const bool is_bound = registry.agents.at(hello.agent).described.has_value();
    if (!is_bound) peers_.at(id).unbound = step;
    DROVER_CRASH_POINT("session.admitted");
    if (!facts->empty()) describe(id, wish);
    return is_bound;
}

/// No second host speaks under a name: both are refused, because nobody here knows which is real.
Result<> AgentSessions::check_rivals(ConnectionId id, const Hello& hello, const Moment& now) {
    Presence& there = presences_[hello.agent];
    if (DROVER_MUTANT("two_hosts_admitted")) return {};
    if (now.steady_ms < there.refused_until_ms)
        return Error(Errc::denied, "agent_suspended", there.alarm, "jobs keep their state",
                     "stop the copy of the agent and wait a minute");
    there.alarm.clear();
    if (!there.connection) return {};
    const Peer& other = peers_.at(*there.connection);
    const std::string& known = other.session.hello()->host_identity;
    if (known == hello.host_identity) {
        // The same host again: its old connection is dead and does not know it yet.
        refuse(*there.connection, Error(Errc::conflict, "agent_reconnected",
                                        "the agent connected again", "jobs keep their state"));
        return {};
    }
    there.alarm = "two hosts (" + printable(known, 64) + " at " + other.address + " and " +
                  printable(hello.host_identity, 64) + " at " + peers_.at(id).address +
                  ") speak as " + hello.agent;
    there.refused_until_ms = now.steady_ms + host_conflict_hold_ms;
    log::error("agents", there.alarm, agent_context(hello.agent));
    const Error why(Errc::denied, "agent_host_conflict", there.alarm, "jobs keep their state",
                    "stop the copy of the agent and wait a minute");
    refuse(*there.connection, why);
    return why;
}

void AgentSessions::describe(ConnectionId id, Describe wish) {
    RegistryCommand command{.command_id = random_.uuid(),
                            .actor = "agent:" + wish.description.agent,
                            .wish = std::move(wish)};
    engine_.submit({std::move(command), Hash{}},
                   [this, id](const Result<Answer>& answer) { bound(id, answer); });
}

void AgentSessions::bound(ConnectionId id, const Result<Answer>& answer) {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    const auto held = std::exchange(peer->second.unbound, std::nullopt);
    if (answer) {
        DROVER_CRASH_POINT("session.described");
        if (held) perform(id, *held, now_);
        return;
    }
    // A full volume is no reason to lose an agent that is bound; it is described at its next Hello.
    if (!held && answer.error().code() == Errc::unavailable) return;
    presences_[peer->second.agent].alarm = answer.error().detail();
    refuse(id, answer.error());
}

void AgentSessions::welcome(ConnectionId id, const Hello& hello, const Moment& now) {
    DROVER_CRASH_POINT("session.before_welcome");
    Presence& there = presences_[hello.agent];
    there.connection = id;
    there.address = peers_.at(id).address;
    there.last_seen_micros = now.wall_micros;
    log::info("agents", "connected", agent_context(hello.agent) + " address=" + there.address);
    send_anchor(id);
    dispatcher_.agent_connected(hello.agent);
    for (const JobId& job : engine_.state().jobs_with(hello.agent)) reconcile_links(job, now);
    DROVER_CRASH_POINT("session.welcomed");
}

bool AgentSessions::owns(const std::string& agent, const JobId& job, Side side) const {
    const JobEntry* entry = engine_.state().find(job);
    if (!entry) return false;
    const JobSpec& spec = entry->job.spec;
    return agent == (side == Side::source ? spec.source_agent : spec.target_agent);
}

void AgentSessions::take_report(ConnectionId id, const Report& report) {
    // The agent keeps it for the right log.
    if (older_copy_) return;
    Peer& peer = peers_.at(id);
    const EffectId& effect = report.effect;
    const JobEntry* entry = engine_.state().find(effect.job);
    if (!entry || effect.lineage != entry->job.lineage) {
        // Of a log that is not ours: nobody will ever want it.
        log::warn("agents", "dropped a report about an unknown job", agent_context(peer.agent));
        ++stale_reports_;
        apply(id, peer.session.acknowledge(report.report_id, now_.steady_ms), now_);
        return;
    }
    if (!owns(peer.agent, effect.job, effect.side)) {
        log::error("agents", "reported for a job of another agent", agent_context(peer.agent));
        refuse(id, Error(Errc::denied, "not_your_job",
                         "the report names a job side that belongs to another agent",
                         "nothing was changed", "check which host holds this agent's certificate"));
        return;
    }
    // Nobody can use it, and nobody knows that it is of no use: its agent keeps it. It takes none
    // of the room for reports of other jobs.
    if (engine_.state().find(effect.job)->illegal) return;
    if (peer.waiting.contains(report.report_id)) return;  // a repeat of one that is on its way
    if (peer.waiting.size() >= reports_waiting_max) {
        refuse(id, Error(Errc::unavailable, "too_many_reports", "too many reports wait",
                         "the agent keeps them", "none: the agent sends them again"));
        return;
    }
    DROVER_CRASH_POINT("report.received");
    peer.waiting[report.report_id] = report;
    if (DROVER_MUTANT("report_acked_early"))
        apply(id, peer.session.acknowledge(report.report_id, now_.steady_ms), now_);
    if (peer.has_deferred(effect.job))
        defer(id, report.report_id);
    else
        submit_report(id, report);
}

void AgentSessions::defer(ConnectionId id, const Uuid& report_id) {
    peers_.at(id).deferred.push_back(report_id);
    deferring_.insert(id);
}

bool AgentSessions::Peer::has_deferred(const JobId& job) const {
    return std::any_of(deferred.begin(), deferred.end(),
                       [&](const Uuid& id) { return waiting.at(id).effect.job == job; });
}

void AgentSessions::submit_report(ConnectionId id, const Report& report) {
    JobCommand command;
    command.job = report.effect.job;
    command.command.command_id = report.report_id;
    command.command.actor = "agent:" + peers_.at(id).agent;
    command.command.wish = statemachine::ReportReceived{report};
    engine_.submit({std::move(command), sha256(encode_report(report))},
                   [this, id, report_id = report.report_id](const Result<Answer>& answer) {
                       report_done(id, report_id, answer);
                   });
}

void AgentSessions::report_done(ConnectionId id, const Uuid& report_id,
                                const Result<Answer>& answer) {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    if (!answer && answer.error().id() == "idempotency_conflict") {
        refuse(id, Error(Errc::conflict, "report_conflict",
                         "a report id was used for two different reports", "nothing was changed",
                         "send a support bundle of the agent"));
        return;
    }
    const bool is_held = answer && answer->rejected &&
                         (answer->rejected->id == statemachine::rejection::quarantined ||
                          answer->rejected->id == statemachine::rejection::job_reconciling);
    if (!answer || is_held) {
        // Refused for now (volume full, quarantine, after a restore): not acknowledged, so the
        // agent keeps it, and submitted again at the next tick.
        defer(id, report_id);
        return;
    }
    if (answer->event_count == 0) ++stale_reports_;
    if (answer->rejected) {
        log::warn("agents", "a report is of no use: " + answer->rejected->detail,
                  agent_context(peer->second.agent));
    }
    DROVER_CRASH_POINT("report.before_acknowledge");
    peer->second.waiting.erase(report_id);
    apply(id, peer->second.session.acknowledge(report_id, now_.steady_ms), now_);
    DROVER_CRASH_POINT("report.acknowledged");
}

void AgentSessions::take_progress(const Peer& peer, const Progress& progress, const Moment& now) {
    if (owns(peer.agent, progress.job, progress.side)) telemetry_.record(progress, now.wall_micros);
}

void AgentSessions::refuse(ConnectionId id, const Error& why) {
    outbox_.send.push_back({id, Refused{why}});
    outbox_.close.push_back({id, why});
    leave(id, now_);
}

void AgentSessions::leave(ConnectionId id, const Moment& now) {
    const auto peer = peers_.find(id);
    if (peer == peers_.end()) return;
    const std::string agent = peer->second.agent;
    peers_.erase(peer);
    deferring_.erase(id);
    const auto there = presences_.find(agent);
    if (there == presences_.end() || there->second.connection != id) return;
    there->second.connection.reset();
    there->second.lost_ms = now.steady_ms;
    const std::set<JobId>& jobs = engine_.state().jobs_with(agent);
    unsettled_.insert(jobs.begin(), jobs.end());
    dispatcher_.agent_lost(agent);
    log::info("agents", "disconnected", agent_context(agent));
}

void AgentSessions::reconcile_links(const JobId& job, const Moment& now) {
    if (older_copy_) return;
    const JobEntry* entry = engine_.state().find(job);
    unsettled_.erase(job);
    if (!entry || entry->illegal || !entry->job.exists) return;
    if (statemachine::is_final(entry->job.phase)) return;
    const bool source_is_settled = reconcile_side(*entry, Side::source, now);
    const bool target_is_settled = reconcile_side(*entry, Side::target, now);
    if (!source_is_settled || !target_is_settled) unsettled_.insert(job);
}

bool AgentSessions::reconcile_side(const JobEntry& entry, Side side, const Moment& now) {
    const JobSpec& spec = entry.job.spec;
    const std::string& agent = side == Side::source ? spec.source_agent : spec.target_agent;
    const bool was = entry.job.agent_connected.at(static_cast<std::size_t>(side));
    const bool is = is_connected(agent);
    if (was == is) return true;
    const Presence* there = presence(agent);
    const SteadyMillis lost_ms = there && there->lost_ms != 0 ? there->lost_ms : started_ms_;
    if (!is && now.steady_ms - lost_ms < link_grace_ms) return false;
    JobCommand command;
    command.job = entry.job.id;
    command.command.command_id = random_.uuid();
    command.command.actor = "system";
    command.command.wish = statemachine::LinkChanged{side, is};
    DROVER_CRASH_POINT("session.before_link_change");
    engine_.submit({std::move(command), Hash{}}, [](const Result<Answer>& answer) {
        // Level-triggered: whatever it was, the next tick compares again.
        if (!answer) log::debug("agents", "a link change waits: " + answer.error().text());
    });
    return false;
}

}  // namespace drover::orchestrator
