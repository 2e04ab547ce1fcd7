/// TCP sockets for this folder's blocking code. Internal to wire/.
#pragma once

#include "base/file.h"
#include "base/result.h"

#include <cstdint>
#include <string>

namespace drover::wire {

/// Milliseconds on the monotonic clock.
using Deadline = std::int64_t;
[[nodiscard]] Deadline deadline_in(std::int64_t timeout_ms);

/// A connected non-blocking socket with our options. Name resolution may block beyond the deadline.
/// Errors: unavailable, timed_out, invalid (no such host).
[[nodiscard]] Result<Fd> dial_tcp(const std::string& host, std::uint16_t port, Deadline deadline);

/// A listening non-blocking socket. Errors: unavailable (port taken), invalid (not an address).
[[nodiscard]] Result<Fd> listen_tcp(const std::string& host, std::uint16_t port);

/// The local port of a socket.
[[nodiscard]] std::uint16_t port_of(int fd);

/// No delay, keep-alive; a peer that vanished is noticed within about 30 s.
void set_tcp_options(int fd);

}  // namespace drover::wire
