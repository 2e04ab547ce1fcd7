#include "agent/agent_process.h"
#include "agent/commands.h"
#include "agent/preflight.h"
#include "agent/ready.h"
#include "agent/session_driver.h"
#include "base/log.h"

#include <csignal>
#include <cstdlib>

namespace drover::agent {
namespace {

Result<SessionOptions> session_options(AgentProcess& process) {
    const Config& config = process.opened.config;
    const StatePaths& paths = process.opened.paths;
    SessionOptions options;
    options.hello.agent = config.name;
    TRY(options.hello.incarnation, load_incarnation(paths, process.random));
    options.hello.host_identity = process.host_identity.id;
    options.hello.boot_id = process.host_identity.boot_id;
    options.hello.software = "drover " DROVER_VERSION;
    if (config.is_source) options.hello.roles.emplace_back("source");
    if (config.is_target) options.hello.roles.emplace_back("target");
    options.hello.capabilities = agent_capabilities(config);
    options.hello.capabilities.emplace_back(anchors_capability);
    TRY(options.hello.witness, load_witness(paths));
    options.tls = process.identity.tls;
    options.recovery_public_pem = process.identity.recovery_public_pem;
    options.server_host = config.server_host;
    options.server_port = config.server_port;
    options.paths = paths;
    return options;
}

Result<> run(AgentProcess& process) {
    TRY(const SessionOptions options, session_options(process));
    SessionDriver driver(options, process.journal->unacknowledged(), process.clock, process.random);
    ThreadWorkers workers;
    Executor executor(process.parts(), *process.replicas, *process.peers, workers, process.random,
                      driver);
    // Fences first: they hold, or come back, with no orchestrator in sight. Only then may the
    // services of this host start.
    TRY_VOID(executor.start());
    const char* socket = std::getenv("NOTIFY_SOCKET");
    say_ready(executor, fence_wait_ms_max, socket == nullptr ? std::string() : std::string(socket));
    log::info("agent", "started", "name=" + process.opened.config.name);
    auto outcome = driver.run(executor);
    executor.stop();
    workers.stop();
    process.peers->stop();
    return outcome;
}

}  // namespace

int run_command(const std::filesystem::path& config) {
    std::signal(SIGPIPE, SIG_IGN);
    auto opened = open_config(config);
    if (!opened) return fail(opened.error());
    auto process = AgentProcess::open(std::move(*opened));
    if (!process) return fail(process.error());
    auto outcome = run(**process);
    return outcome ? exit_ok : fail(outcome.error());
}

}  // namespace drover::agent
