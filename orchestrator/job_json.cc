#include "orchestrator/job_json.h"

#include "history/time_text.h"
#include "statemachine/outstanding.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

using statemachine::Job;

json::value time_or_null(WallMicros micros) {
    if (micros == 0) return nullptr;
    return json::value(rfc3339(micros));
}

json::value hex_or_null(const Hash& hash) {
    if (hash.is_zero()) return nullptr;
    return json::value(hash.hex());
}

json::array disks_json(const Job& job) {
    json::array out;
    const auto& checked = job.preflight.at(static_cast<std::size_t>(Side::source));
    for (std::size_t i = 0; i < job.spec.disks.size(); ++i) {
        const DiskPair& pair = job.spec.disks[i];
        json::object disk{{"source", pair.source}, {"target", pair.target}};
        if (checked && i < checked->disks.size()) {
            disk["size_bytes"] = checked->disks[i].size_bytes;
            disk["tracker"] = checked->disks[i].tracker;
        }
        out.push_back(std::move(disk));
    }
    return out;
}

json::array findings_json(const Job& job) {
    json::array out;
    for (const Side side : {Side::source, Side::target}) {
        const auto& checked = job.preflight.at(static_cast<std::size_t>(side));
        if (!checked) continue;
        for (const Finding& finding : checked->findings) {
            out.push_back({{"side", to_json(name_of(side))},
                           {"severity", to_json(name_of(finding.severity))},
                           {"id", finding.id},
                           {"object", finding.object},
                           {"detail", finding.detail},
                           {"next", finding.next}});
        }
    }
    return out;
}

json::value parked_json(const Job& job) {
    if (!job.parked) return nullptr;
    const Error& error = job.parked->error;
    return json::object{{"step", to_json(name_of(job.parked->step))},
                        {"id", error.id()},
                        {"detail", error.detail()},
                        {"kept", error.kept()},
                        {"next", error.next()},
                        {"since", time_or_null(job.parked->since_micros)}};
}

json::value fence_json(const Job& job) {
    if (!job.fence) return nullptr;
    return json::object{{"token", uuid_text(job.fence->token)},
                        {"tracker_seq", job.fence->tracker_seq},
                        {"fenced_at", time_or_null(job.fence->fenced_micros)}};
}

json::value rollback_json(const Job& job) {
    if (!job.rollback) return nullptr;
    const bool is_keep = job.rollback->mode == statemachine::RollbackMode::keep;
    return json::object{{"mode", is_keep ? "keep" : "discard"},
                        {"by", job.rollback->by},
                        {"cause", job.rollback->cause},
                        {"acknowledged_loss", job.rollback->acknowledged_loss}};
}

json::array proof_json(const Job& job) {
    json::array out;
    for (const DiskProof& proof : job.proof) {
        out.push_back({{"source_root", proof.source_root.hex()},
                       {"target_root", proof.target_root.hex()},
                       {"bytes", proof.bytes}});
    }
    return out;
}

json::object hooks_json(const Job& job) {
    json::object out;
    for (const auto& [step, hook] : job.spec.hooks) out[to_json(name_of(step))] = hook;
    return out;
}

json::object sample_json(const ProgressSample& sample) {
    const Progress& progress = sample.progress;
    json::array disks;
    for (const DiskProgress& disk : progress.disks) {
        disks.push_back({{"size_bytes", disk.size_bytes},
                         {"mirrored_bytes", disk.mirrored_bytes},
                         {"backlog_bytes", disk.backlog_bytes}});
    }
    return {{"state", to_json(name_of(progress.state))},
            {"disks", std::move(disks)},
            {"bytes_changed", progress.bytes_changed},
            {"bytes_sent_mirror", progress.bytes_sent_mirror},
            {"bytes_sent_sync", progress.bytes_sent_sync},
            {"bytes_zero_skipped", progress.bytes_zero_skipped},
            {"bytes_resumed", progress.bytes_resumed},
            {"passes", progress.passes},
            {"tracker_losses", progress.tracker_losses},
            {"rate_bytes_per_s", progress.rate_bytes_per_s},
            {"bytes_written_since_activation", progress.bytes_written_since_activation},
            {"detail", progress.detail},
            {"received_at", rfc3339(sample.received_micros)}};
}

json::object progress_json(const Telemetry& telemetry, const JobId& job) {
    json::object out;
    for (const Side side : {Side::source, Side::target}) {
        if (const ProgressSample* sample = telemetry.latest(job, side)) {
            out[to_json(name_of(side))] = sample_json(*sample);
        }
    }
    return out;
}

json::array waiting_json(const Job& job) {
    json::array out;
    for (const statemachine::Waiting& waiting : statemachine::waiting_for(job)) {
        out.push_back({{"on", waiting.on_whom},
                       {"for", waiting.for_what},
                       {"since", time_or_null(waiting.since_micros)},
                       {"deadline", time_or_null(waiting.deadline_micros)}});
    }
    return out;
}

void add_actions(const JobEntry& entry, WallMicros now, json::object& out) {
    json::array allowed;
    json::array why_not;
    if (!entry.illegal) {
        for (const auto& verdict : statemachine::allowed_actions(entry.job, now)) {
            if (!verdict.why_not) {
                allowed.emplace_back(verdict.action);
                continue;
            }
            why_not.push_back({{"action", verdict.action},
                               {"id", verdict.why_not->id},
                               {"detail", verdict.why_not->detail},
                               {"next", verdict.why_not->next}});
        }
    }
    out["allowed_actions"] = std::move(allowed);
    out["why_not"] = std::move(why_not);
}

