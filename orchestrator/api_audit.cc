// The audit trail: is the log what was anchored, anchors on demand, exports.
#include "eventlog/audit.h"
#include "history/log_export.h"
#include "history/time_text.h"
#include "orchestrator/anchors.h"
#include "orchestrator/api_call.h"

#include <boost/json/array.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

/// A few milliseconds of reading: what everybody else waits at most.
constexpr std::size_t events_per_slice = 500;

json::value copy_json(const Anchors& anchors) {
    if (anchors.copy() == nullptr) return nullptr;
    const AnchorCopy::Status status = anchors.copy()->status();
    json::object out{{"path", anchors.copy()->path().string()}, {"current", status.is_current}};
    if (status.alarm) out["alarm"] = status.alarm->text();
    return out;
}

json::object anchors_json(const Anchors& anchors, const eventlog::AnchorReport& report) {
    json::object out{{"key", key_fingerprint(anchors.seed().public_key()).hex()},
                     {"count", report.covers.size()},
                     {"covered_to", report.covered_to},
                     {"copy", copy_json(anchors)}};
    if (anchors.alarm()) out["alarm"] = anchors.alarm()->text();
    return out;
}

json::object report_json(const eventlog::AuditReport& report, const Anchors* anchors) {
    json::array findings;
    for (const eventlog::Finding& finding : report.findings)
        findings.push_back({{"id", finding.id}, {"seq", finding.seq}, {"detail", finding.detail}});
    json::value first_bad = nullptr;
    if (!findings.empty()) first_bad = findings.front();
    json::object out{{"ok", report.whole()},
                     {"events", report.events},
                     {"streams", report.streams},
                     {"head",
                      {{"seq", report.last_seq},
                       {"hash", report.head_hash.hex()},
                       {"epoch", report.epoch},
                       {"lineage", uuid_text(report.lineage)}}},
                     {"first_bad", std::move(first_bad)},
                     {"findings", std::move(findings)}};
    out["anchors"] = anchors != nullptr ? json::value(anchors_json(*anchors, report.anchors))
                                        : json::value(nullptr);
    return out;
}

eventlog::KnownAnchors known_of(const Anchors* anchors) {
    eventlog::KnownAnchors known;
    if (anchors != nullptr) known.sources.push_back({"this server", anchors->all()});
    return known;
}

}  // namespace

/// Looks at a slice of the log, lets everybody else have a turn, and goes on.
void Api::audit_slice(const std::shared_ptr<eventlog::LogAudit>& audit, const Respond& respond) {
    const auto done = audit->step(events_per_slice);
    if (!done) return respond(render(problem_of(done.error())));
    if (*done) return respond(json_response(report_json(audit->report(), parts_.anchors)));
    parts_.later([this, audit, respond] { audit_slice(audit, respond); });
}

void Api::audit_verify(const Respond& respond) {
    // Shared with the slices that are still to come, one at a time.
    const auto audit =
        std::make_shared<eventlog::LogAudit>(parts_.core.engine().log(), known_of(parts_.anchors));
    audit_slice(audit, respond);
}

Result<> Api::anchor_now() const {
    if (parts_.anchors != nullptr)
        return parts_.anchors->make_now({parts_.clock.wall_micros(), parts_.clock.steady_ms()});
    return Error(Errc::unavailable, "anchors_off", "this server keeps no anchors",
                 "nothing was changed", "ask a server that was set up with droverd init");
}

Result<HttpResponse> Api::audit_anchor() const {
    TRY_VOID(anchor_now());
    const Anchors& anchors = *parts_.anchors;
    // There is at least the fact that this server started.
    const eventlog::Anchor& last = anchors.all().back();
    return json_response({{"first_seq", last.first_seq},
                          {"last_seq", last.last_seq},
                          {"last_hash", last.last_hash.hex()},
                          {"digest", anchor_digest(last).hex()},
                          {"time", history::rfc3339(last.wall_micros)},
                          {"key", key_fingerprint(last.key).hex()},
                          {"count", anchors.all().size()},
                          {"copy", copy_json(anchors)}});
}

Result<HttpResponse> Api::audit_export(const Call& call) const {
    history::ExportOrder order;
    order.software = software_version;
    order.wall_micros = parts_.clock.wall_micros();
    if (const auto job = call.match.query.find("job"); job != call.match.query.end()) {
        TRY(const JobEntry* entry, find_job(job->second));
        order.job = entry->job.id;
        order.job_name = entry->job.spec.name;
    }
    TRY_VOID(anchor_now());
    TRY(auto made, history::LogExport::start(parts_.core.engine().log(), parts_.anchors->all(),
                                             parts_.anchors->seed(), std::move(order)));
    HttpResponse response;
    response.content_type = "application/x-ndjson";
    // Shared only because a std::function has to be copyable.
    const auto shared = std::make_shared<history::LogExport>(std::move(made));
    response.parts = [shared]() -> Result<BodyPart> {
        TRY(auto page, shared->next());
        return BodyPart{std::move(page.text), page.is_last};
    };
    return response;
}

}  // namespace drover::orchestrator
