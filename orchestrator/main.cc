// droverd: the command line. Everything else is in the library.
#include "base/exit_code.h"
#include "orchestrator/commands_recovery.h"
#include "orchestrator/server.h"
#include "orchestrator/setup.h"

#include <cstdio>
#include <exception>
#include <iostream>

#include <CLI/CLI.hpp>

namespace {

using namespace drover;
using namespace drover::orchestrator;

struct Arguments {
    std::string state;
    std::vector<std::string> hosts;
    std::string listen_http;
    std::string listen_agents;
    std::string config;
    std::string recovery_key;
    std::string output = "text";
};

int report(const Error& error) {
    std::cerr << "droverd: " << error.text() << "\n";
    return static_cast<int>(exit_code_of(error.code()));
}

int init(const Arguments& arguments) {
    SystemRandom random;
    const auto made = initialise_state(arguments.state, arguments.hosts, random,
                                       SystemClock().wall_micros(), arguments.recovery_key);
    if (!made) return report(made.error());
    if (arguments.output == "json") {
        // Hexadecimal and a path made of what the shell gave: the path is quoted by the library.
        std::cout << R"({"ca_pin":")" << made->ca_pin << R"(","anchor_key":")"
                  << made->anchor_key.hex() << R"(","recovery_key_file":)" << made->recovery_key
                  << R"(,"api_token_file":)" << made->api_token << "}\n";
        return 0;
    }
    const std::string server = "https://" + arguments.hosts.front() + ":8443";
    std::cout << "CA pin     " << made->ca_pin << "\n"
              << "Anchor key " << made->anchor_key.hex() << "\n"
              << "API token  " << made->api_token.string() << "  (keep it secret)\n"
              << "Recovery   " << made->recovery_key.string()
              << "  (move it offline now: it lets agents obey a log restored with a loss)\n\n"
              << "Next:\n"
              << "  droverd run --state " << arguments.state << "\n"
              << "  drover login --server " << server << " --ca-pin " << made->ca_pin
              << " --token-file " << made->api_token.string() << "\n"
              << "  drover agent token NAME --out NAME.token\n"
              << "and on the host NAME:\n"
              << "  drover-agent enroll --config /etc/drover/agent.toml --server " << server
              << " --ca-pin " << made->ca_pin << " --token-file NAME.token\n";
    return 0;
}

Result<Config> configuration(const Arguments& arguments) {
    Config config;
    if (!arguments.config.empty()) {
        TRY(config, read_config(arguments.config));
    }
    if (!arguments.listen_http.empty()) {
        TRY(config.http, listen_address_from(arguments.listen_http));
    }
    if (!arguments.listen_agents.empty()) {
        TRY(config.agents, listen_address_from(arguments.listen_agents));
    }
    return config;
}

int run(const Arguments& arguments) {
    const auto config = configuration(arguments);
    if (!config) return report(config.error());
    log::set_level(config->log_level);
    const auto ended = run_server(arguments.state, *config);
    return ended ? 0 : report(ended.error());
}

int run_command(int argc, char** argv) {
    Arguments arguments;
    CLI::App app("droverd: the management server that moves running servers to new hosts");
    app.set_version_flag("--version", std::string("droverd 0.1.0"));
    app.require_subcommand(1);
    CLI::App* const making =
        app.add_subcommand("init", "Create keys, token and an empty event log");
    making->add_option("--state", arguments.state, "State directory to create")->required();
    making->add_option("--host", arguments.hosts, "Name or address that agents and people dial")
        ->required();
    making->add_option("--recovery-key", arguments.recovery_key,
                       "Where to write the recovery key (default: in the state directory)");
    making->add_option("-o,--output", arguments.output, "text or json")
        ->check(CLI::IsMember({"text", "json"}));
    CLI::App* const running = app.add_subcommand("run", "Serve until told to stop");
    running->add_option("--state", arguments.state, "State directory that init made")->required();
    running->add_option("--listen-http", arguments.listen_http,
                        "REST and events (default 127.0.0.1:8443)");
    running->add_option("--listen-agents", arguments.listen_agents,
                        "Agents (default 0.0.0.0:6325)");
    running->add_option("--config", arguments.config, "TOML file; flags win over it");
    Chosen chosen;
    add_recovery_commands(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::usage);
    }
    if (chosen) return chosen();
    return making->parsed() ? init(arguments) : run(arguments);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run_command(argc, argv);
    } catch (const std::exception& error) {
        // Only third-party code throws, and nothing below knows how to go on.
        std::cerr << "droverd: stopped by an exception: " << error.what() << "\n";
        return static_cast<int>(ExitCode::failure);
    }
}
