#include "cli/command_line.h"

#include "base/bytes.h"
#include "cli/units.h"

#include <algorithm>
#include <numeric>

#include <CLI/CLI.hpp>

namespace drover::cli {
namespace {

constexpr std::size_t near_distance_max = 2;

/// The tree of commands while it is built; the options write into `arguments`.
struct Builder {
    CLI::App& app;
    Arguments& arguments;
};

template <class Parse>
CLI::Option* add_unit(CLI::App* app, const std::string& flag, const std::string& help, Parse parse,
                      const std::function<void(std::uint64_t)>& set) {
    return app
        ->add_option_function<std::string>(
            flag,
            [parse, set](const std::string& text) {
                if (const auto value = parse(text)) set(*value);
            },
            help)
        ->check(CLI::Validator(
            [parse](const std::string& text) {
                const auto value = parse(text);
                return value ? std::string{} : value.error().detail();
            },
            ""));
}

void add_size(CLI::App* app, const std::string& flag, const std::string& help,
              std::optional<std::uint64_t>& value) {
    add_unit(app, flag, help, parse_size, [&value](std::uint64_t v) { value = v; });
}

void add_duration(CLI::App* app, const std::string& flag, const std::string& help,
                  std::optional<std::uint64_t>& value) {
    add_unit(app, flag, help, parse_duration, [&value](std::uint64_t v) { value = v; });
}

CLI::App* add_command(const Builder& b, CLI::App* parent, const std::string& verb,
                      const std::string& help, const std::string& path) {
    CLI::App* command = parent->add_subcommand(verb, help);
    command->callback([&b, path] { b.arguments.command = path; });
    return command;
}

void add_name(const Builder& b, CLI::App* command, const std::string& what) {
    command->add_option("NAME", b.arguments.name, what)->required();
}

/// Options of every command that changes something.
void add_mutation_options(const Builder& b, CLI::App* command) {
    command
        ->add_option("--request-id", b.arguments.request_id,
                     "UUID of the request; the same one again gets the recorded answer")
        ->check(CLI::Validator(
            [](const std::string& text) {
                return uuid_from_text(text) ? std::string{} : "'" + text + "' is not a UUID";
            },
            ""));
}

bool split_pair(const std::string& text, std::pair<std::string, std::string>& out) {
    const auto at = text.find('=');
    if (at == std::string::npos || text.find('=', at + 1) != std::string::npos) return false;
    out = {text.substr(0, at), text.substr(at + 1)};
    return !out.first.empty() && !out.second.empty();
}

void add_hook(const Builder& b, CLI::App* create, const std::string& step,
              const std::string& help) {
    create->add_option_function<std::string>(
        "--" + step,
        [&b, step](const std::string& hook) { b.arguments.hooks.emplace_back(step, hook); },
        help + " (the name of a hook in the agent's configuration)");
}

void add_job_create(const Builder& b, CLI::App* job) {
    CLI::App* create = add_command(b, job, "create", "plan a job", "job create");
    add_name(b, create, "of the new job");
    create->add_option("--source", b.arguments.source_agent, "agent of the server to move")
        ->required();
    create->add_option("--target", b.arguments.target_agent, "agent of the new host")->required();
    create
        ->add_option_function<std::vector<std::string>>(
            "--disk",
            [&b](const std::vector<std::string>& pairs) {
                for (const std::string& text : pairs) {
                    std::pair<std::string, std::string> pair;
                    if (split_pair(text, pair)) b.arguments.disks.push_back(pair);
                }
            },
            "SOURCE=TARGET: device or image file on each host; repeat for more disks")
        ->required()
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->check(CLI::Validator(
            [](const std::string& text) {
                std::pair<std::string, std::string> pair;
                return split_pair(text, pair) ? std::string{}
                                              : "'" + text + "' is not SOURCE=TARGET";
            },
            ""));
    add_hook(b, create, "pre-fence", "source: stop the workload");
    add_hook(b, create, "post-release", "source: start it again after a rollback");
    add_hook(b, create, "post-activate", "target: start the workload");
    add_hook(b, create, "validate", "target: is it healthy?");
    add_hook(b, create, "pre-deactivate", "target: stop it for a rollback");
    add_hook(b, create, "test-start", "target: start the workload on a test's overlay");
    add_hook(b, create, "test-stop", "target: stop it again");
    create
        ->add_option("--skip-free-space", b.arguments.skip_free_space,
                     "SOURCE of a disk: do not copy what its mounted filesystems hold free")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    create
        ->add_option("--comparison", b.arguments.comparison,
                     "when the whole disks are compared (automatic)")
        ->check(CLI::IsMember({"before-release", "during-hold", "never", "automatic"}));
    add_duration(create, "--outage-max", "longest outage, then back to the source (10m)",
                 b.arguments.outage_max_s);
    add_duration(create, "--hold", "time to decide between commit and rollback (5d)",
                 b.arguments.hold_s);
    add_unit(create, "--rate", "limit of the copy, for example 100MiB (a second)", parse_rate,
             [&b](std::uint64_t v) { b.arguments.rate_bytes_per_s = v; });
    add_size(create, "--backlog-max", "more than this is not in sync (4MiB)",
             b.arguments.backlog_bytes_max);
    add_mutation_options(b, create);
}

void add_action(const Builder& b, CLI::App* job, const Action& action) {
    Arguments& a = b.arguments;
    CLI::App* command =
        add_command(b, job, std::string(action.name), std::string(action.help), "job action");
    command->callback([&a, &action] {
        a.command = "job action";
        a.action = action.name;
    });
    add_name(b, command, "of the job");
    command->add_option("--reason", a.reason, "goes into the history");
    command->add_flag("--dry-run", a.dry_run, "ask whether it is allowed; change nothing");
    command->add_option("--if-version", a.if_version, "only if the job still has this version");
    add_mutation_options(b, command);
    const ActionOptions& takes = action.options;
    if (takes.plan_hash) command->add_option("--plan-hash", a.plan_hash, "only for this plan");
    if (takes.at) command->add_option("--at", a.at, "start at this time (RFC 3339)");
    if (takes.outage_max) {
        add_duration(command, "--outage-max", "longest outage, then back to the source",
                     a.outage_max_s);
    }
    if (takes.pause_before_activate) {
        command->add_flag("--pause-before-activate", a.pause_before_activate,
                          "stop once the target is verified, until resume");
    }
    if (takes.mode) {
        command->add_option("--mode", a.mode, "what happens to the target's writes")
            ->check(CLI::IsMember({"discard", "keep"}));
    }
    if (takes.acknowledge_loss) {
        command->add_option("--acknowledge-loss", a.acknowledged_loss,
                            "say which writes are lost; the refusal names the words");
    }
    if (takes.confirm) {
        command->add_option("--confirm", a.confirm, "the job's name again")->required();
    }
    if (takes.waive_comparison) {
        command->add_flag("--waive-comparison", a.waive_comparison,
                          "do without the comparison that the plan asks for; needs --reason");
    }
    if (takes.how) {
        command->add_option("--how", a.how, "how you know that it is stopped")->required();
    }
    if (takes.serving) {
        command->add_option("--as", a.serving, "who serves: target, source or neither of them")
            ->check(CLI::IsMember({"target", "source", "neither"}))
            ->required();
    }
    if (takes.rate) {
        add_unit(command, "--rate", "for example 100MiB (a second), or unlimited", parse_rate,
                 [&a](std::uint64_t v) { a.rate_bytes_per_s = v; })
            ->required();
    }
    if (action.name == "preflight") {
        command->add_flag_callback(
            "--no-wait", [&a] { a.wait = false; }, "do not wait for the verdict");
        add_duration(command, "--timeout", "of the wait (2m)", a.timeout_s);
    }
}

/// The options of every action: which of them the tried one takes is the server's to say.
void add_what_if(const Builder& b, CLI::App* job) {
    Arguments& a = b.arguments;
    CLI::App* command = add_command(
        b, job, "what-if", "what a command would do, now or at an earlier point; changes nothing",
        "job what-if");
    add_name(b, command, "of the job");
    std::vector<std::string> names;
    for (const Action& action : actions()) names.emplace_back(action.name);
    command->add_option("--command", a.action, "the command, for example cutover")
        ->required()
        ->check(CLI::IsMember(names))
        ->option_text("COMMAND");
    command->add_option("--at", a.at_seq, "as of this sequence number or time; default: now");
    command->add_option("--reason", a.reason, "as for the command");
    command->add_option("--plan-hash", a.plan_hash, "as for arm and cutover");
    command->add_option("--arm-at", a.at, "as --at of arm");
    add_duration(command, "--outage-max", "as for arm and cutover", a.outage_max_s);
    command->add_flag("--pause-before-activate", a.pause_before_activate, "as for arm and cutover");
    command->add_option("--mode", a.mode, "as for rollback")
        ->check(CLI::IsMember({"discard", "keep"}));
    command->add_option("--acknowledge-loss", a.acknowledged_loss, "as for rollback and resync");
    command->add_option("--confirm", a.confirm, "as for commit; default: the job's name");
    command->add_flag("--waive-comparison", a.waive_comparison, "as for commit");
    command->add_option("--how", a.how, "as for confirm-target-stopped");
    add_unit(command, "--rate", "as for throttle", parse_rate,
             [&a](std::uint64_t v) { a.rate_bytes_per_s = v; });
}

void add_past(const Builder& b, CLI::App* job) {
    Arguments& a = b.arguments;
    CLI::App* at = add_command(b, job, "at", "a job as it was at an earlier point", "job at");
    add_name(b, at, "of the job");
    CLI::Option* seq = at->add_option("--seq", a.at_seq, "sequence number, see job history");
    at->add_option("--time", a.at_time, "RFC 3339, for example 2026-11-23T02:10:00Z")
        ->excludes(seq);
    CLI::App* diff = add_command(b, job, "diff", "what changed between two points", "job diff");
    add_name(b, diff, "of the job");
    diff->add_option("--from", a.from_point, "sequence number or time")->required();
    diff->add_option("--to", a.to_point, "sequence number or time; default: now");
    add_what_if(b, job);
    CLI::App* compare =
        add_command(b, job, "compare", "the first fact that two jobs do not share", "job compare");
    add_name(b, compare, "of the job");
    compare->add_option("OTHER", a.other_name, "of the other job")->required();
}

void add_job(const Builder& b) {
    CLI::App* job = b.app.add_subcommand("job", "move one server");
    job->require_subcommand(1);
    add_job_create(b, job);
    add_command(b, job, "list", "all jobs", "job list");
    add_name(b, add_command(b, job, "show", "everything about a job", "job show"), "of the job");
    CLI::App* watch = add_command(b, job, "watch", "follow a job", "job watch");
    add_name(b, watch, "of the job");
    watch->add_option("--until", b.arguments.until,
                      "PHASE or in_sync; default: the end of the job");
    add_duration(watch, "--timeout", "give up after this time (exit 124)", b.arguments.timeout_s);
    CLI::App* history = add_command(b, job, "history", "the facts of a job", "job history");
    add_name(b, history, "of the job");
    history->add_option("--from", b.arguments.from_seq, "first fact, counted from 1 in the job");
    add_name(b,
             add_command(b, job, "why", "what a job waits for, and what is not allowed", "job why"),
             "of the job");
    add_name(b,
             add_command(b, job, "points", "the states that its target can be taken back to",
                         "job points"),
             "of the job");
    add_past(b, job);
    for (const Action& action : actions()) add_action(b, job, action);
}

void add_agent(const Builder& b) {
    CLI::App* agent = b.app.add_subcommand("agent", "the hosts");
    agent->require_subcommand(1);
    add_command(b, agent, "list", "all agents", "agent list");
    add_name(b, add_command(b, agent, "show", "one agent, and what it holds", "agent show"),
             "of the agent");
    CLI::App* token =
        add_command(b, agent, "token", "a one-time token to enrol an agent", "agent token");
    add_name(b, token, "of the agent");
    add_unit(token, "--ttl", "valid for this time (15m)", parse_duration,
             [&b](std::uint64_t v) { b.arguments.ttl_s = v; });
    token->add_option("--out", b.arguments.out_file, "write the token here, readable only by you");
    add_mutation_options(b, token);
}

void add_audit(const Builder& b) {
    Arguments& a = b.arguments;
    CLI::App* audit = b.app.add_subcommand("audit", "is the log whole? and what it proves");
    audit->require_subcommand(1);
    CLI::App* verify = add_command(
        b, audit, "verify",
        "check the hash chain and the anchors: of the running server's log, or without a server",
        "audit verify");
    CLI::Option* dir = verify->add_option("--dir", a.directory, "a log or state directory");
    verify->add_option("--export", a.export_file, "a file from drover audit export")->excludes(dir);
    verify
        ->add_option("--anchors", a.anchor_files,
                     "anchors from another place: the second path, or drover-agent anchors")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    verify
        ->add_option("--key", a.keys,
                     "the key that must have signed, anchor.pub or its fingerprint; repeat it for "
                     "a key that was replaced")
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    add_command(b, audit, "anchor", "make a signed anchor now", "audit anchor");
    CLI::App* made =
        add_command(b, audit, "export", "events that prove themselves, as a file", "audit export");
    made->add_option("--job", a.job_name, "only of this job; default: the whole log");
    made->add_option("--format", a.export_format, "jsonl, csv, or html: the evidence pack of a job")
        ->check(CLI::IsMember({"jsonl", "csv", "html"}));
    made->add_option("--out", a.out_file, "file to write")->required();
    made->add_option("--from", a.export_file, "an export made earlier, instead of the server");
}

void add_rest(const Builder& b) {
    Arguments& a = b.arguments;
    CLI::App* login = add_command(b, &b.app, "login", "sign in to a server", "login");
    login->add_option("--server", a.server, "https://HOST:8443")->required();
    login->add_option("--ca-pin", a.ca_pin, "SHA-256 of the CA, from droverd init")->required();
    login->add_option("--token-file", a.token_file, "from droverd init")->required();
    CLI::App* event = b.app.add_subcommand("event", "the log");
    event->require_subcommand(1);
    CLI::App* tail = add_command(b, event, "tail", "every fact as it happens", "event tail");
    tail->add_option("--from", a.from_seq, "first sequence number; default: only new ones");
    add_audit(b);
    CLI::App* replay = b.app.add_subcommand("replay", "is the state what the log says?");
    replay->require_subcommand(1);
    add_command(b, replay, "check", "rebuild every job from the log and compare", "replay check");
    CLI::App* run =
        add_command(b, replay, "run", "rebuild an exported history from its file, without a server",
                    "replay run");
    run->add_option("FILE", a.file, "from `drover audit export`")->required();
    run->add_option("--until", a.until_seq, "stop after this sequence number");
    CLI::App* bundle =
        add_command(b, &b.app, "support-bundle", "one document for a support case, without secrets",
                    "support-bundle");
    bundle->add_option("--out", a.out_file, "file to write; default: stdout");
    add_command(b, &b.app, "version", "of this program", "version");
    CLI::App* help = add_command(b, &b.app, "help", "help, or help exit-codes", "help");
    help->add_option("TOPIC", a.name, "exit-codes");
}

void add_global_options(const Builder& b) {
    Arguments& a = b.arguments;
    const std::map<std::string, Format> formats{{"text", Format::text},
                                                {"json", Format::json},
                                                {"jsonl", Format::jsonl},
                                                {"name", Format::name}};
    b.app.add_option("-o,--output", a.format, "form of the data on stdout")
        ->transform(CLI::CheckedTransformer(formats))
        ->option_text("text|json|jsonl|name");
    b.app.add_flag("-q,--quiet", a.quiet, "no hints");
    add_unit(&b.app, "--retry-for", "how long a lost connection is retried (10s)", parse_duration,
             [&a](std::uint64_t v) { a.retry_for_s = v; });
}

std::vector<std::string> names_of(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* sub : app.get_subcommands({})) names.push_back(sub->get_name());
    return names;
}

/// CLI11 says "the following argument was not expected"; a wrong command deserves a better word.
/// Only looks at leading words that are no options. Empty if there is nothing to say.
std::string unknown_command(const CLI::App& root, const std::vector<std::string>& words) {
    const CLI::App* app = &root;
    std::string path;
    for (const std::string& word : words) {
        const auto names = names_of(*app);
        if (names.empty() || word.starts_with('-')) return {};
        if (std::find(names.begin(), names.end(), word) == names.end()) {
            std::string text = "drover: there is no command '" + path + printable(word, 80) + "'\n";
            const std::string near = nearest(word, names);
            if (!near.empty()) text += "Did you mean: drover " + path + near + "\n";
            return text + "Next: drover " + path + "--help\n";
        }
        app = app->get_subcommand(word);
        path += word + " ";
    }
    return {};
}

/// The leading words that name a command, so that the help that is offered is the right one.
std::string help_path(const CLI::App& root, const std::vector<std::string>& words) {
    const CLI::App* app = &root;
    std::string path;
    for (const std::string& word : words) {
        const auto names = names_of(*app);
        if (std::find(names.begin(), names.end(), word) == names.end()) break;
        path += word + " ";
        app = app->get_subcommand(word);
    }
    return path;
}

Parsed usage(std::string text) {
    Parsed parsed;
    parsed.done = true;
    parsed.exit = ExitCode::usage;
    parsed.text = std::move(text);
    return parsed;
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
    std::string best;
    std::size_t best_distance = near_distance_max + 1;
    for (const std::string& candidate : candidates) {
        // Levenshtein, one row at a time.
        std::vector<std::size_t> row(candidate.size() + 1);
        std::iota(row.begin(), row.end(), std::size_t{0});
        for (std::size_t i = 0; i < word.size(); ++i) {
            std::size_t diagonal = row[0];
            row[0] = i + 1;
            for (std::size_t j = 0; j < candidate.size(); ++j) {
                const std::size_t replaced = diagonal + (word[i] == candidate[j] ? 0 : 1);
                diagonal = row[j + 1];
                row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, replaced});
            }
        }
        if (row.back() < best_distance) {
            best_distance = row.back();
            best = candidate;
        }
    }
    return best;
}

