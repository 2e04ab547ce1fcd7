#include "wire/agent_session.h"

#include "base/mutation.h"

#include <algorithm>
#include <string>

namespace drover::wire {
namespace {

constexpr const char* agent_keeps = "the agent goes on replicating under its tickets";

Error protocol_error(const std::string& detail) {
    return Error(Errc::invalid, "protocol_error", detail, agent_keeps,
                 "check that both ends run versions that belong together");
}

/// Why this orchestrator is not the one to obey; nullopt when it is.
std::optional<Error> objection(const Hello& hello, const Welcome& welcome) {
    const Witness& seen = hello.witness;
    if (welcome.version < hello.version_min || welcome.version > hello.version_max) {
        return Error(Errc::unsupported, "protocol_version",
                     "the orchestrator chose protocol version " + std::to_string(welcome.version),
                     agent_keeps, "install versions that belong together");
    }
    if (!seen.lineage.is_zero() && welcome.lineage != seen.lineage) {
        return Error(Errc::denied, "other_lineage",
                     "the orchestrator's log is not the one this agent has obeyed", agent_keeps,
                     "start the orchestrator on its own log, or replace this agent");
    }
    if (welcome.epoch < seen.epoch) {
        return Error(Errc::denied, "stale_epoch",
                     "the orchestrator has epoch " + std::to_string(welcome.epoch) +
                         ", this agent has seen " + std::to_string(seen.epoch),
                     agent_keeps, "stop the older orchestrator");
    }
    if (seen.seq == 0) return std::nullopt;
    const bool is_older = welcome.head_seq < seen.seq || welcome.hash_at_witness != seen.hash;
    if (is_older && !DROVER_MUTANT("older_log_obeyed")) {
        return Error(Errc::denied, "witness_mismatch",
                     "the orchestrator's log does not contain the command at " +
                         std::to_string(seen.seq) + " that this agent has obeyed",
                     agent_keeps, "restore the orchestrator's log from its newest copy");
    }
    return std::nullopt;
}

}  // namespace

AgentSession::AgentSession(Hello hello, std::vector<Report> pending)
    : hello_(std::move(hello)),
      pending_(pending.begin(), pending.end()) {}

AgentStep AgentSession::connected(SteadyMillis now) {
    connected_ = true;
    welcome_.reset();
    last_received_ = now;
    AgentStep step;
    step.send.emplace_back(hello_);
    return sent(std::move(step), now);
}

void AgentSession::disconnected() {
    connected_ = false;
    welcome_.reset();
}

AgentStep AgentSession::received(const OrchestratorMessage& message, SteadyMillis now) {
    if (!connected_) return {};  // What was under way when the connection was given up.
    last_received_ = now;
    AgentStep step;
    if (const auto* refused = std::get_if<Refused>(&message)) {
        disconnected();
        step.close = refused->error;
    } else if (const auto* welcome = std::get_if<Welcome>(&message)) {
        step = on_welcome(*welcome);
    } else if (!welcome_) {
        step = refuse(protocol_error("a message came before Welcome"));
    } else if (const auto* wanted = std::get_if<EffectWanted>(&message)) {
        step = on_effect(*wanted);
    } else if (const auto* withdrawn = std::get_if<EffectWithdrawn>(&message)) {
        step = on_withdrawn(*withdrawn);
    } else if (const auto* ack = std::get_if<ReportAck>(&message)) {
        step = on_ack(*ack);
    }  // A Heartbeat has done its work by arriving.
    return sent(std::move(step), now);
}

AgentStep AgentSession::on_welcome(const Welcome& welcome) {
    if (welcome_) return refuse(protocol_error("a second Welcome"));
    if (auto error = objection(hello_, welcome)) return refuse(std::move(*error));
    welcome_ = welcome;
    AgentStep step;
    step.welcomed = true;
    if (hello_.witness.lineage != welcome.lineage || hello_.witness.epoch != welcome.epoch) {
        hello_.witness.lineage = welcome.lineage;
        hello_.witness.epoch = welcome.epoch;
        step.persist = hello_.witness;
    }
    for (const Report& report : pending_) step.send.emplace_back(ReportMade{report});
    return step;
}

AgentStep AgentSession::on_effect(const EffectWanted& wanted) {
    if (wanted.epoch != welcome_->epoch || wanted.head.epoch > welcome_->epoch) {
        return refuse(protocol_error("an effect of another epoch than the session's"));
    }
    if (wanted.effect.id.lineage != welcome_->lineage || wanted.head.lineage != welcome_->lineage) {
        return refuse(protocol_error("an effect of another log than the session's"));
    }
    if (wanted.effect.agent != hello_.agent) {
        return refuse(protocol_error("an effect for another agent"));
    }
    AgentStep step;
    step.effects.push_back(wanted);
    return step;
}

AgentStep AgentSession::on_withdrawn(const EffectWithdrawn& withdrawn) {
    if (withdrawn.epoch != welcome_->epoch) {
        return refuse(protocol_error("a withdrawal of another epoch than the session's"));
    }
    if (!is_standing(withdrawn.id.kind)) {
        return refuse(protocol_error("a withdrawal of work that cannot be withdrawn"));
    }
    AgentStep step;
    step.withdrawn.push_back(withdrawn);
    return step;
}

AgentStep AgentSession::on_ack(const ReportAck& ack) {
    AgentStep step;
    const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const Report& report) {
        return report.report_id == ack.report_id;
    });
    if (found == pending_.end()) return step;  // Acknowledged before: resends may cross.
    pending_.erase(found);
    step.acknowledged.push_back(ack.report_id);
    return step;
}

