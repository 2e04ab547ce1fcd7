#include "history/job_view.h"

#include "history/certificate.h"
#include "history/fact_json.h"
#include "history/time_text.h"
#include "statemachine/decide.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace drover::history {

namespace json = boost::json;

namespace {

using statemachine::Job;

json::value hex_or_null(const Hash& hash) {
    if (hash.is_zero()) return nullptr;
    return json::value(hash.hex());
}

json::array disks_json(const Job& job) {
    json::array out;
    const auto& checked = job.preflight.at(static_cast<std::size_t>(Side::source));
    for (std::size_t i = 0; i < job.spec.disks.size(); ++i) {
        const DiskPair& pair = job.spec.disks[i];
        json::object disk{{"source", pair.source},
                          {"target", pair.target},
                          {"skip_free_space", pair.skip_free_space}};
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

json::value test_json(const Job& job) {
    if (!job.test) return nullptr;
    json::array disks;
    for (const std::string& path : job.test->disks) disks.emplace_back(path);
    return json::object{{"point", job.test->point},
                        {"kind", to_json(name_of(job.test->point_kind))},
                        {"taken_at", time_or_null(job.test->taken_micros)},
                        {"overlay", job.test->overlay},
                        {"disks", std::move(disks)},
                        {"reverting", job.test_reverting}};
}

json::object hooks_json(const Job& job) {
    json::object out;
    for (const auto& [step, hook] : job.spec.hooks) out[to_json(name_of(step))] = hook;
    return out;
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
    out["certificate"] = certificate_json(job);
    out["test"] = test_json(job);
    out["changes_known"] = job.changes_known;
    out["target_changed_bytes"] = job.target_changed_bytes;
}

}  // namespace

json::value time_or_null(WallMicros micros) {
    if (micros == 0) return nullptr;
    return json::value(rfc3339(micros));
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

json::array waiting_json(const JobEntry& entry) {
    json::array out;
    if (entry.illegal) return out;
    for (const statemachine::Waiting& waiting : statemachine::waiting_for(entry.job)) {
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

json::value rejection_json(const JobEntry& entry) {
    if (!entry.last_rejection) return nullptr;
    const LastRejection& last = *entry.last_rejection;
    return json::object{{"seq", last.seq},        {"time", rfc3339(last.wall_micros)},
                        {"by", last.rejected.by}, {"action", last.rejected.action},
                        {"id", last.rejected.id}, {"detail", last.rejected.detail}};
}

json::object job_state_json(const JobEntry& entry, WallMicros now) {
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
                     {"backlog_bytes_max", job.spec.backlog_bytes_max},
                     {"comparison", to_json(name_of(job.spec.comparison))}};
    if (job.quarantined) out["quarantine_reason"] = *job.quarantined;
    if (entry.illegal) out["quarantine_reason"] = entry.illegal->text();
    out["limits"] = json::object{{"rate_bytes_per_s", job.limits.rate_bytes_per_s}};
    add_cutover(job, out);
    add_actions(entry, now, out);
    out["waiting_for"] = waiting_json(entry);
    return out;
}

}  // namespace drover::history
