/// The network between agents, and the real replicator: TLS links dialled by a source, a listener
/// on a target only while a job wants it.
#pragma once

#include "agent/config.h"
#include "agent/replicas.h"
#include "agent/state_store.h"
#include "agent/workers.h"
#include "base/threads.h"
#include "wire/tls_link.h"

#include <memory>

namespace drover::agent {

class TlsPeerNetwork final : public PeerNetwork {
  public:
    /// Hellos of fresh links that are read side by side; more wait.
    static constexpr unsigned admissions_max = 16;

    TlsPeerNetwork(const Config& config, const AgentIdentity& identity, Clock& clock)
        : config_(config),
          identity_(identity),
          clock_(clock) {}

    [[nodiscard]] Result<replicator::PeerLinks> dial(const Endpoint& target,
                                                     const std::string& expected_peer) override;
    [[nodiscard]] Result<> listen(replicator::PeerGate::Find find) override;
    void stop_listening() override;

    /// stop_listening(), and waits for links that are being admitted. Before whatever `find` refers
    /// to goes away.
    void stop();

  private:
    using Gate = std::shared_ptr<replicator::PeerGate>;
    using Admit = void (replicator::PeerGate::*)(std::unique_ptr<wire::Link>);

    [[nodiscard]] Result<std::unique_ptr<wire::TlsListener>> listen_on(std::uint16_t port,
                                                                       std::size_t frame_bytes_max,
                                                                       const Gate& gate,
                                                                       Admit admit);

    const Config& config_;
    const AgentIdentity& identity_;
    Clock& clock_;
    ThreadWorkers admissions_;
    std::atomic<unsigned> next_admission_ = 0;
    Mutex mutex_;
    std::unique_ptr<wire::TlsListener> control_;
    std::unique_ptr<wire::TlsListener> bulk_;
};

class RealReplicas final : public ReplicaFactory {
  public:
    RealReplicas(Clock& clock, Random& random)
        : clock_(clock),
          random_(random) {}

    [[nodiscard]] Result<std::unique_ptr<replicator::SourceReplica>> open_source(
        replicator::SourceConfig config, replicator::SourceObserver& observer) override {
        return replicator::open_source_replica(std::move(config), observer, clock_, random_);
    }

    [[nodiscard]] Result<std::unique_ptr<replicator::TargetReplica>> open_target(
        replicator::TargetConfig config) override {
        return replicator::open_target_replica(std::move(config), clock_, random_);
    }

  private:
    Clock& clock_;
    Random& random_;
};

}  // namespace drover::agent
