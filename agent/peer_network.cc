#include "agent/peer_network.h"

namespace drover::agent {

Result<replicator::PeerLinks> TlsPeerNetwork::dial(const Endpoint& target,
                                                   const std::string& expected_peer) {
    wire::DialOptions options;
    options.host = target.host;
    options.port = target.control_port;
    options.expected_peer = expected_peer;
    replicator::PeerLinks links;
    TRY(links.control, wire::dial_tls(identity_.tls, options));
    options.port = target.bulk_port;
    options.frame_bytes_max = wire::bulk_frame_bytes_max;
    links.dial_bulk = [this, options] { return wire::dial_tls(identity_.tls, options); };
    TRY(links.bulk, links.dial_bulk());
    return links;
}

/// Reading a link's first frame may take seconds: never on the listener's own thread.
Result<std::unique_ptr<wire::TlsListener>> TlsPeerNetwork::listen_on(std::uint16_t port,
                                                                     std::size_t frame_bytes_max,
                                                                     const Gate& gate,
                                                                     Admit admit) {
    wire::ListenOptions options;
    options.host = config_.listen->host;
    options.port = port;
    options.frame_bytes_max = frame_bytes_max;
    auto accept = [this, gate, admit](std::unique_ptr<wire::Link> link) {
        // std::function copies its target, a link cannot be copied: hence the shared holder.
        auto held = std::make_shared<std::unique_ptr<wire::Link>>(std::move(link));
        const unsigned lane = next_admission_++ % admissions_max;
        admissions_.post(std::to_string(lane),
                         [gate, admit, held] { (*gate.*admit)(std::move(*held)); });
    };
    auto listening = wire::listen_tls(identity_.tls, options, accept);
    if (listening) return listening;
    return Error(listening.error().code(), "listener_failed",
                 options.host + ":" + std::to_string(port) + ": " + listening.error().detail(),
                 "the copy so far", "free the port, or configure another in [listen]");
}

Result<> TlsPeerNetwork::listen(replicator::PeerGate::Find find) {
    const std::lock_guard lock(mutex_);
    if (control_ && bulk_) return {};
    if (!config_.listen)
        return Error(Errc::unsupported, "role_missing", "this agent is not configured as a target",
                     "nothing was changed", "add the role to agent.toml");
    replicator::GateOptions options;
    options.own_agent = identity_.name;
    options.orchestrator_public_pem = identity_.orchestrator_public_pem;
    const Gate gate = std::make_shared<replicator::PeerGate>(options, std::move(find), clock_);
    TRY(auto control, listen_on(config_.listen->control_port, wire::control_frame_bytes_max, gate,
                                &replicator::PeerGate::admit_control));
    TRY(auto bulk, listen_on(config_.listen->bulk_port, wire::bulk_frame_bytes_max, gate,
                             &replicator::PeerGate::admit_bulk));
    control_ = std::move(control);
    bulk_ = std::move(bulk);
    return {};
}

void TlsPeerNetwork::stop_listening() {
    const std::lock_guard lock(mutex_);
    control_.reset();
    bulk_.reset();
}

void TlsPeerNetwork::stop() {
    stop_listening();
    admissions_.stop();
}

}  // namespace drover::agent