AgentStep AgentSession::report(Report report, SteadyMillis now) {
    AgentStep step;
    if (welcome_) step.send.emplace_back(ReportMade{report});
    pending_.push_back(std::move(report));
    return sent(std::move(step), now);
}

AgentStep AgentSession::progress(Progress progress, SteadyMillis now) {
    AgentStep step;
    if (welcome_) step.send.emplace_back(ProgressMade{std::move(progress)});
    return sent(std::move(step), now);
}

AgentStep AgentSession::taken(const EffectId& id, SteadyMillis now) {
    AgentStep step;
    if (welcome_) step.send.emplace_back(EffectTaken{id});
    return sent(std::move(step), now);
}

AgentStep AgentSession::obeyed(const Witness& head, SteadyMillis now) {
    AgentStep step;
    Witness& witness = hello_.witness;
    const bool same_log = witness.lineage.is_zero() || head.lineage == witness.lineage;
    if (same_log && head.seq > witness.seq) {
        witness = {head.lineage, std::max(witness.epoch, head.epoch), head.seq, head.hash};
        step.persist = witness;
    }
    return sent(std::move(step), now);
}

AgentStep AgentSession::tick(SteadyMillis now) {
    if (!connected_) return {};
    const Welcome terms = welcome_.value_or(Welcome{});
    AgentStep step;
    if (now - last_received_ >= terms.dead_ms) {
        disconnected();
        step.close = Error(Errc::timed_out, "orchestrator_silent",
                           "nothing came from the orchestrator for " +
                               std::to_string(now - last_received_) + " ms",
                           agent_keeps, "the agent connects again by itself");
        return step;
    }
    // At half the agreed interval, because ticks come at intervals too.
    if (welcome_ && now - last_sent_ >= terms.heartbeat_ms / 2) step.send.emplace_back(Heartbeat{});
    return sent(std::move(step), now);
}

AgentStep AgentSession::refuse(Error error) {
    disconnected();
    AgentStep step;
    step.send.emplace_back(Refused{error});
    step.close = std::move(error);
    return step;
}

AgentStep AgentSession::sent(AgentStep step, SteadyMillis now) {
    if (!step.send.empty()) last_sent_ = now;
    return step;
}

}  // namespace drover::wire
