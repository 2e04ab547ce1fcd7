#include "orchestrator/problem.h"

#include "base/assert.h"
#include "statemachine/rejections.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace drover::orchestrator {

namespace json = boost::json;

unsigned status_of(const Error& error) {
    if (error.id() == "version_mismatch") return 412;
    if (error.id() == "body_too_large") return 413;
    if (error.id() == "token_missing" || error.id() == "token_wrong") return 401;
    if (error.id() == "method_not_allowed") return 405;
    if (error.id() == "media_type_unsupported") return 415;
    switch (error.code()) {
        case Errc::invalid:
            return 400;
        case Errc::denied:
            return 403;
        case Errc::not_found:
            return 404;
        case Errc::conflict:
            return 409;
        case Errc::unsupported:
            return 501;
        case Errc::unavailable:
        case Errc::cancelled:
            return 503;
        case Errc::timed_out:
            return 504;
        case Errc::none:
        case Errc::corrupt:
        case Errc::io:
            return 500;
    }
    DROVER_UNREACHABLE();
}

unsigned status_of(const statemachine::Rejected& rejected) {
    namespace id = statemachine::rejection;
    if (rejected.id == id::no_such_job) return 404;
    if (rejected.id == id::plan_invalid || rejected.id == id::text_not_storable ||
        rejected.id == id::time_in_past || rejected.id == id::invalid_outage) {
        return 400;
    }
    return 409;
}

Problem problem_of(const Error& error) {
    Problem problem;
    problem.status = status_of(error);
    problem.id = error.id();
    problem.detail = error.detail();
    problem.kept = error.kept();
    problem.next = error.next();
    return problem;
}

Problem problem_of(const statemachine::Rejected& rejected) {
    Problem problem;
    problem.status = status_of(rejected);
    problem.id = rejected.id;
    problem.detail = rejected.detail;
    problem.kept = "nothing was changed";
    problem.next = rejected.next;
    return problem;
}

std::string title_of(std::string_view id) {
    std::string title(id);
    for (char& c : title) {
        if (c == '_') c = ' ';
    }
    if (!title.empty() && title.front() >= 'a' && title.front() <= 'z') {
        title.front() = static_cast<char>(title.front() - 'a' + 'A');
    }
    return title;
}

HttpResponse render(const Problem& problem) {
    json::object out;
    out["type"] = "urn:drover:error:" + problem.id;
    out["title"] = title_of(problem.id);
    out["status"] = problem.status;
    out["code"] = problem.id;
    out["detail"] = problem.detail;
    if (!problem.kept.empty()) out["kept"] = problem.kept;
    if (!problem.next.empty()) out["next"] = problem.next;
    if (!problem.job.empty()) {
        out["job"] = problem.job;
        json::array actions;
        for (const std::string& action : problem.allowed_actions) actions.emplace_back(action);
        out["allowed_actions"] = std::move(actions);
    }
    if (problem.as_of_seq != 0) out["as_of_seq"] = problem.as_of_seq;
    HttpResponse response;
    response.status = problem.status;
    response.content_type = "application/problem+json";
    response.body = json::serialize(out);
    if (problem.status == 401) response.headers["WWW-Authenticate"] = "Bearer realm=\"drover\"";
    if (problem.status == 503) response.headers["Retry-After"] = "2";
    return response;
}

}  // namespace drover::orchestrator