/// The first path of --skip-free-space that no --disk names; null if there is none.
const std::string* unplanned_disk(const Arguments& arguments) {
    for (const std::string& path : arguments.skip_free_space) {
        const bool is_planned =
            std::any_of(arguments.disks.begin(), arguments.disks.end(),
                        [&path](const auto& pair) { return pair.first == path; });
        if (!is_planned) return &path;
    }
    return nullptr;
}

Parsed parse_command_line(const std::vector<std::string>& words) {
    Parsed parsed;
    CLI::App app{"drover moves running servers to new hosts, and proves that it did."};
    const Builder builder{app, parsed.arguments};
    app.name("drover");
    app.require_subcommand(1);
    app.fallthrough();
    add_global_options(builder);
    add_agent(builder);
    add_job(builder);
    add_rest(builder);
    if (const std::string text = unknown_command(app, words); !text.empty()) return usage(text);
    try {
        // CLI11 takes the words from the back.
        app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
    } catch (const CLI::CallForHelp&) {
        parsed.done = true;
        parsed.text = app.help();
    } catch (const CLI::ParseError& error) {
        return usage("drover: " + std::string(error.what()) + "\nNext: drover " +
                     help_path(app, words) + "--help\n");
    }
    if (const std::string* other = unplanned_disk(parsed.arguments)) {
        return usage("drover: --skip-free-space " + printable(*other, 80) +
                     " is the SOURCE of no --disk\nNext: drover job create --help\n");
    }
    if (!parsed.done && parsed.arguments.command == "help") {
        parsed.done = true;
        if (parsed.arguments.name.empty()) {
            parsed.text = app.help();
        } else if (parsed.arguments.name == "exit-codes") {
            parsed.text = exit_code_help();
        } else {
            return usage("drover: there is no help on '" + printable(parsed.arguments.name, 80) +
                         "'\nNext: drover help exit-codes\n");
        }
    }
    return parsed;
}

}  // namespace drover::cli
