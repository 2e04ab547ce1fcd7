// The past: a job at an earlier point, what changed between two, what a command would do, where two
// jobs part, and whether all of it still leads to the live state.
#include "history/comparison.h"
#include "history/difference.h"
#include "history/job_past.h"
#include "history/job_view.h"
#include "history/replay_check.h"
#include "history/time_text.h"
#include "history/what_if.h"
#include "orchestrator/api_call.h"
#include "orchestrator/http_json.h"

#include <algorithm>

#include <boost/json/array.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

namespace {

/// A few milliseconds of replay: what everybody else waits at most.
constexpr std::size_t events_per_slice = 500;
constexpr std::size_t checks_waiting_max = 64;

Error bad_point(const std::string& name, const std::string& given) {
    return Error(Errc::invalid, "bad_point",
                 name + " is \"" + printable(given, 64) +
                     "\", which is neither a sequence number nor a time",
                 "nothing was changed",
                 "give a number from `drover job history`, or a time such as "
                 "2026-11-23T02:10:00Z");
}

/// Times hold ':' and '+', which some clients write as %3A and %2B.
std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = text[i] == '%' ? from_hex(text.substr(i + 1, 2)) : std::nullopt;
        if (byte && byte->size() == 1) {
            out += static_cast<char>(byte->front());
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// The changes from one document to another, without what only says when it was asked.
json::array differing(json::object from, json::object to) {
    return changes_json(changes(std::move(from), std::move(to)));
}

}  // namespace

struct Api::RunningCheck {
    ReplayCheck check;
    std::vector<Respond> waiting;
};

Api::Api(ApiParts parts)
    : parts_(std::move(parts)) {}

Api::~Api() = default;

Result<const JobEntry*> Api::find_job(const std::string& name) const {
    const JobEntry* entry = parts_.core.state().find(name);
    if (entry) return entry;
    return Error(Errc::not_found, "job_not_found", "there is no job " + printable(name, 63),
                 "nothing was changed", "list the jobs with `drover job list`");
}

/// Where query parameter `name` points to: a sequence number, a time, or the head if it is absent.
Result<eventlog::Seq> Api::point(const Call& call, const char* name, const JobEntry& entry) const {
    const eventlog::EventLog& log = parts_.core.engine().log();
    const auto found = call.match.query.find(name);
    if (found == call.match.query.end()) return log.head().seq;
    const std::string given = percent_decoded(found->second);
    if (is_number(given)) return number_in(given, name, 0);
    const auto time = micros_from_rfc3339(given);
    if (!time) return bad_point(name, given);
    return seq_at(log, entry, *time, parts_.clock.wall_micros());
}

Result<HttpResponse> Api::job_at(const Call& call) const {
    TRY(const JobEntry* entry, find_job(call.match.parameters[0]));
    const bool by_time = call.match.query.contains("time");
    if (by_time && call.match.query.contains("seq")) {
        return Error(Errc::invalid, "bad_point", "both seq and time were given",
                     "nothing was changed", "give one of them");
    }
    TRY(const auto seq, point(call, by_time ? "time" : "seq", *entry));
    TRY(const auto past, history::job_at(parts_.core.engine().log(), *entry, seq));
    json::object shown = job_state_json(past.entry, past.wall_micros);
    shown["as_of_seq"] = past.seq;
    shown["as_of_time"] = rfc3339(past.wall_micros);
    return json_response(shown);
}

Result<HttpResponse> Api::job_diff(const Call& call) const {
    TRY(const JobEntry* entry, find_job(call.match.parameters[0]));
    const eventlog::EventLog& log = parts_.core.engine().log();
    TRY(const auto from_seq, point(call, "from", *entry));
    TRY(const auto to_seq, point(call, "to", *entry));
    TRY(const auto from, history::job_at(log, *entry, from_seq));
    TRY(const auto to, history::job_at(log, *entry, to_seq));
    const auto point_json = [](const JobPast& past) {
        return json::object{{"seq", past.seq}, {"time", rfc3339(past.wall_micros)}};
    };
    return json_response({{"job", entry->job.spec.name},
                          {"from", point_json(from)},
                          {"to", point_json(to)},
                          {"changes", differing(job_state_json(from.entry, from.wall_micros),
                                                job_state_json(to.entry, to.wall_micros))}});
}

Result<HttpResponse> Api::what_if(const Call& call) const {
    const std::string& action = call.match.parameters[1];
    TRY(auto request, read_action(action, call.request.body.empty() ? "{}" : call.request.body));
    TRY(const JobEntry* entry, find_job(call.match.parameters[0]));
    JobCommand command;
    command.job = entry->job.id;
    command.command = {call.command_id, api_actor, request.reason, std::move(request.wish)};
    const eventlog::Head head = parts_.core.engine().log().head();
    const WallMicros now = parts_.clock.wall_micros();
    JobPast past{*entry, head.seq, std::max(now, head.wall_micros)};
    statemachine::Decision decision;
    if (call.match.query.contains("at")) {
        TRY(const auto seq, point(call, "at", *entry));
        TRY(past, history::job_at(parts_.core.engine().log(), *entry, seq));
        decision = statemachine::decide(past.entry.job, command.command,
                                        {past.wall_micros, parts_.random.uuid()});
    } else {
        TRY(decision, parts_.core.engine().dry_run(command, now));
    }
    TRY(auto shown,
        what_if_json(past.entry, {action, std::move(decision), past.seq + 1, past.wall_micros}));
    shown["as_of_seq"] = past.seq;
    return json_response(shown);
}

Result<HttpResponse> Api::job_compare(const Call& call) const {
    TRY(const JobEntry* entry, find_job(call.match.parameters[0]));
    const auto with = call.match.query.find("with");
    if (with == call.match.query.end()) {
        return Error(Errc::invalid, "bad_point", "the other job is missing", "nothing was changed",
                     "give it as ?with=JOB");
    }
    TRY(const JobEntry* other, find_job(with->second));
    TRY(auto shown, compare_jobs(parts_.core.engine().log(), *entry, *other));
    shown["as_of_seq"] = parts_.core.state().seq;
    return json_response(shown);
}

void Api::replay_check(const Respond& respond) {
    if (check_ && check_->waiting.size() >= checks_waiting_max) {
        return respond(render(problem_of(
            Error(Errc::unavailable, "too_many_checks", "many wait for the running replay check",
                  "nothing was changed", "try again when it is done"))));
    }
    if (check_) {
        // It compares with the live state at its end, so it also answers who came later.
        check_->waiting.push_back(respond);
        return;
    }
    check_ = std::make_unique<RunningCheck>(
        RunningCheck{ReplayCheck(parts_.core.engine().log(), parts_.core.state()), {respond}});
    check_slice();
}

void Api::check_slice() {
    const auto done = check_->check.advance(events_per_slice);
    if (done && !*done) return parts_.later([this] { check_slice(); });
    const HttpResponse response = done ? json_response(check_->check.compare(parts_.core.state()))
                                       : render(problem_of(done.error()));
    const auto finished = std::exchange(check_, nullptr);
    for (const Respond& respond : finished->waiting) respond(response);
}

}  // namespace drover::orchestrator
