#include "orchestrator/job_json.h"

#include "history/job_view.h"
#include "history/time_text.h"
#include "orchestrator/quarantine_json.h"
#include "statemachine/outstanding.h"
#include "statemachine/reconcile.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

using statemachine::Job;

json::object sample_json(const ProgressSample& sample) {
    const Progress& progress = sample.progress;
    json::array points;
    for (const PointMark& point : progress.points)
        points.push_back({{"point", point.batch},
                          {"taken_at", rfc3339(point.taken_micros)},
                          {"kind", to_json(name_of(point.kind))}});
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
            {"bytes_unverified", progress.bytes_unverified},
            {"bytes_read_back", progress.bytes_read_back},
            {"bytes_differed", progress.bytes_differed},
            {"walk_rounds", progress.walk_rounds},
            {"walk_alarms", progress.walk_alarms},
            {"journal_lag_bytes", progress.journal_lag_bytes},
            {"points", std::move(points)},
            {"bytes_on_wire", progress.bytes_on_wire},
            {"bytes_skipped", progress.bytes_skipped},
            {"bytes_compared", progress.bytes_compared},
            {"journal_used_bytes", progress.journal_used_bytes},
            {"journal_budget_bytes", progress.journal_budget_bytes},
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

json::object world_json(const JobWorld& world) {
    json::object out{{"job", uuid_text(world.job)},
                     {"name", world.job_name},
                     {"side", to_json(name_of(world.side))},
                     {"last_seq", world.last_seq},
                     {"busy", world.busy},
                     {"closed", world.closed},
                     {"fence", nullptr},
                     {"handover", to_json(name_of(world.handover))},
                     {"handover_token", nullptr},
                     {"breached", world.breached}};
    if (!world.fence.is_zero()) out["fence"] = world.fence.hex();
    if (!world.handover_token.is_zero()) out["handover_token"] = world.handover_token.hex();
    return out;
}

json::value reconciling_json(const Job& job) {
    if (!job.reconciling) return nullptr;
    json::object out{{"since", time_or_null(job.reconciling->since_micros)},
                     {"log_knows_seq", job.reconciling->old_head_seq}};
    for (const Side side : {Side::source, Side::target}) {
        const auto& world = job.reconciling->worlds.at(static_cast<std::size_t>(side));
        out[to_json(name_of(side))] = world ? json::value(world_json(*world)) : json::value();
    }
    json::array found;
    for (const statemachine::Difference& difference : statemachine::differences(job))
        found.push_back({{"side", to_json(name_of(difference.side))},
                         {"id", difference.id},
                         {"detail", difference.detail}});
    out["differences"] = std::move(found);
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
    json::object out = job_state_json(entry, now);
    // Without a legal plan there is no name; the id finds it as well.
    if (job.spec.name.empty()) out["name"] = uuid_text(job.id);
    out["quarantine"] = quarantine_json(core, entry);
    const AgentSessions& sessions = core.sessions();
    out["agents"] = json::object{
        {"source", json::object{{"connected", sessions.is_connected(job.spec.source_agent)}}},
        {"target", json::object{{"connected", sessions.is_connected(job.spec.target_agent)}}}};
    out["progress"] = progress_json(core.telemetry(), job.id);
    out["reconciling"] = reconciling_json(job);
    out["as_of_seq"] = core.state().seq;
    return out;
}

json::object why_json(const Core& core, const JobEntry& entry, WallMicros now) {
    const Job& job = entry.job;
    const std::string name = job.spec.name.empty() ? uuid_text(job.id) : job.spec.name;
    json::object out{{"job", name}, {"phase", to_json(statemachine::name_of(job.phase))}};
    json::array outstanding;
    if (!entry.illegal) {
        for (const Effect& effect : statemachine::outstanding(job)) {
            outstanding.push_back(effect_json(core, effect));
        }
    }
    out["quarantine"] = quarantine_json(core, entry);
    out["waiting_for"] = waiting_json(entry);
    out["outstanding"] = std::move(outstanding);
    out["parked"] = parked_json(job);
    out["last_rejection"] = rejection_json(entry);
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
    json::array unknown;
    if (const Presence* there = core.sessions().presence(name)) {
        for (const JobWorld& world : there->unknown_jobs) unknown.push_back(world_json(world));
        out["last_seen"] = time_or_null(there->last_seen_micros);
        out["address"] = there->address;
        if (!there->alarm.empty()) out["alarm"] = there->alarm;
    }
    if (!unknown.empty() && out["alarm"].is_null())
        out["alarm"] = "holds " + std::to_string(unknown.size()) +
                       " job(s) that this log does not know; see drover agent show " + name;
    out["unknown_jobs"] = std::move(unknown);
    return out;
}

}  // namespace drover::orchestrator
