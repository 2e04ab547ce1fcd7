/// What the command line said, and the table of a job's actions that both the parser and the
/// commands follow. Plain values.
#pragma once

#include "cli/output.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace drover::cli {

struct Arguments {
    std::string command;  ///< "job create", "agent list", ...; for an action "job action"
    std::string action;   ///< "cutover"; empty unless the command is "job action"
    std::string name;     ///< of the job or agent; of the topic for "help"

    Format format = Format::text;
    bool quiet = false;
    std::uint64_t retry_for_s = 10;

    // login, agent token
    std::string server;  ///< of the profile, when signed in
    std::string ca_pin;
    std::string token_file;
    std::uint64_t ttl_s = 900;
    std::string out_file;

    // job create
    std::string source_agent;
    std::string target_agent;
    std::vector<std::pair<std::string, std::string>> disks;
    std::vector<std::pair<std::string, std::string>> hooks;  ///< step, hook name
    std::vector<std::string> skip_free_space;                ///< source paths
    std::string comparison;
    std::optional<std::uint64_t> hold_s;
    std::optional<std::uint64_t> backlog_bytes_max;

    // actions
    std::optional<std::uint64_t> outage_max_s;
    std::optional<std::uint64_t> rate_bytes_per_s;
    std::string reason;
    std::string plan_hash;
    std::string at;
    std::string mode;
    std::string acknowledged_loss;
    std::string confirm;
    bool waive_comparison = false;
    std::string how;
    std::string serving;  ///< target, source or neither
    std::string request_id;
    std::string if_version;
    bool pause_before_activate = false;
    bool dry_run = false;
    bool wait = true;  ///< preflight: until it is decided

    // job watch, job history, event tail
    std::string until;
    std::optional<std::uint64_t> timeout_s;
    std::uint64_t from_seq = 0;

    // audit
    std::string directory;  ///< of a log, or of the state that holds one
    std::string export_file;
    std::vector<std::string> anchor_files;
    std::vector<std::string> keys;  ///< files or fingerprints
    std::string job_name;
    std::string export_format = "jsonl";

    // job at, job diff, job what-if, job compare, replay run
    std::string at_seq;
    std::string at_time;
    std::string from_point;  ///< a sequence number or a time
    std::string to_point;
    std::string other_name;
    std::string file;
    std::optional<std::uint64_t> until_seq;
};

/// The options that an action takes beside --reason, --dry-run, --request-id and --if-version.
struct ActionOptions {
    bool plan_hash = false;
    bool at = false;
    bool outage_max = false;
    bool pause_before_activate = false;
    bool mode = false;
    bool acknowledge_loss = false;
    bool confirm = false;
    bool waive_comparison = false;
    bool how = false;
    bool rate = false;
    bool serving = false;
};

struct Action {
    std::string_view name;
    std::string_view help;
    ActionOptions options;
};

[[nodiscard]] const std::vector<Action>& actions();

/// The request body of an action; members that were not given are left out.
[[nodiscard]] std::string action_body(const Arguments& arguments);

/// The request body of POST /v1/jobs.
[[nodiscard]] std::string job_body(const Arguments& arguments);

}  // namespace drover::cli