void add_cutover(const Job& job, json::object& out) {
    out["run"] = job.run;
    out["armed_at"] = job.armed ? time_or_null(job.armed->at_micros) : json::value(nullptr);
    out["outage_deadline"] = time_or_null(job.outage_deadline_micros);
    out["hold_deadline"] = time_or_null(job.hold_deadline_micros);
    out["decision_overdue"] = job.decision_overdue;
    out["activated_at"] = time_or_null(job.activated_micros);
    out["target_took_writes"] = job.target_took_writes;
    out["target_bytes_written"] = job.target_bytes_written;
    out["proof"] = proof_json(job);
    out["fence"] = fence_json(job);
    out["rollback"] = rollback_json(job);
}

json::object effect_json(const Core& core, const Effect& effect) {
    const auto told = core.dispatcher().told(effect.agent, effect.id);
    json::object out{{"kind", to_json(name_of(effect.id.kind))},
                     {"side", to_json(name_of(effect.id.side))},
                     {"agent", effect.agent},
                     {"id", effect_text(effect.id)},
                     {"taken", told == Dispatcher::Told::taken},
                     {"sent_epoch", nullptr}};
    if (told != Dispatcher::Told::no) out["sent_epoch"] = core.engine().epoch();
    return out;
}

}  // namespace

std::vector<std::string> allowed_names(const Job& job, WallMicros now) {
    std::vector<std::string> names;
    for (const auto& verdict : statemachine::allowed_actions(job, now)) {
        if (!verdict.why_not) names.push_back(verdict.action);
    }
    return names;
}

json::object job_json(const Core& core, const JobEntry& entry, WallMicros now) {
    const Job& job = entry.job;
    json::object out{{"name", job.spec.name},
                     {"id", uuid_text(job.id)},
                     {"phase", to_json(statemachine::name_of(job.phase))},
                     {"phase_since", time_or_null(job.phase_since_micros)},
                     {"data_state", to_json(name_of(job.data_state))},
                     {"data_state_since", time_or_null(job.data_state_since_micros)},
                     {"backlog_bytes", job.backlog_bytes},
                     {"paused", job.paused},
                     {"parked", parked_json(job)},
                     {"quarantined", job.quarantined.has_value() || entry.illegal.has_value()},
                     {"version", job.version},
                     {"plan_hash", hex_or_null(job.plan_hash)},
                     {"created_at", time_or_null(job.created_micros)},
                     {"source_agent", job.spec.source_agent},
                     {"target_agent", job.spec.target_agent},
                     {"disks", disks_json(job)},
                     {"findings", findings_json(job)},
                     {"hooks", hooks_json(job)},
                     {"outage_max_s", job.spec.outage_max_s},
                     {"hold_s", job.spec.hold_s},
                     {"backlog_bytes_max", job.spec.backlog_bytes_max}};
    if (job.quarantined) out["quarantine_reason"] = *job.quarantined;
    if (entry.illegal) out["quarantine_reason"] = entry.illegal->text();
    out["limits"] = json::object{{"rate_bytes_per_s", job.limits.rate_bytes_per_s}};
    add_cutover(job, out);
    const AgentSessions& sessions = core.sessions();
    out["agents"] = json::object{
        {"source", json::object{{"connected", sessions.is_connected(job.spec.source_agent)}}},
        {"target", json::object{{"connected", sessions.is_connected(job.spec.target_agent)}}}};
    out["progress"] = progress_json(core.telemetry(), job.id);
    add_actions(entry, now, out);
    out["waiting_for"] = entry.illegal ? json::array() : waiting_json(job);
    out["as_of_seq"] = core.state().seq;
    return out;
}

json::object why_json(const Core& core, const JobEntry& entry, WallMicros now) {
    const Job& job = entry.job;
    json::object out{{"job", job.spec.name}, {"phase", to_json(statemachine::name_of(job.phase))}};
    json::array outstanding;
    if (!entry.illegal) {
        for (const Effect& effect : statemachine::outstanding(job)) {
            outstanding.push_back(effect_json(core, effect));
        }
    }
    out["waiting_for"] = entry.illegal ? json::array() : waiting_json(job);
    out["outstanding"] = std::move(outstanding);
    out["parked"] = parked_json(job);
    out["last_rejection"] = nullptr;
    if (entry.last_rejection) {
        const LastRejection& last = *entry.last_rejection;
        out["last_rejection"] =
            json::object{{"seq", last.seq},        {"time", rfc3339(last.wall_micros)},
                         {"by", last.rejected.by}, {"action", last.rejected.action},
                         {"id", last.rejected.id}, {"detail", last.rejected.detail}};
    }
    add_actions(entry, now, out);
    out["as_of_seq"] = core.state().seq;
    return out;
}

json::object agent_json(const Core& core, const std::string& name, const AgentEntry& agent) {
    json::object out{{"name", name},
                     {"connected", core.sessions().is_connected(name)},
                     {"enrolled_at", time_or_null(agent.enrolled_micros)},
                     {"last_seen", nullptr},
                     {"roles", json::array()},
                     {"capabilities", json::array()},
                     {"software", ""},
                     {"host_identity", ""},
                     {"address", ""},
                     {"alarm", nullptr}};
    if (agent.described) {
        out["roles"] = texts_json(agent.described->roles);
        out["capabilities"] = texts_json(agent.described->capabilities);
        out["software"] = agent.described->software;
        out["host_identity"] = agent.described->host_identity;
    }
    if (const Presence* there = core.sessions().presence(name)) {
        out["last_seen"] = time_or_null(there->last_seen_micros);
        out["address"] = there->address;
        if (!there->alarm.empty()) out["alarm"] = there->alarm;
    }
    return out;
}

}  // namespace drover::orchestrator
