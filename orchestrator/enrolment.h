/// How a host becomes an agent: one-time tokens and certificates. The facts about both are in the
/// log (registry.h); secrets are not: a token is derived from the server's secret and the id of the
/// command that asked for it, so a repeated request gets the same token although only its hash is
/// stored.
#pragma once

#include "base/random.h"
#include "wire/pki.h"

#include <string>

namespace drover::orchestrator {

class Enrolment {
  public:
    /// `secret`: 256 random bits, made by init, known to nobody else.
    Enrolment(wire::KeyAndCertificate authority, std::string orchestrator_public_pem,
              std::string ca_pin, const Hash& secret)
        : authority_(std::move(authority)),
          orchestrator_public_pem_(std::move(orchestrator_public_pem)),
          ca_pin_(std::move(ca_pin)),
          secret_(secret) {}

    [[nodiscard]] std::string token(const Uuid& command_id) const;

    /// A certificate for `agent`. Errors: invalid (the request is no valid PKCS#10).
    [[nodiscard]] Result<std::string> issue(const std::string& request_pem,
                                            const std::string& agent,
                                            const std::vector<std::string>& hosts,
                                            WallMicros now) const;

    [[nodiscard]] const std::string& authority_pem() const { return authority_.certificate_pem; }

    [[nodiscard]] const std::string& orchestrator_public_pem() const {
        return orchestrator_public_pem_;
    }

    [[nodiscard]] const std::string& ca_pin() const { return ca_pin_; }

  private:
    wire::KeyAndCertificate authority_;
    std::string orchestrator_public_pem_;
    std::string ca_pin_;
    Hash secret_;
};

/// What is stored of a token, of either kind.
[[nodiscard]] Hash token_hash(std::string_view token);

/// Compares in a time that does not depend on the contents.
[[nodiscard]] bool equal_secret(const Hash& one, const Hash& other);

/// A host name or address that may stand in a certificate.
[[nodiscard]] bool valid_host(std::string_view host);

constexpr std::size_t hosts_max = 16;

}  // namespace drover::orchestrator
