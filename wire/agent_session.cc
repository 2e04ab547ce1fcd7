#include "wire/agent_session.h"

#include "base/mutation.h"
#include "wire/pki.h"

#include <algorithm>
#include <string>

namespace drover::wire {
namespace {

constexpr const char* agent_keeps = "the agent goes on replicating under its tickets";

Error protocol_error(const std::string& detail) {
    return Error(Errc::invalid, "protocol_error", detail, agent_keeps,
                 "check that both ends run versions that belong together");
}

Error other_lineage(const Witness& seen, const Welcome& welcome, const std::string& why) {
    return Error(
        Errc::denied, "other_lineage",
        "the orchestrator's log is of lineage " + uuid_text(welcome.lineage) +
            ", this agent has obeyed " + uuid_text(seen.lineage) + "; " + why,
        "every fence and everything that was copied; nothing of that log is obeyed",
        "start the orchestrator on its own log; if it was restored with a loss that you "
        "accept, stop this agent and run, as root, drover-agent accept-restore --lineage " +
            uuid_text(welcome.lineage));
}

/// Why the restored log is not the successor of the one that was obeyed; nullopt when it is. The
/// signature alone is not enough: an old reset, or one of another log, is signed just as well.
std::optional<Error> reset_objection(const Witness& seen, const Welcome& welcome,
                                     const std::string& recovery_public_pem) {
    const std::vector<LineageReset>& resets = welcome.resets;
    const auto first = std::find_if(resets.begin(), resets.end(), [&](const LineageReset& reset) {
        return reset.old_lineage == seen.lineage;
    });
    if (first == resets.end())
        return other_lineage(seen, welcome, "it shows no reset that begins there");
    if (first->new_epoch <= seen.epoch && !DROVER_MUTANT("reset_epoch_ignored"))
        return Error(Errc::denied, "restore_epoch_too_low",
                     "the restored log began in epoch " + std::to_string(first->new_epoch) +
                         ", this agent has seen " + std::to_string(seen.epoch),
                     "every fence and everything that was copied; nothing of that log is obeyed",
                     "restore again with --known-epoch " + std::to_string(seen.epoch));
    Uuid lineage = seen.lineage;
    for (auto reset = first; reset != resets.end(); ++reset) {
        if (reset->old_lineage != lineage)
            return other_lineage(seen, welcome, "its resets do not follow one another");
        lineage = reset->new_lineage;
        const bool is_signed =
            !recovery_public_pem.empty() &&
            verify_signature(recovery_public_pem, lineage_reset_message(*reset), reset->signature)
                .has_value();
        if (!is_signed && !DROVER_MUTANT("unsigned_reset_accepted"))
            return other_lineage(seen, welcome,
                                 "its reset is not signed with the recovery key of the enrolment");
    }
    if (lineage != welcome.lineage)
        return other_lineage(seen, welcome, "its resets lead to another lineage");
    return std::nullopt;
}

/// Why this orchestrator is not the one to obey; nullopt when it is.
std::optional<Error> objection(const Hello& hello, const Welcome& welcome,
                               const std::string& recovery_public_pem) {
    const Witness& seen = hello.witness;
    if (welcome.version < hello.version_min || welcome.version > hello.version_max) {
        return Error(Errc::unsupported, "protocol_version",
                     "the orchestrator chose protocol version " + std::to_string(welcome.version),
                     agent_keeps, "install versions that belong together");
    }
    const bool is_other = !seen.lineage.is_zero() && welcome.lineage != seen.lineage;
    if (is_other) {
        if (auto error = reset_objection(seen, welcome, recovery_public_pem)) return error;
    }
    if (welcome.epoch < seen.epoch) {
        return Error(Errc::denied, "stale_epoch",
                     "the orchestrator has epoch " + std::to_string(welcome.epoch) +
                         ", this agent has seen " + std::to_string(seen.epoch),
                     agent_keeps, "stop the older orchestrator");
    }
    // The events after the copy are lost: the agent's own may be among them.
    if (seen.seq == 0 || is_other) return std::nullopt;
    const bool is_older = welcome.head_seq < seen.seq || welcome.hash_at_witness != seen.hash;
    if (is_older && !DROVER_MUTANT("older_log_obeyed")) {
        return Error(Errc::denied, "witness_mismatch",
                     "the orchestrator's log does not contain the command at " +
                         std::to_string(seen.seq) + " that this agent has obeyed",
                     agent_keeps, "restore the orchestrator's log from its newest copy");
    }
    return std::nullopt;
}

/// Work of a job is named by the lineage in which the job was planned.
bool is_of_log(const Welcome& welcome, const Uuid& lineage) {
    return lineage == welcome.lineage ||
           std::any_of(welcome.resets.begin(), welcome.resets.end(),
                       [&](const LineageReset& reset) { return reset.old_lineage == lineage; });
}

}  // namespace

AgentSession::AgentSession(Hello hello, std::vector<Report> pending,
                           std::string recovery_public_pem)
    : hello_(std::move(hello)),
      recovery_public_pem_(std::move(recovery_public_pem)),
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
    } else if (const auto* made = std::get_if<AnchorMade>(&message)) {
        // Of the log that was welcomed, and of no other.
        if (made->lineage == welcome_->lineage) step.anchors.push_back(*made);
    }  // A Heartbeat has done its work by arriving.
    return sent(std::move(step), now);
}

AgentStep AgentSession::on_welcome(const Welcome& welcome) {
    if (welcome_) return refuse(protocol_error("a second Welcome"));
    if (auto error = objection(hello_, welcome, recovery_public_pem_))
        return refuse(std::move(*error));
    welcome_ = welcome;
    AgentStep step;
    step.welcomed = true;
    step.wants_world = welcome.wants_world;
    const bool is_restored =
        !hello_.witness.lineage.is_zero() && hello_.witness.lineage != welcome.lineage;
    if (is_restored) {
        // From here on this log counts, and it must not become shorter again.
        hello_.witness = {welcome.lineage, welcome.epoch, welcome.head_seq, welcome.head_hash};
        step.persist = hello_.witness;
    } else if (hello_.witness.lineage != welcome.lineage || hello_.witness.epoch != welcome.epoch) {
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
    if (!is_of_log(*welcome_, wanted.effect.id.lineage) ||
        wanted.head.lineage != welcome_->lineage) {
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

AgentStep AgentSession::world(WorldFound found, SteadyMillis now) {
    AgentStep step;
    if (wants_world()) step.send.emplace_back(std::move(found));
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
