#include "wire/orchestrator_session.h"

#include "base/mutation.h"

#include <algorithm>

namespace drover::wire {
namespace {

constexpr const char* stale_copy_next =
    "this orchestrator may run on an old copy of its log: stop it and start the newest copy; if "
    "there "
    "is none, accept the loss with droverd restore --from BACKUP --state NEW --accept-loss "
    "--reason "
    "TEXT --recovery-key FILE";

Error protocol_error(const std::string& detail) {
    return Error(Errc::invalid, "protocol_error", detail, "nothing of the session was used",
                 "check that both ends run versions that belong together");
}

Error stale_copy(const std::string& id, const std::string& detail) {
    return Error(Errc::conflict, id, detail, "the agent obeyed nothing of this orchestrator",
                 stale_copy_next);
}

/// How our log went on from a copy of the one with this lineage; nullptr if it did not.
const LineageReset* reset_of(const LogView& log, const Uuid& lineage) {
    const auto found =
        std::find_if(log.resets.begin(), log.resets.end(),
                     [&](const LineageReset& reset) { return reset.old_lineage == lineage; });
    return found == log.resets.end() ? nullptr : &*found;
}

/// The log's hash where it has to hold what the agent has obeyed.
std::optional<Hash> hash_to_compare(const Witness& seen, const LogView& log) {
    if (seen.seq == 0) return std::nullopt;
    if (seen.lineage == log.head.lineage) return log.hash_at(seen.seq);
    const LineageReset* const reset = reset_of(log, seen.lineage);
    if (reset == nullptr || seen.seq > reset->old_head_seq) return std::nullopt;
    return log.hash_at(seen.seq);
}

/// How our log is an older copy of what was obeyed, or no copy of it; nullopt when it is neither.
std::optional<Error> older_copy(const Witness& seen, const LogView& log) {
    const bool is_ours = seen.lineage.is_zero() || seen.lineage == log.head.lineage;
    if (!is_ours && reset_of(log, seen.lineage) == nullptr) {
        return stale_copy("other_lineage", "the agent has obeyed an orchestrator with another log");
    }
    if (is_ours && seen.seq > log.head.seq && !DROVER_MUTANT("older_log_obeyed")) {
        return stale_copy("log_behind", "the agent has obeyed a command at " +
                                            std::to_string(seen.seq) + ", our log ends at " +
                                            std::to_string(log.head.seq));
    }
    if (const auto ours = hash_to_compare(seen, log); ours && *ours != seen.hash) {
        return stale_copy("log_differs", "the agent has obeyed another command at " +
                                             std::to_string(seen.seq) + " than our log holds");
    }
    return std::nullopt;
}

/// Why this agent cannot be served, whatever our log holds; nullopt when it can.
std::optional<Error> objection(const Hello& hello, const std::string& certificate_name) {
    if (hello.agent != certificate_name) {
        return Error(Errc::denied, "agent_name_mismatch",
                     "the certificate names " + certificate_name + ", Hello names " +
                         printable(hello.agent, 63),
                     "nothing of the session was used", "enrol the agent under its own name");
    }
    if (hello.version_min > protocol_max || hello.version_max < protocol_min) {
        return Error(Errc::unsupported, "protocol_version",
                     "the agent speaks protocol versions " + std::to_string(hello.version_min) +
                         " to " + std::to_string(hello.version_max),
                     "the agent goes on replicating under its tickets",
                     "install versions that belong together");
    }
    return std::nullopt;
}

}  // namespace

OrchestratorSession::OrchestratorSession(std::string certificate_name, std::uint32_t heartbeat_ms,
                                         std::uint32_t dead_ms)
    : certificate_name_(std::move(certificate_name)),
      heartbeat_ms_(heartbeat_ms),
      dead_ms_(dead_ms) {}

OrchestratorStep OrchestratorSession::connected(SteadyMillis now) {
    connected_ = true;
    hello_.reset();
    last_received_ = now;
    last_sent_ = now;
    return {};
}

OrchestratorStep OrchestratorSession::received(const AgentMessage& message, const LogView& log,
                                               SteadyMillis now) {
    if (!connected_) return {};  // What was under way when the connection was given up.
    last_received_ = now;
    OrchestratorStep step;
    if (const auto* refused = std::get_if<Refused>(&message)) {
        connected_ = false;
        step.close = refused->error;
    } else if (const auto* hello = std::get_if<Hello>(&message)) {
        step = on_hello(*hello, log);
    } else if (!hello_) {
        step = refuse(protocol_error("a message came before Hello"));
    } else {
        step = on_message(message);
    }
    if (!step.send.empty()) last_sent_ = now;
    return step;
}

OrchestratorStep OrchestratorSession::on_hello(const Hello& hello, const LogView& log) {
    if (hello_) return refuse(protocol_error("a second Hello"));
    if (auto error = objection(hello, certificate_name_)) return refuse(std::move(*error));
    if (auto error = older_copy(hello.witness, log)) {
        OrchestratorStep step = refuse(std::move(*error));
        step.is_older_copy = true;
        return step;
    }
    const Witness& seen = hello.witness;
    // Of a copy that was started more often, perhaps by mistake; a further start of ours is above.
    if (seen.lineage == log.head.lineage && seen.epoch > log.head.epoch) {
        return refuse(stale_copy("newer_epoch", "the agent has seen epoch " +
                                                    std::to_string(seen.epoch) + ", ours is " +
                                                    std::to_string(log.head.epoch)));
    }
    hello_ = hello;
    Welcome welcome;
    welcome.version = std::min(protocol_max, hello.version_max);
    welcome.lineage = log.head.lineage;
    welcome.epoch = log.head.epoch;
    welcome.head_seq = log.head.seq;
    welcome.head_hash = log.head.hash;
    if (hello.witness.lineage == log.head.lineage)
        welcome.hash_at_witness = hash_to_compare(hello.witness, log);
    welcome.heartbeat_ms = heartbeat_ms_;
    welcome.dead_ms = dead_ms_;
    const std::size_t left_out = log.resets.size() - std::min(log.resets.size(), resets_sent_max);
    welcome.resets.assign(log.resets.begin() + static_cast<std::ptrdiff_t>(left_out),
                          log.resets.end());
    welcome.wants_world = log.wants_world;
    OrchestratorStep step;
    step.hello = hello;
    step.send.emplace_back(welcome);
    return step;
}

OrchestratorStep OrchestratorSession::on_message(const AgentMessage& message) {
    OrchestratorStep step;
    if (const auto* taken = std::get_if<EffectTaken>(&message)) {
        step.taken.push_back(taken->id);
    } else if (const auto* made = std::get_if<ReportMade>(&message)) {
        step.reports.push_back(made->report);
    } else if (const auto* progress = std::get_if<ProgressMade>(&message)) {
        step.progress.push_back(progress->progress);
    } else if (const auto* found = std::get_if<WorldFound>(&message)) {
        step.world = *found;
    }  // A Heartbeat has done its work by arriving.
    return step;
}

OrchestratorStep OrchestratorSession::want(EffectWanted effect, SteadyMillis now) {
    return sent(std::move(effect), now);
}

OrchestratorStep OrchestratorSession::withdraw(EffectWithdrawn effect, SteadyMillis now) {
    return sent(std::move(effect), now);
}

OrchestratorStep OrchestratorSession::acknowledge(const Uuid& report_id, SteadyMillis now) {
    return sent(ReportAck{report_id}, now);
}

OrchestratorStep OrchestratorSession::tick(SteadyMillis now) {
    if (!connected_) return {};
    if (now - last_received_ >= dead_ms_) {
        connected_ = false;
        OrchestratorStep step;
        step.close = Error(
            Errc::timed_out, "agent_silent",
            "nothing came from the agent for " + std::to_string(now - last_received_) + " ms",
            "replication goes on without the orchestrator", "the agent connects again by itself");
        return step;
    }
    // At half the agreed interval, because ticks come at intervals too.
    if (now - last_sent_ >= heartbeat_ms_ / 2) return sent(Heartbeat{}, now);
    return {};
}

SteadyMillis OrchestratorSession::next_tick() const {
    if (!connected_) return INT64_MAX;
    return std::min(last_received_ + dead_ms_, last_sent_ + heartbeat_ms_ / 2);
}

OrchestratorStep OrchestratorSession::refuse(Error error) {
    connected_ = false;
    OrchestratorStep step;
    step.send.emplace_back(Refused{error});
    step.close = std::move(error);
    return step;
}

OrchestratorStep OrchestratorSession::sent(OrchestratorMessage message, SteadyMillis now) {
    OrchestratorStep step;
    if (!connected_ || !hello_) return step;
    step.send.push_back(std::move(message));
    last_sent_ = now;
    return step;
}

}  // namespace drover::wire
