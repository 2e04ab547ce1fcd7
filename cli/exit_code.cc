#include "cli/exit_code.h"

#include <array>
#include <cstdio>

namespace drover::cli {
namespace {

struct Row {
    ExitCode code;
    const char* meaning;
};

constexpr std::array<Row, 12> rows{
    {{ExitCode::ok, "done"},
     {ExitCode::failure, "failure that has no code of its own"},
     {ExitCode::usage, "usage: the command line or the request is wrong; nothing was changed"},
     {ExitCode::not_allowed, "not signed in, or not allowed"},
     {ExitCode::not_found, "there is no such job, agent or file"},
     {ExitCode::refused, "refused by the present state; nothing was changed"},
     {ExitCode::preflight_critical, "preflight found something critical"},
     {ExitCode::ended_otherwise, "the awaited job ended in another final phase"},
     {ExitCode::unreachable, "the server or an agent cannot be reached; safe to retry"},
     {ExitCode::integrity, "integrity: the hash chain, a replay or a comparison does not match"},
     {ExitCode::timeout, "the given --timeout passed; the job goes on"},
     {ExitCode::interrupted, "interrupted by the user; the job goes on"}}};

}  // namespace

ExitCode exit_code_of(unsigned status, std::string_view problem_code) {
    if (problem_code == "preflight_critical") return ExitCode::preflight_critical;
    switch (status) {
        case 400:
        case 405:
        case 413:
        case 415:
        case 422:
            return ExitCode::usage;
        case 401:
        case 403:
            return ExitCode::not_allowed;
        case 404:
            return ExitCode::not_found;
        case 409:
        case 412:
            return ExitCode::refused;
        case 408:
        case 429:
        case 502:
        case 503:
        case 504:
            return ExitCode::unreachable;
        // Any other status is a number from outside that we know nothing about.
        default:
            return status < 400 ? ExitCode::ok : ExitCode::failure;
    }
}

std::string exit_code_help() {
    std::string out = "Exit codes of drover, droverd and drover-agent:\n";
    for (const Row& row : rows) {
        std::array<char, 16> number{};
        std::snprintf(number.data(), number.size(), "  %3d  ", static_cast<int>(row.code));
        out += number.data();
        out += row.meaning;
        out += '\n';
    }
    return out + "New codes may come; treat an unknown one as a failure.\n";
}

}  // namespace drover::cli
