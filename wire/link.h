/// A framed, mutually authenticated byte pipe between two agents, as blocking calls with deadlines:
/// the replicator's view of the network. TLS implementation: tls_link.h. In-memory pair for tests
/// and simulations: memory_link.h.
///
/// A frame is a u32 little-endian length and that many bytes, at most `frame_bytes_max` of the link.
/// The length is checked before anything is allocated.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace drover::wire {

class Link {
  public:
    virtual ~Link() = default;

    /// Sends one frame made of `head` and `body` back to back (so that payload need not be copied).
    /// Blocks until the peer's window took it. Errors: unavailable (connection gone), timed_out,
    /// cancelled. After any error the link is dead. One sending thread at a time.
    [[nodiscard]] virtual Result<> send(ByteView head, ByteView body = {}) = 0;

    /// As send(), but a small frame may stay here until flush(), send(), or enough frames came
    /// together: one write of the network for many of them. Only the sending thread calls it.
    [[nodiscard]] virtual Result<> collect(ByteView head, ByteView body = {}) {
        return send(head, body);
    }

    /// Sends what was collected. Errors: as send().
    [[nodiscard]] virtual Result<> flush() { return {}; }

    /// The next frame. Errors: unavailable, timed_out, cancelled, invalid (oversized frame). A
    /// time-out leaves the link usable when no byte of a frame had arrived. One receiving thread at a
    /// time; it may differ from the sender.
    [[nodiscard]] virtual Result<Bytes> receive(std::int64_t timeout_ms) = 0;

    /// Ends all present and future calls with cancelled. From any thread, at any time.
    virtual void abort() = 0;

    /// Identity URI of the peer's verified certificate, for example "drover:agent:web-01".
    [[nodiscard]] virtual const std::string& peer() const = 0;
};

constexpr std::size_t control_frame_bytes_max = 1U << 20;
constexpr std::size_t bulk_frame_bytes_max = (1U << 20) + 256;

}  // namespace drover::wire
