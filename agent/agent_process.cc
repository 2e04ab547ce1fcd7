#include "agent/agent_process.h"

#include "base/log.h"

namespace drover::agent {

Result<std::unique_ptr<AgentProcess>> AgentProcess::open(Opened given) {
    std::unique_ptr<AgentProcess> process(new AgentProcess(std::move(given)));
    const Config& config = process->opened.config;
    const StatePaths& paths = process->opened.paths;
    TRY(process->host_identity, read_host_identity());
    TRY_VOID(make_state_directories(paths));
    TRY(process->lock, lock_state(paths));
    TRY(process->identity, load_identity(paths, config.name));
    process->host =
        std::make_unique<HostLinux>(HostLinuxOptions{process->host_identity, paths, own_program(),
                                                     config.hooks, config.hook_timeout_s},
                                    process->random);
    TRY(process->journal, Journal::open(paths.journal()));
    process->fences = std::make_unique<FenceStore>(paths.fences(), process->host_identity);
    process->exposures = std::make_unique<ExposureStore>(paths.exposures());
    process->replicas = std::make_unique<RealReplicas>(process->clock, process->random);
    process->peers = std::make_unique<TlsPeerNetwork>(config, process->identity, process->clock);
    return process;
}

AgentParts AgentProcess::parts() {
    return {opened.config, opened.paths, identity,
            *host,         *journal,     *fences,
            *exposures,    clock,        [](std::string_view step) { log::debug("step", step); }};
}

}  // namespace drover::agent
