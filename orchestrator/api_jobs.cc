// Jobs: plan, act, look.
#include "orchestrator/api_call.h"
#include "orchestrator/http_json.h"
#include "orchestrator/job_json.h"

#include <boost/json/array.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

constexpr std::uint64_t history_items_max = 1000;

Error no_job(const std::string& name) {
    return Error(Errc::not_found, "job_not_found", "there is no job " + name, "nothing was changed",
                 "list the jobs with `drover job list`");
}

Error unknown_agent(const std::string& agent) {
    return Error(
        Errc::conflict, "unknown_agent", "there is no agent " + printable(agent, 63),
        "nothing was changed",
        "list the agents with `drover agent list`, or announce this one with `drover agent "
        "token`");
}

void add_version(const JobEntry& entry, HttpResponse& response) {
    response.headers["ETag"] = "\"" + std::to_string(entry.job.version) + "\"";
}

/// If-Match: "7"
Result<std::optional<std::uint32_t>> expected_version(const HttpRequest& request) {
    std::string_view text = request.header("if-match");
    if (text.empty()) return std::optional<std::uint32_t>();
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
        text = text.substr(1, text.size() - 2);
    }
    TRY(const auto version, number_in(text.empty() ? "?" : text, "If-Match", 0));
    return std::optional<std::uint32_t>(static_cast<std::uint32_t>(version));
}

json::array events_of(const eventlog::EventLog& log, const Answer& answer) {
    json::array out;
    if (answer.event_count == 0) return out;
    const auto read = log.read(answer.first_seq, [&](const eventlog::Record& record) {
        const auto fact = decode_record_fact(record);
        if (fact) out.push_back({{"seq", record.seq}, {"event", json::string(name_of(*fact))}});
        return out.size() < answer.event_count;
    });
    // The facts are durable whatever becomes of this look at them; they are shown without names
    // then.
    if (!read) out.clear();
    return out;
}

}  // namespace

void Api::create_job(const Call& call, const Respond& respond) {
    auto spec = read_job_spec(call.request.body);
    if (!spec) return respond(render(problem_of(spec.error())));
    for (const std::string& agent : {spec->source_agent, spec->target_agent}) {
        if (!is_known(parts_.core.state().registry, agent)) {
            return respond(render(problem_of(unknown_agent(agent))));
        }
    }
    const std::string name = spec->name;
    JobCommand command;
    command.job = name;
    command.command.command_id = call.command_id;
    command.command.actor = api_actor;
    command.command.wish = statemachine::Plan{std::move(*spec)};
    parts_.core.engine().submit({std::move(command), call.digest},
                                [this, name, respond](const Result<Answer>& answer) {
                                    auto response = command_answer(answer, name, 201);
                                    if (response.status == 201) {
                                        response.headers["Location"] = "/v1/jobs/" + name;
                                    }
                                    respond(std::move(response));
                                });
}

void Api::job_action(const Call& call, const Respond& respond) {
    const std::string& name = call.match.parameters[0];
    auto request = read_action(call.match.parameters[1], call.request.body);
    if (!request) return respond(render(problem_of(request.error())));
    const auto version = expected_version(call.request);
    if (!version) return respond(render(problem_of(version.error())));
    JobCommand command;
    command.job = name;
    command.command.command_id = call.command_id;
    command.command.actor = api_actor;
    command.command.reason = request->reason;
    command.command.wish = std::move(request->wish);
    command.expected_version = *version;
    if (request->dry_run) {
        auto answer = dry_run(command);
        return respond(answer ? std::move(*answer) : render(problem_of(answer.error())));
    }
    parts_.core.engine().submit({std::move(command), call.digest},
                                [this, name, respond](const Result<Answer>& answer) {
                                    respond(command_answer(answer, name, 200));
                                });
}

Result<HttpResponse> Api::dry_run(const JobCommand& command) const {
    const WallMicros now = parts_.clock.wall_micros();
    TRY(auto decision, parts_.core.engine().dry_run(command, now));
    const JobEntry* entry = parts_.core.state().find(std::get<std::string>(command.job));
    if (!entry) return no_job(std::get<std::string>(command.job));
    if (const auto* rejected = std::get_if<statemachine::Rejected>(&decision)) {
        return rejection(*rejected, entry);
    }
    json::array events;
    for (const auto& event : std::get<statemachine::Accepted>(decision).events) {
        events.push_back({{"seq", 0}, {"event", json::string(name_of(Fact(event)))}});
    }
    return json_response({{"dry_run", true},
                          {"job", job_json(parts_.core, *entry, now)},
                          {"events", std::move(events)}});
}

