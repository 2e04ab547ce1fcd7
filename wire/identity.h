/// What one party needs for mutual TLS, and which peer it accepts.
#pragma once

#include <string>

namespace drover::wire {

struct TlsIdentity {
    std::string authority_pem;    ///< the only trust anchor
    std::string certificate_pem;  ///< empty for a client without a certificate (enrolment, CLI)
    std::string key_pem;
};

constexpr const char* server_identity = "drover:server";

/// "drover:agent:NAME"
[[nodiscard]] inline std::string agent_identity(const std::string& name) {
    return "drover:agent:" + name;
}

}  // namespace drover::wire
