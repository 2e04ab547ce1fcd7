#include "orchestrator/agent_links.h"

#include "base/log.h"
#include "schemas/codec.h"
#include "wire/connection.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

namespace drover::orchestrator {

namespace {

namespace asio = boost::asio;

using ConnectionPtr = std::shared_ptr<wire::Connection>;

/// Shared by the listener and the readers of its connections.
struct Shared {
    explicit Shared(AgentLinksParts given)
        : parts(std::move(given)) {}

    [[nodiscard]] Moment now() const {
        return {parts.clock.wall_micros(), parts.clock.steady_ms()};
    }

    AgentLinksParts parts;
    std::map<ConnectionId, ConnectionPtr> connections;
    ConnectionId next_id = 1;
};

using SharedPtr = std::shared_ptr<Shared>;

asio::awaitable<void> read_all(SharedPtr shared, ConnectionId id, ConnectionPtr connection) {
    AgentSessions& sessions = shared->parts.core.sessions();
    while (shared->connections.contains(id)) {
        auto bytes = co_await connection->receive();
        if (!bytes) {
            log::debug("agents", "connection ended: " + bytes.error().text());
            break;
        }
        const auto message = decode_agent_message(*bytes);
        if (message) {
            sessions.received(id, *message, shared->now());
        } else {
            sessions.unreadable(id, message.error());
        }
        shared->parts.wake();
    }
    shared->connections.erase(id);
    sessions.closed(id, shared->now());
    shared->parts.wake();
}

void admit(const SharedPtr& shared, ConnectionPtr connection) {
    constexpr std::string_view prefix = "drover:agent:";
    const std::string peer = connection->peer();
    if (!peer.starts_with(prefix) || shared->connections.size() >= agent_connections_max) {
        log::warn("agents", "refused a connection", "peer=" + printable(peer, 80));
        connection->close();
        return;
    }
    const ConnectionId id = shared->next_id++;
    shared->connections[id] = connection;
    shared->parts.core.sessions().opened(id, peer.substr(prefix.size()),
                                         connection->remote_address(), shared->now());
    asio::co_spawn(shared->parts.io, read_all(shared, id, std::move(connection)), asio::detached);
    shared->parts.wake();
}

class TlsAgentLinks final : public AgentLinks {
  public:
    TlsAgentLinks(SharedPtr shared, std::unique_ptr<wire::Acceptor> acceptor)
        : shared_(std::move(shared)),
          acceptor_(std::move(acceptor)) {}

    [[nodiscard]] std::uint16_t port() const override { return acceptor_->port(); }

    void deliver(Outbox outbox) override {
        for (const Outgoing& outgoing : outbox.send) {
            const auto found = shared_->connections.find(outgoing.connection);
            if (found == shared_->connections.end()) continue;
            // A peer that does not read is closed by the connection itself; its reader sees that.
            if (!found->second->post(encode(outgoing.message))) {
                log::warn("agents", "a peer reads too slowly", "peer=" + found->second->peer());
            }
        }
        for (const Closing& closing : outbox.close) {
            const auto found = shared_->connections.find(closing.connection);
            if (found == shared_->connections.end()) continue;
            log::info("agents", "closing: " + closing.why.text(), "peer=" + found->second->peer());
            const ConnectionPtr connection = found->second;
            shared_->connections.erase(found);
            connection->close();
        }
    }

    void stop() override { acceptor_->stop(); }

  private:
    const SharedPtr shared_;  // see Shared
    std::unique_ptr<wire::Acceptor> acceptor_;
};

}  // namespace

Result<std::unique_ptr<AgentLinks>> listen_agents(AgentLinksParts parts,
                                                  const wire::TlsIdentity& identity,
                                                  const std::string& host, std::uint16_t port) {
    asio::io_context& io = parts.io;
    auto shared = std::make_shared<Shared>(std::move(parts));
    TRY(auto acceptor, wire::accept(io, identity, host, port, [shared](ConnectionPtr connection) {
            admit(shared, std::move(connection));
        }));
    return std::unique_ptr<AgentLinks>(
        std::make_unique<TlsAgentLinks>(std::move(shared), std::move(acceptor)));
}

}  // namespace drover::orchestrator
