// What was, and what would be: a job at an earlier point, between two, under a command that is only
// tried, beside another job, and out of a file.
#include "base/bytes.h"
#include "cli/commands.h"
#include "cli/render.h"
#include "history/offline_replay.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace drover::cli {
namespace {

/// A time or number as a part of a query: only what such a value may hold is sent.
Result<std::string> point(const std::string& text) {
    const bool is_clean =
        !text.empty() && text.find_first_not_of("0123456789-:+.TZtz") == std::string::npos;
    if (is_clean) return text;
    return Error{Errc::invalid, "bad_point",
                 "'" + printable(text, 64) + "' is neither a sequence number nor a time",
                 "nothing was sent",
                 "give a number from `drover job history`, or a time such as "
                 "2026-11-23T02:10:00Z"};
}

/// "?a=1&b=2" of the points that were given.
Result<std::string> query_of(const std::vector<std::pair<std::string_view, std::string>>& points) {
    std::string query;
    for (const auto& [name, text] : points) {
        if (text.empty()) continue;
        TRY(const auto value, point(text));
        query += (query.empty() ? "?" : "&") + std::string(name) + "=" + value;
    }
    return query;
}

std::string job_path(const Arguments& arguments) {
    return "/v1/jobs/" + arguments.name;
}

}  // namespace

ExitCode job_at(const Session& session, const Arguments& arguments) {
    const auto query = query_of({{"seq", arguments.at_seq}, {"time", arguments.at_time}});
    if (!query) return session.console.fail(failure_of(query.error()));
    const Reply reply = session.client.get(job_path(arguments) + "/at" + *query);
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render_job(reply.body));
    session.console.note("as it was at seq " + reply.body["as_of_seq"].text() + ", " +
                         reply.body["as_of_time"].text());
    return ExitCode::ok;
}

ExitCode job_diff(const Session& session, const Arguments& arguments) {
    const auto query = query_of({{"from", arguments.from_point}, {"to", arguments.to_point}});
    if (!query) return session.console.fail(failure_of(query.error()));
    const Reply reply = session.client.get(job_path(arguments) + "/diff" + *query);
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render_diff(reply.body));
    return ExitCode::ok;
}

ExitCode job_what_if(const Session& session, Arguments arguments) {
    const auto query = query_of({{"at", arguments.at_seq}});
    if (!query) return session.console.fail(failure_of(query.error()));
    // What a person would type anyway, so that only the state decides.
    if (arguments.confirm.empty()) arguments.confirm = arguments.name;
    if (arguments.reason.empty()) arguments.reason = "what if";
    const Reply reply =
        session.client.post({job_path(arguments) + "/what-if/" + arguments.action + *query,
                             action_body(arguments),
                             arguments.request_id,
                             {}});
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render_what_if(reply.body));
    session.console.note("nothing was changed");
    return reply.body["accepted"].truth() ? ExitCode::ok : ExitCode::refused;
}

ExitCode job_compare(const Session& session, const Arguments& arguments) {
    if (!valid_name(arguments.other_name)) {
        return session.console.fail(
            failure_of(Error{Errc::invalid, "bad_name",
                             "'" + printable(arguments.other_name, 80) +
                                 "' is not a name: 1 to 63 of a-z, 0-9 and -",
                             "nothing was sent", "correct the name"}));
    }
    const Reply reply =
        session.client.get(job_path(arguments) + "/compare?with=" + arguments.other_name);
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render_compare(reply.body));
    return ExitCode::ok;
}

ExitCode replay_run(Console& console, const Arguments& arguments) {
    const auto answer = history::replay_export(arguments.file, arguments.until_seq);
    if (!answer) return console.fail(failure_of(answer.error()));
    const auto document = Json::parse(boost::json::serialize(*answer));
    if (!document) return console.fail(failure_of(document.error()));
    console.document(*document, render_run(*document));
    if ((*document)["ok"].truth()) return ExitCode::ok;
    console.hint("drover audit verify --export " + arguments.file);
    return ExitCode::integrity;
}

}  // namespace drover::cli
