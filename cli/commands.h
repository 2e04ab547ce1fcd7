/// The commands that talk to a server as a signed-in operator. Each asks, prints, and returns its
/// exit code; none keeps state.
///
///   main ─► parse_command_line ─► run_command ─► Client ─► Transport
///                                     └────────► Console
#pragma once

#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/output.h"

namespace drover::cli {

struct Session {
    Client& client;
    Console& console;
};

/// Any command but login, version and help.
[[nodiscard]] ExitCode run_command(const Session& session, const Arguments& arguments);

/// `drover job watch`: polls the job; facts on stdout, progress on a terminal.
[[nodiscard]] ExitCode watch_job(const Session& session, const Arguments& arguments);

// audit.cc
[[nodiscard]] ExitCode audit_verify(const Session& session, const Arguments& arguments);
[[nodiscard]] ExitCode audit_anchor(const Session& session, const Arguments& arguments);
[[nodiscard]] ExitCode audit_export(const Session& session, const Arguments& arguments);
/// Prints the answer whole; "no" has its own exit code.
[[nodiscard]] ExitCode integrity(Console& console, const Json& answer,
                                 std::string (*render)(const Json&));

// audit_offline.cc
/// Whether these arguments of an audit command need no server and no session.
[[nodiscard]] bool is_offline_audit(const Arguments& arguments);
[[nodiscard]] ExitCode offline_audit(Console& console, const Arguments& arguments);
/// Writes the arguments' form of the export in `exported` to --out.
[[nodiscard]] Result<> write_export(const Arguments& arguments, const std::string& exported);
/// Verifies an export and prints the report.
[[nodiscard]] ExitCode verify_export_file(Console& console, const Arguments& arguments,
                                          const std::string& exported);

// past.cc
[[nodiscard]] ExitCode job_at(const Session& session, const Arguments& arguments);
[[nodiscard]] ExitCode job_diff(const Session& session, const Arguments& arguments);
[[nodiscard]] ExitCode job_what_if(const Session& session, Arguments arguments);
[[nodiscard]] ExitCode job_compare(const Session& session, const Arguments& arguments);
/// `drover replay run FILE`: needs no server and no session.
[[nodiscard]] ExitCode replay_run(Console& console, const Arguments& arguments);

/// True if this fact moves a job into this phase.
[[nodiscard]] bool enters_phase(std::string_view fact, std::string_view phase);

/// Waits until the preflight of the job is decided, and prints what it found.
[[nodiscard]] ExitCode await_preflight(const Session& session, const Arguments& arguments);

}  // namespace drover::cli
