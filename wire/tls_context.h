/// TLS as all our listeners and clients use it: 1.3 only, our authority as the only trust anchor,
/// no session tickets, no early data, no renegotiation, no compression. Inside wire/ it serves the
/// blocking stream and the Asio driver; the HTTPS listener takes its context from here too.
#pragma once

#include "base/result.h"
#include "wire/identity.h"

#include <memory>
#include <string>
#include <string_view>

// OpenSSL's own names for its types, so that this header stays light.
struct ssl_ctx_st;
struct ssl_st;

namespace drover::wire {

enum class TlsMode {
    client,         ///< verifies the server; shows a certificate if the identity has one
    mutual_server,  ///< refuses clients without a certificate of our authority
    open_server,    ///< asks for no client certificate (HTTPS with tokens); sends the authority
                  ///< along, so that a client can check its pin
    pinned_client  ///< checks nothing by itself: the caller checks the pin before it sends a byte
};

struct TlsContextDeleter {
    void operator()(ssl_ctx_st* context) const;
};

using TlsContextPtr = std::unique_ptr<ssl_ctx_st, TlsContextDeleter>;

/// Errors: invalid (bad PEM, key and certificate do not match). Thread-safe; the context too.
[[nodiscard]] Result<TlsContextPtr> make_tls_context(const TlsIdentity& identity, TlsMode mode);

/// Identity URI of the verified peer; checked against `expected` unless that is empty. Call after
/// the handshake. Errors: denied.
[[nodiscard]] Result<std::string> checked_peer(ssl_st* ssl, std::string_view expected);

/// What went wrong in this thread's last call on `ssl`: denied when either side did not accept the
/// other's certificate, otherwise unavailable.
[[nodiscard]] Error tls_error(ssl_st* ssl, std::string_view action);

/// The same for an OpenSSL error code that somebody else took from the queue.
[[nodiscard]] Error tls_error_from(ssl_st* ssl, unsigned long code, std::string_view action);

/// One side has to speak first after the handshake: with TLS 1.3 a client is done before the server
/// has looked at its certificate. The accepting side therefore begins with one empty frame, and a
/// dialling side waits for it: a refused certificate is then an error of dialling, not of the first
/// receive.
constexpr std::size_t greeting_bytes = 4;

}  // namespace drover::wire
