/// Where a replica dials, for its thread: a newer effect may move the peer's endpoint at any time.
/// Thread-safe.
#pragma once

#include "agent/replicas.h"
#include "base/threads.h"
#include "wire/pki.h"

#include <string>

namespace drover::agent {

class PeerDialler {
  public:
    explicit PeerDialler(PeerNetwork& network)
        : peers_(network) {}

    [[nodiscard]] Result<replicator::PeerLinks> dial() {
        Endpoint endpoint;
        std::string peer;
        {
            const std::lock_guard lock(mutex_);
            endpoint = target_;
            peer = expected_peer_;
        }
        return peers_.dial(endpoint, peer);
    }

    void set(const ReplicateWork& work) {
        const std::lock_guard lock(mutex_);
        target_ = work.peer;
        expected_peer_ = wire::agent_identity(work.ticket.target_agent);
    }

  private:
    PeerNetwork& peers_;
    Mutex mutex_;
    Endpoint target_;
    std::string expected_peer_;
};

}  // namespace drover::agent
