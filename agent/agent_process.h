/// The parts list of an agent process, built in order, for `run` and for the commands that work on
/// a state directory that no agent runs on.
#pragma once

#include "agent/commands.h"
#include "agent/executor.h"
#include "agent/host_linux.h"
#include "agent/peer_network.h"
#include "base/clock.h"
#include "base/random.h"

#include <memory>

namespace drover::agent {

class AgentProcess {
  public:
    /// Takes the state directory's lock. Errors: not_found ("not_enrolled"), unavailable
    /// ("state_in_use"), corrupt, those of read_host_identity().
    [[nodiscard]] static Result<std::unique_ptr<AgentProcess>> open(Opened opened);

    [[nodiscard]] AgentParts parts();

    Opened opened;
    Fd lock;
    AgentIdentity identity;
    HostIdentity host_identity;
    SystemClock clock;
    SystemRandom random;
    std::unique_ptr<HostLinux> host;
    std::unique_ptr<Journal> journal;
    std::unique_ptr<FenceStore> fences;
    std::unique_ptr<ExposureStore> exposures;
    std::unique_ptr<RealReplicas> replicas;
    std::unique_ptr<TlsPeerNetwork> peers;

  private:
    explicit AgentProcess(Opened given)
        : opened(std::move(given)) {}
};

}  // namespace drover::agent
