/// The Asio driver: one TLS connection carrying Cap'n Proto messages in frames (u32 little-endian
/// length, then bytes, at most message_bytes_max). Used for the agent session on both ends.
/// One io_context, one thread. The only place with a network time-out helper.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "base/bytes.h"
#include "base/result.h"
#include "wire/identity.h"

namespace drover::wire {

/// shared: a connection is held by its reader and its writer coroutine, and dies with the last.
class Connection {
  public:
    virtual ~Connection() = default;
    /// Errors: unavailable, timed_out, invalid (oversized).
    [[nodiscard]] virtual boost::asio::awaitable<Result<Bytes>> receive() = 0;
    /// Queues one message; a background writer sends in order. Returns false when the queue's bound
    /// (8 MiB) is passed: the peer reads too slowly and the connection closes.
    virtual bool post(Bytes message) = 0;
    /// Closes after what is queued was written, or after 2 s; ends a receive() that waits. Whoever holds a
    /// connection must close it, or see receive() fail: its writer keeps it alive until then.
    virtual void close() = 0;
    /// Identity URI of the verified peer.
    [[nodiscard]] virtual const std::string& peer() const = 0;
    [[nodiscard]] virtual const std::string& remote_address() const = 0;
};

/// Errors: unavailable, denied, timed_out (10 s for connect and handshake).
[[nodiscard]] boost::asio::awaitable<Result<std::shared_ptr<Connection>>> connect(
    boost::asio::io_context& io, TlsIdentity identity, std::string host, std::uint16_t port,
    std::string expected_peer);

/// Accepts until `io` stops; at most 100 unfinished handshakes, 10 s each. Only verified peers reach
/// `accepted`. Errors: unavailable (port taken), invalid.
class Acceptor {
  public:
    virtual ~Acceptor() = default;
    [[nodiscard]] virtual std::uint16_t port() const = 0;
    virtual void stop() = 0;
};

[[nodiscard]] Result<std::unique_ptr<Acceptor>> accept(
    boost::asio::io_context& io, TlsIdentity identity, std::string host, std::uint16_t port,
    std::function<void(std::shared_ptr<Connection>)> accepted);

}  // namespace drover::wire
