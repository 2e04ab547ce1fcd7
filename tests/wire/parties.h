/// An authority with a server and two agents, and a second authority with an agent of its own.
#pragma once

#include "base/clock.h"
#include "wire/identity.h"
#include "wire/pki.h"

#include <string>
#include <vector>

namespace drover::wire::parties {

inline WallMicros now() {
    return SystemClock().wall_micros();
}

inline KeyAndCertificate new_authority() {
    return create_authority("drover test authority", now()).value();
}

inline TlsIdentity new_agent(const KeyAndCertificate& authority, const std::string& name) {
    const KeyAndRequest request = make_agent_request(name).value();
    const std::string certificate =
        issue_agent(authority, request.request_pem, name, {"127.0.0.1"}, now()).value();
    return {authority.certificate_pem, certificate, request.key_pem};
}

inline TlsIdentity new_server(const KeyAndCertificate& authority,
                              const std::vector<std::string>& hosts) {
    const KeyAndCertificate server = issue_server(authority, hosts, now()).value();
    return {authority.certificate_pem, server.certificate_pem, server.key_pem};
}

struct Parties {
    KeyAndCertificate authority = new_authority();
    TlsIdentity server = new_server(authority, {"127.0.0.1", "::1", "droverd.example"});
    TlsIdentity source = new_agent(authority, "source");
    TlsIdentity target = new_agent(authority, "target");
    KeyAndCertificate foreign_authority = new_authority();
    TlsIdentity foreign = new_agent(foreign_authority, "source");

    /// Trusts us, but shows a certificate of the foreign authority.
    [[nodiscard]] TlsIdentity impostor() const {
        return {authority.certificate_pem, foreign.certificate_pem, foreign.key_pem};
    }

    /// Trusts us and shows no certificate.
    [[nodiscard]] TlsIdentity anonymous() const { return {authority.certificate_pem, {}, {}}; }
};

}  // namespace drover::wire::parties
