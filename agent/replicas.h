/// What the executor needs of the replicator and of the network between agents. Behind interfaces,
/// so that tests and simulations put their own in place.
#pragma once

#include "base/result.h"
#include "replicator/source_replica.h"
#include "replicator/target_replica.h"

#include <memory>
#include <string>

namespace drover::agent {

class ReplicaFactory {
  public:
    virtual ~ReplicaFactory() = default;
    [[nodiscard]] virtual Result<std::unique_ptr<replicator::SourceReplica>> open_source(
        replicator::SourceConfig config, replicator::SourceObserver& observer) = 0;
    [[nodiscard]] virtual Result<std::unique_ptr<replicator::TargetReplica>> open_target(
        replicator::TargetConfig config) = 0;
};

class PeerNetwork {
  public:
    virtual ~PeerNetwork() = default;

    /// Both links to a target that must show `expected_peer`. Blocks; called on replicas' threads.
    [[nodiscard]] virtual Result<replicator::PeerLinks> dial(const Endpoint& target,
                                                             const std::string& expected_peer) = 0;

    /// Listens on the configured ports and hands admitted links to what `find` names. Does nothing
    /// when it listens already. Errors: unavailable ("listener_failed").
    [[nodiscard]] virtual Result<> listen(replicator::PeerGate::Find find) = 0;
    virtual void stop_listening() = 0;
};

}  // namespace drover::agent
