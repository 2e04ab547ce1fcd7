#include "cli/commands.h"

#include "base/bytes.h"
#include "base/file.h"
#include "cli/render.h"

#include <algorithm>
#include <array>

namespace drover::cli {
namespace {

/// A job's name is checked before it becomes a part of a path.
std::optional<Failure> check_name(const std::string& name) {
    if (valid_name(name)) return std::nullopt;
    return failure_of(
        Error{Errc::invalid, "bad_name",
              "'" + printable(name, 80) + "' is not a name: 1 to 63 of a-z, 0-9 and -",
              "nothing was sent", "correct the name"});
}

std::string job_path(const Arguments& arguments) {
    return "/v1/jobs/" + arguments.name;
}

/// Prints one document got from `target`.
ExitCode show(const Session& session, const std::string& target,
              std::string (*render)(const Json&)) {
    const Reply reply = session.client.get(target);
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render(reply.body));
    if (session.console.format() == Format::text && !reply.body["as_of_seq"].is_null() &&
        reply.body["items"].is_array()) {
        session.console.note("as of seq " + reply.body["as_of_seq"].text());
    }
    return ExitCode::ok;
}

ExitCode agent_list(const Session& session, const Arguments&) {
    return show(session, "/v1/agents", render_agents);
}

/// The list has all of it; one agent is picked here.
ExitCode agent_show(const Session& session, const Arguments& arguments) {
    const Reply reply = session.client.get("/v1/agents");
    if (reply.failure) return session.console.fail(*reply.failure);
    for (const Json& agent : reply.body["items"].items()) {
        if (agent["name"].text() != arguments.name) continue;
        session.console.document(agent, render_agent(agent));
        return ExitCode::ok;
    }
    return session.console.fail(
        failure_of(Error(Errc::not_found, "agent_not_found", "there is no agent " + arguments.name,
                         "nothing was changed", "see `drover agent list`")));
}

ExitCode agent_token(const Session& session, const Arguments& arguments) {
    const std::string body =
        JsonObject{}.text("agent", arguments.name).number("ttl_s", arguments.ttl_s).str();
    const Reply reply = session.client.post({"/v1/agent-tokens", body, arguments.request_id, {}});
    if (reply.failure) return session.console.fail(*reply.failure);
    const std::string token = reply.body["token"].text();
    const std::string pin = reply.body["ca_pin"].text();
    std::string token_file = "FILE";
    if (arguments.out_file.empty()) {
        session.console.document(reply.body, token + "\n");
    } else {
        token_file = arguments.out_file;
        if (const auto saved = write_file_durably(token_file, as_bytes(token + "\n"), 0600);
            !saved) {
            return session.console.fail(failure_of(saved.error()));
        }
    }
    session.console.note("valid once, until " + reply.body["expires"].text());
    session.console.hint("on " + arguments.name +
                         ": drover-agent enroll --config /etc/drover/agent.toml --server " +
                         arguments.server + " --ca-pin " + pin + " --token-file " + token_file);
    return ExitCode::ok;
}

ExitCode job_create(const Session& session, const Arguments& arguments) {
    const Reply reply =
        session.client.post({"/v1/jobs", job_body(arguments), arguments.request_id, {}});
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render_job(reply.body));
    session.console.hint(next_step(reply.body));
    return ExitCode::ok;
}

ExitCode job_list(const Session& session, const Arguments&) {
    return show(session, "/v1/jobs", render_jobs);
}

ExitCode job_show(const Session& session, const Arguments& arguments) {
    const Reply reply = session.client.get(job_path(arguments));
    if (reply.failure) return session.console.fail(*reply.failure);
    session.console.document(reply.body, render_job(reply.body));
    session.console.hint(next_step(reply.body));
    return ExitCode::ok;
}

/// The server answers in pages; a history is shown whole.
ExitCode job_history(const Session& session, const Arguments& arguments) {
    std::string items;
    std::string next = std::to_string(std::max<std::uint64_t>(arguments.from_seq, 1));
    std::string as_of;
    while (!next.empty()) {
        const Reply page = session.client.get(job_path(arguments) + "/history?from=" + next);
        if (page.failure) return session.console.fail(*page.failure);
        for (const Json& fact : page.body["items"].items()) {
            items += (items.empty() ? "" : ",") + fact.compact();
        }
        as_of = page.body["as_of_seq"].text();
        next = page.body["next_from"].text();
    }
    JsonObject whole;
    whole.raw("items", "[" + items + "]");
    if (!as_of.empty()) whole.raw("as_of_seq", as_of);
    const auto history = Json::parse(whole.str());
    if (!history) return session.console.fail(failure_of(history.error()));
    session.console.document(*history, render_history(*history));
    return ExitCode::ok;
}

ExitCode job_why(const Session& session, const Arguments& arguments) {
    return show(session, job_path(arguments) + "/why", render_why);
}

