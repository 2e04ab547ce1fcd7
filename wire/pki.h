/// Our own small certificate authority, over OpenSSL. Ed25519 throughout. PEM strings in and out, so
/// that no OpenSSL type leaves this file's .cc. Pure but for randomness and the clock passed in.
///
/// Certificates carry the identity as one URI SAN: "drover:server", "drover:agent:NAME".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace drover::wire {

struct KeyAndCertificate {
    std::string key_pem;
    std::string certificate_pem;
};

/// A new self-signed authority, valid for 10 years.
[[nodiscard]] Result<KeyAndCertificate> create_authority(std::string_view common_name,
                                                         WallMicros now_micros);

/// A key and certificate for the orchestrator's listeners; `hosts` are DNS names or IP addresses.
[[nodiscard]] Result<KeyAndCertificate> issue_server(const KeyAndCertificate& authority,
                                                     const std::vector<std::string>& hosts,
                                                     WallMicros now_micros);

struct KeyAndRequest {
    std::string key_pem;
    std::string request_pem;  ///< PKCS#10
};

/// Made on the agent; the key never leaves it.
[[nodiscard]] Result<KeyAndRequest> make_agent_request(std::string_view agent);

/// Signs a request after checking its self-signature. The subject comes from `agent`, never from the
/// request. `hosts` become IP/DNS SANs (a target listens). Valid for a year. Errors: invalid.
[[nodiscard]] Result<std::string> issue_agent(const KeyAndCertificate& authority,
                                              std::string_view request_pem, std::string_view agent,
                                              const std::vector<std::string>& hosts,
                                              WallMicros now_micros);

/// SHA-256 of the DER certificate in hex: the pin that an operator carries to a host.
[[nodiscard]] Result<std::string> fingerprint(std::string_view certificate_pem);

/// The identity URI of a certificate, after checking that `authority_pem` issued it and that it is
/// valid now. Errors: denied.
[[nodiscard]] Result<std::string> verified_identity(std::string_view certificate_pem,
                                                    std::string_view authority_pem,
                                                    WallMicros now_micros);

/// An Ed25519 key pair for tickets: private PEM and public PEM.
struct SigningKey {
    std::string key_pem;
    std::string public_pem;
};

[[nodiscard]] Result<SigningKey> make_signing_key();
[[nodiscard]] Result<Bytes> sign(std::string_view key_pem, ByteView message);
/// `public_pem` may be a public key or a certificate. Errors: denied (bad signature), invalid.
[[nodiscard]] Result<> verify_signature(std::string_view public_pem, ByteView message,
                                        ByteView signature);

}  // namespace drover::wire