HttpResponse Api::rejection(const statemachine::Rejected& rejected, const JobEntry* entry) const {
    Problem problem = problem_of(rejected);
    problem.as_of_seq = parts_.core.state().seq;
    if (entry) {
        problem.job = entry->job.spec.name;
        problem.allowed_actions = allowed_names(entry->job, parts_.clock.wall_micros());
    }
    return render(problem);
}

HttpResponse Api::command_answer(const Result<Answer>& answer, const std::string& job,
                                 unsigned status) const {
    if (!answer) return render(problem_of(answer.error()));
    // By id: the name may have gone to a newer job since a repeated request was first answered.
    const JobEntry* entry = parts_.core.state().find(answer->job);
    if (answer->rejected) return rejection(*answer->rejected, entry);
    if (!entry) return render(problem_of(no_job(job)));
    json::object shown = job_json(parts_.core, *entry, parts_.clock.wall_micros());
    json::array events = events_of(parts_.core.engine().log(), *answer);
    if (status == 201) {
        shown["events"] = std::move(events);
    } else {
        shown = json::object{{"job", std::move(shown)}, {"events", std::move(events)}};
    }
    HttpResponse response = json_response(shown, status);
    add_version(*entry, response);
    return response;
}

Result<HttpResponse> Api::show_job(const Call& call) const {
    const JobEntry* entry = parts_.core.state().find(call.match.parameters[0]);
    if (!entry) return no_job(call.match.parameters[0]);
    HttpResponse response =
        json_response(job_json(parts_.core, *entry, parts_.clock.wall_micros()));
    add_version(*entry, response);
    return response;
}

HttpResponse Api::list_jobs() const {
    const WallMicros now = parts_.clock.wall_micros();
    json::array items;
    for (const auto& [name, id] : parts_.core.state().names) {
        if (const JobEntry* entry = parts_.core.state().find(id)) {
            items.push_back(job_json(parts_.core, *entry, now));
        }
    }
    // One whose plan is not legal has no name, and must be seen all the more.
    for (const auto& [id, entry] : parts_.core.state().jobs) {
        if (!entry.job.exists) items.push_back(job_json(parts_.core, entry, now));
    }
    return json_response({{"items", std::move(items)}, {"as_of_seq", parts_.core.state().seq}});
}

Result<HttpResponse> Api::job_history(const Call& call) const {
    const JobEntry* entry = parts_.core.state().find(call.match.parameters[0]);
    if (!entry) return no_job(call.match.parameters[0]);
    const auto given = [&call](const char* name) {
        const auto found = call.match.query.find(name);
        return found == call.match.query.end() ? std::string_view()
                                               : std::string_view(found->second);
    };
    TRY(const auto from, number_in(given("from"), "from", 1));
    TRY(const auto wanted, number_in(given("limit"), "limit", history_items_max));
    const std::uint64_t limit = std::min(std::max<std::uint64_t>(wanted, 1), history_items_max);
    const eventlog::StreamId stream{eventlog::StreamKind::job, entry->job.id};
    const eventlog::EventLog& log = parts_.core.engine().log();
    json::array items;
    std::optional<Error> failure;
    const std::uint64_t last = log.stream_head(stream).seq;
    const std::uint64_t first = std::max<std::uint64_t>(from, 1);
    if (first <= last) {
        TRY_VOID(log.read_stream(stream, static_cast<eventlog::StreamSeq>(first),
                                 [&](const eventlog::Record& record) {
                                     const auto fact = decode_record_fact(record);
                                     if (!fact) {
                                         failure = fact.error();
                                         return false;
                                     }
                                     items.push_back(record_json(record, *fact));
                                     return items.size() < limit;
                                 }));
    }
    if (failure) return *failure;
    const std::uint64_t next = first + items.size();
    json::object out{{"items", std::move(items)}, {"as_of_seq", parts_.core.state().seq}};
    if (next <= last) out["next_from"] = next;
    return json_response(out);
}

Result<HttpResponse> Api::job_why(const Call& call) const {
    const JobEntry* entry = parts_.core.state().find(call.match.parameters[0]);
    if (!entry) return no_job(call.match.parameters[0]);
    return json_response(why_json(parts_.core, *entry, parts_.clock.wall_micros()));
}

}  // namespace drover::orchestrator
