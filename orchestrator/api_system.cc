// The system itself: ready, events, bundle, metrics.
#include "history/time_text.h"
#include "orchestrator/api_call.h"
#include "orchestrator/job_json.h"
#include "orchestrator/metrics.h"

#include <algorithm>

#include <boost/json/array.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

constexpr std::size_t page_events_max = 200;
constexpr std::size_t page_bytes_max = 256U << 10;
constexpr std::uint32_t bundle_events_max = 200;

json::object head_json(const eventlog::EventLog& log) {
    const eventlog::Head head = log.head();
    return {{"seq", head.seq},
            {"hash", head.hash.hex()},
            {"epoch", head.epoch},
            {"lineage", uuid_text(head.lineage)}};
}

json::object bundle_history(const eventlog::EventLog& log, const JobEntry& entry) {
    const eventlog::StreamId stream{eventlog::StreamKind::job, entry.job.id};
    const eventlog::StreamSeq last = log.stream_head(stream).seq;
    const eventlog::StreamSeq first = last > bundle_events_max ? last - bundle_events_max + 1 : 1;
    json::array items;
    const auto read = log.read_stream(stream, first, [&](const eventlog::Record& record) {
        const auto fact = decode_record_fact(record);
        if (fact) items.push_back(record_json(record, *fact));
        return fact.has_value();
    });
    json::object out{{"events", std::move(items)}};
    if (!read) out["error"] = read.error().text();
    return out;
}

}  // namespace

HttpResponse Api::readyz() const {
    if (const auto& older_copy = parts_.core.sessions().older_copy())
        return render(problem_of(*older_copy));
    if (!parts_.core.engine().volume_full()) return json_response({{"status", "ok"}});
    return render(problem_of(Error(Errc::unavailable, "log_volume_full",
                                   "the event log's volume has too little free space",
                                   "running replications go on; everything acknowledged is safe",
                                   "free space; droverd resumes by itself")));
}

Result<HttpResponse> Api::events(const Call& call) const {
    const eventlog::EventLog& log = parts_.core.engine().log();
    const State& state = parts_.core.state();
    const eventlog::Seq head = log.head().seq;
    const auto query = call.match.query.find("from");
    const std::string from = query == call.match.query.end() ? "" : query->second;
    TRY(const auto wanted, number_in(from, "from", head + 1));
    TRY(const auto last_seen, number_in(call.request.header("last-event-id"), "Last-Event-ID",
                                        wanted == 0 ? 0 : wanted - 1));
    HttpResponse response;
    response.content_type = "text/event-stream";
    response.headers["Cache-Control"] = "no-store";
    response.headers["X-Accel-Buffering"] = "no";
    // A client that is ahead of us gets what comes next, not what it has never seen numbers of.
    response.stream_from = std::min(last_seen, head) + 1;
    response.stream = [&log, &state](eventlog::Seq seq) -> Result<EventPage> {
        EventPage page{"", seq};
        if (seq > log.head().seq) return page;
        std::optional<Error> failure;
        std::size_t count = 0;
        TRY_VOID(log.read(seq, [&](const eventlog::Record& record) {
            const auto fact = decode_record_fact(record);
            if (!fact) {
                failure = fact.error();
                return false;
            }
            page.text += "id: " + std::to_string(record.seq) +
                         "\ndata: " + json::serialize(feed_json(state, record, *fact)) + "\n\n";
            page.next = record.seq + 1;
            return ++count < page_events_max && page.text.size() < page_bytes_max;
        }));
        if (failure) return *failure;
        return page;
    };
    return response;
}

Result<HttpResponse> Api::support_bundle() const {
    const Core& core = parts_.core;
    const eventlog::EventLog& log = core.engine().log();
    const WallMicros now = parts_.clock.wall_micros();
    json::object settings;
    for (const auto& [name, value] : parts_.settings) settings[name] = value;
    json::array agents;
    for (const auto& [name, agent] : core.state().registry.agents) {
        agents.push_back(agent_json(core, name, agent));
    }
    json::array jobs;
    for (const auto& [id, entry] : core.state().jobs) {
        json::object job = job_json(core, entry, now);
        job["why"] = why_json(core, entry, now);
        job["history"] = bundle_history(log, entry);
        jobs.push_back(std::move(job));
    }
    return json_response({{"version", software_version},
                          {"made_at", rfc3339(now)},
                          {"settings", std::move(settings)},
                          {"head", head_json(log)},
                          {"free_bytes", log.free_bytes()},
                          {"agents", std::move(agents)},
                          {"jobs", std::move(jobs)},
                          {"metrics", metrics_text(core, parts_.anchors)}});
}

HttpResponse Api::metrics() const {
    HttpResponse response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = metrics_text(parts_.core, parts_.anchors);
    return response;
}

}  // namespace drover::orchestrator