/// Telemetry: what the target said last.
ExitCode job_points(const Session& session, const Arguments& arguments) {
    const Reply reply = session.client.get(job_path(arguments));
    if (reply.failure) return session.console.fail(*reply.failure);
    const Json target = reply.body["progress"]["target"];
    std::string items;
    for (const Json& point : target["points"].items())
        items += (items.empty() ? "" : ",") + point.compact();
    JsonObject out;
    out.text("job", arguments.name).raw("items", "[" + items + "]");
    out.number("journal_lag_bytes", target["journal_lag_bytes"].number());
    out.text("as_of", target["received_at"].text());
    const auto points = Json::parse(out.str());
    if (!points) return session.console.fail(failure_of(points.error()));
    session.console.document(*points, render_points(*points));
    if (!items.empty()) {
        session.console.hint(
            "to take a paused job's target back, on its host: drover-agent "
            "restore-point --job " +
            arguments.name + " --point POINT --confirm " + arguments.name);
    }
    return ExitCode::ok;
}

ExitCode job_action(const Session& session, const Arguments& arguments) {
    const Reply reply =
        session.client.post({job_path(arguments) + "/actions/" + arguments.action,
                             action_body(arguments), arguments.request_id, arguments.if_version});
    if (reply.failure) return session.console.fail(*reply.failure);
    const Json job = reply.body["job"];
    if (arguments.dry_run) session.console.note("dry run: allowed; nothing was changed");
    if (arguments.action == "preflight" && arguments.wait && !arguments.dry_run) {
        return await_preflight(session, arguments);
    }
    std::string text;
    for (const Json& fact : reply.body["events"].items()) text += render_fact(fact);
    session.console.document(reply.body, text + render_job(job));
    session.console.hint(next_step(job));
    return ExitCode::ok;
}

ExitCode event_tail(const Session& session, const Arguments& arguments) {
    const std::string last_id =
        arguments.from_seq == 0 ? "" : std::to_string(arguments.from_seq - 1);
    const auto failure =
        session.client.follow("/v1/events", last_id, [&session](const Json& event) {
            session.console.item(event, render_fact(event));
            return true;
        });
    return failure ? session.console.fail(*failure) : ExitCode::ok;
}

ExitCode replay_check(const Session& session, const Arguments&) {
    const Reply reply = session.client.get("/v1/replay/check");
    if (reply.failure) return session.console.fail(*reply.failure);
    return integrity(session.console, reply.body, render_replay);
}

ExitCode support_bundle(const Session& session, const Arguments& arguments) {
    const Reply reply = session.client.get("/v1/support-bundle");
    if (reply.failure) return session.console.fail(*reply.failure);
    const std::string document = reply.body.pretty() + "\n";
    if (arguments.out_file.empty()) {
        session.console.document(reply.body, document);
        return ExitCode::ok;
    }
    const auto saved = write_file_durably(arguments.out_file, as_bytes(document), 0600);
    if (!saved) return session.console.fail(failure_of(saved.error()));
    session.console.note("written to " + arguments.out_file + ", without secrets");
    return ExitCode::ok;
}

struct Command {
    std::string_view name;
    ExitCode (*run)(const Session&, const Arguments&);
    bool takes_name;
};

ExitCode what_if(const Session& session, const Arguments& arguments) {
    return job_what_if(session, arguments);
}

constexpr std::array<Command, 21> commands{{{"agent list", agent_list, false},
                                            {"agent show", agent_show, true},
                                            {"agent token", agent_token, true},
                                            {"job create", job_create, true},
                                            {"job list", job_list, false},
                                            {"job show", job_show, true},
                                            {"job history", job_history, true},
                                            {"job why", job_why, true},
                                            {"job points", job_points, true},
                                            {"job at", job_at, true},
                                            {"job diff", job_diff, true},
                                            {"job what-if", what_if, true},
                                            {"job compare", job_compare, true},
                                            {"job watch", watch_job, true},
                                            {"job action", job_action, true},
                                            {"event tail", event_tail, false},
                                            {"audit verify", audit_verify, false},
                                            {"audit anchor", audit_anchor, false},
                                            {"audit export", audit_export, false},
                                            {"replay check", replay_check, false},
                                            {"support-bundle", support_bundle, false}}};

}  // namespace

ExitCode run_command(const Session& session, const Arguments& arguments) {
    for (const Command& command : commands) {
        if (command.name != arguments.command) continue;
        if (command.takes_name) {
            if (const auto bad = check_name(arguments.name)) return session.console.fail(*bad);
        }
        return command.run(session, arguments);
    }
    return session.console.fail(failure_of(Error{
        Errc::invalid, "unknown_command", "there is no command '" + arguments.command + "'"}));
}

}  // namespace drover::cli
