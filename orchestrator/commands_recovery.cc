#include "orchestrator/commands_recovery.h"

#include "base/exit_code.h"
#include "base/file.h"
#include "history/time_text.h"
#include "orchestrator/restore.h"
#include "orchestrator/upgrade_check.h"

#include <cstdlib>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <unistd.h>

namespace drover::orchestrator {

namespace {

namespace json = boost::json;

constexpr std::size_t small_file_max = 64U << 10;

struct Arguments {
    std::string state;
    std::string to;
    std::string from;
    std::string output = "text";
    bool accept_loss = false;
    bool without_key = false;
    std::string reason;
    std::string recovery_key;
    std::vector<std::string> witnesses;
    std::uint32_t known_epoch = 0;
};

int fail(const Error& error) {
    std::cerr << "droverd: " << error.text() << "\n";
    return static_cast<int>(exit_code_of(error.code()));
}

void print(const Arguments& arguments, const json::object& document, const std::string& text) {
    std::cout << (arguments.output == "json" ? json::serialize(document) : text) << "\n";
}

json::object head_json(const eventlog::Head& head) {
    return {{"lineage", uuid_text(head.lineage)},
            {"seq", head.seq},
            {"hash", head.hash.hex()},
            {"epoch", head.epoch}};
}

std::string head_text(const eventlog::Head& head) {
    return "event " + std::to_string(head.seq) + ", epoch " + std::to_string(head.epoch) +
           ", lineage " + uuid_text(head.lineage);
}

/// Who gives the order, as this host knows them.
std::string local_operator() {
    const char* name = std::getenv("SUDO_USER");
    if (name == nullptr) name = std::getenv("LOGNAME");
    return "operator:" + (name != nullptr ? printable(name, 64) : std::to_string(::getuid()));
}

int backup(const Arguments& arguments) {
    const auto made = make_backup(arguments.state, arguments.to, SystemClock().wall_micros());
    if (!made) return fail(made.error());
    json::object out = head_json(made->head);
    out["backup"] = arguments.to;
    out["files"] = made->files.size();
    print(arguments, out,
          "backup of " + head_text(made->head) + " in " + arguments.to + ", checked");
    std::cerr << "It holds secrets: keep it where only root of the server may read.\n";
    return 0;
}

Result<RestoreOptions> restore_options(const Arguments& arguments) {
    RestoreOptions options;
    options.from = arguments.from;
    options.state = arguments.state;
    options.known_epoch = arguments.known_epoch;
    for (const std::string& file : arguments.witnesses) {
        TRY(const std::string text, read_text(file));
        TRY(const Witness witness, read_witness(text));
        options.witnesses.push_back(witness);
    }
    if (!arguments.accept_loss) return options;
    AcceptedLoss loss{local_operator(), arguments.reason, {}};
    if (!arguments.without_key && arguments.recovery_key.empty())
        return Error(Errc::invalid, "recovery_key_missing",
                     "an accepted loss is signed with the recovery key", "nothing was changed",
                     "give --recovery-key FILE; without the key: --without-recovery-key, and "
                     "drover-agent accept-restore on every host");
    if (!arguments.recovery_key.empty()) {
        TRY(loss.recovery_key_pem, read_text(arguments.recovery_key, small_file_max));
    }
    options.loss = std::move(loss);
    return options;
}

void say_next(const Arguments& arguments, const Restored& restored) {
    std::cerr << "Next:\n"
              << "  make sure that no other droverd of this installation runs\n"
              << "  droverd run --state " << arguments.state << "\n";
    if (!restored.reset) return;
    if (restored.reset->signature.empty())
        std::cerr
            << "  on every host, with the agent stopped: drover-agent accept-restore --lineage "
            << uuid_text(restored.head.lineage) << "\n";
    for (const std::string& job : restored.jobs) std::cerr << "  drover job why " << job << "\n";
}

int restore_command(const Arguments& arguments) {
    const auto options = restore_options(arguments);
    if (!options) return fail(options.error());
    SystemRandom random;
    const auto restored = restore(*options, random, SystemClock().wall_micros());
    if (!restored) return fail(restored.error());
    json::object out = head_json(restored->head);
    out["state"] = arguments.state;
    out["new_lineage"] = restored->reset.has_value();
    json::array jobs;
    for (const std::string& job : restored->jobs) jobs.emplace_back(job);
    out["reconciling"] = std::move(jobs);
    std::string text = "restored " + head_text(restored->head) + " to " + arguments.state;
    if (restored->reset)
        text += "\na new lineage; " + std::to_string(restored->jobs.size()) +
                " job(s) are reconciled before anything is asked of anybody";
    print(arguments, out, text);
    say_next(arguments, *restored);
    return 0;
}

int upgrade_check(const Arguments& arguments) {
    const auto report = check_upgrade(arguments.state);
    if (!report) return fail(report.error());
    json::array findings;
    std::string text = "read " + std::to_string(report->events) + " events of " +
                       std::to_string(report->jobs) + " jobs up to " + head_text(report->head);
    for (const UpgradeFinding& finding : report->findings) {
        findings.push_back({{"id", finding.id}, {"seq", finding.seq}, {"detail", finding.detail}});
        text += "\n" + finding.id;
        if (finding.seq != 0) text += " at event " + std::to_string(finding.seq);
        text += ": " + printable(finding.detail, 400);
    }
    const bool is_ready = report->findings.empty();
    json::object out = head_json(report->head);
    out["ok"] = is_ready;
    out["events"] = report->events;
    out["jobs"] = report->jobs;
    out["findings"] = std::move(findings);
    print(arguments, out, text + (is_ready ? "\nthis droverd can run on it" : ""));
    return static_cast<int>(is_ready ? ExitCode::ok : ExitCode::integrity);
}

/// Shared by the command's options and by what runs it after parsing.
std::shared_ptr<Arguments> add(CLI::App& command, Chosen& chosen, int (*run)(const Arguments&),
                               const char* state_help) {
    auto arguments = std::make_shared<Arguments>();
    command.add_option("--state", arguments->state, state_help)->required();
    command.add_option("-o,--output", arguments->output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    command.callback(
        [arguments, run, &chosen] { chosen = [arguments, run] { return run(*arguments); }; });
    return arguments;
}

}  // namespace

void add_recovery_commands(CLI::App& app, Chosen& chosen) {
    CLI::App* const making =
        app.add_subcommand("backup", "Copy log and keys, also while droverd runs; check the copy");
    auto made = add(*making, chosen, backup, "State directory");
    making->add_option("--to", made->to, "Directory to make")->required();

    CLI::App* const restoring =
        app.add_subcommand("restore", "Make a state directory from a backup");
    auto restored = add(*restoring, chosen, restore_command, "Directory to make");
    restoring->add_option("--from", restored->from, "What droverd backup made")->required();
    restoring->add_option("--witness", restored->witnesses,
                          "Output of drover-agent status -o json of an agent; may be repeated");
    restoring->add_flag("--accept-loss", restored->accept_loss,
                        "Events after the backup are lost: begin a new lineage");
    restoring->add_option("--reason", restored->reason, "Why; agents and the log keep it");
    restoring->add_option("--recovery-key", restored->recovery_key,
                          "The key that droverd init told you to keep elsewhere");
    restoring->add_flag("--without-recovery-key", restored->without_key,
                        "Unsigned: root has to accept it on every host");
    restoring->add_option("--known-epoch", restored->known_epoch,
                          "Highest epoch that an agent has seen");

    CLI::App* const upgrading = app.add_subcommand("upgrade", "Before a newer droverd is started");
    upgrading->require_subcommand(1);
    CLI::App* const checking = upgrading->add_subcommand(
        "check", "Read and replay the log with this program; change nothing");
    add(*checking, chosen, upgrade_check, "State directory, also of a server that runs");
}

}  // namespace drover::orchestrator
