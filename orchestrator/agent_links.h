/// The sockets under agent_sessions: accepts agents on the mTLS port, turns frames into messages
/// and back. One io_context, one thread. Only verified certificates get this far.
#pragma once

#include "orchestrator/core.h"
#include "wire/identity.h"

#include <cstdint>
#include <memory>
#include <string>

namespace boost::asio {
class io_context;
}

namespace drover::orchestrator {

constexpr std::size_t agent_connections_max = 2048;

class AgentLinks {
  public:
    virtual ~AgentLinks() = default;
    [[nodiscard]] virtual std::uint16_t port() const = 0;
    /// Sends and closes what the sessions want.
    virtual void deliver(Outbox outbox) = 0;
    virtual void stop() = 0;
};

struct AgentLinksParts {
    boost::asio::io_context& io;
    Core& core;
    const Clock& clock;
    /// Called when something arrived: a turn is due.
    std::function<void()> wake;
};

/// Errors: invalid (address, PEM), unavailable (port_taken).
[[nodiscard]] Result<std::unique_ptr<AgentLinks>> listen_agents(AgentLinksParts parts,
                                                                const wire::TlsIdentity& identity,
                                                                const std::string& host,
                                                                std::uint16_t port);

}  // namespace drover::orchestrator
