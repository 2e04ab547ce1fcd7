/// Link over TLS 1.3 with mutual verification. Blocking; each link is used by its owner's threads.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "wire/identity.h"
#include "wire/link.h"

namespace drover::wire {

struct DialOptions {
    std::string host;
    std::uint16_t port = 0;
    std::string expected_peer;  ///< identity URI that the other side's certificate must carry
    std::int64_t timeout_ms = 10'000;  ///< for connect plus handshake
    std::int64_t send_timeout_ms = 30'000;
    std::size_t frame_bytes_max = control_frame_bytes_max;
    /// New keys after this many bytes sent: AES-GCM must not seal more than 2^24.5 records with one.
    std::uint64_t rekey_bytes = std::uint64_t{64} << 30;
};

/// Returns once the other side has accepted our certificate too (it says so by an empty first frame).
/// Errors: unavailable (refused, unreachable), denied (certificate), timed_out.
[[nodiscard]] Result<std::unique_ptr<Link>> dial_tls(const TlsIdentity& identity,
                                                     const DialOptions& options);

struct ListenOptions {
    std::string host = "0.0.0.0";
    std::uint16_t port = 0;  ///< 0: the kernel chooses, see TlsListener::port()
    std::size_t frame_bytes_max = control_frame_bytes_max;
    std::int64_t handshake_timeout_ms = 10'000;
    std::int64_t send_timeout_ms = 30'000;
    std::size_t unauthenticated_max = 16;  ///< concurrent handshakes; more are closed at once
    std::uint64_t rekey_bytes = std::uint64_t{64} << 30;  ///< as DialOptions::rekey_bytes
};

/// Accepts on its own thread; hands over only links whose handshake verified a certificate of our
/// authority: before that, no byte from the peer is parsed by anything but TLS.
class TlsListener {
  public:
    using Accept = std::function<void(std::unique_ptr<Link>)>;
    virtual ~TlsListener() = default;  ///< stops listening and joins; accepted links live on
    [[nodiscard]] virtual std::uint16_t port() const = 0;
};

/// `accept` is called on a thread of the listener, one at a time; it must not block for long.
/// Errors: unavailable (port taken), invalid (bad PEM).
[[nodiscard]] Result<std::unique_ptr<TlsListener>> listen_tls(const TlsIdentity& identity,
                                                              const ListenOptions& options,
                                                              TlsListener::Accept accept);

}  // namespace drover::wire
