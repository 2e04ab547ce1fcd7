#include "orchestrator/enrolment.h"

#include "base/sha256.h"

#include <algorithm>

namespace drover::orchestrator {

std::string Enrolment::token(const Uuid& command_id) const {
    // Both inputs have a fixed length, so nothing can be appended to them.
    Sha256 sha;
    sha.update(as_bytes("drover-agent-token")).update(secret_.view()).update(command_id.view());
    // The prefix lets secret scanners find a leaked one.
    return "drover_agent_" + sha.finish().hex();
}

Result<std::string> Enrolment::issue(const std::string& request_pem, const std::string& agent,
                                     const std::vector<std::string>& hosts, WallMicros now) const {
    return wire::issue_agent(authority_, request_pem, agent, hosts, now);
}

Hash token_hash(std::string_view token) {
    return sha256(as_bytes(token));
}

bool equal_secret(const Hash& one, const Hash& other) {
    unsigned difference = 0;
    for (std::size_t i = 0; i < one.data.size(); ++i) {
        difference |= static_cast<unsigned>(one.data[i] ^ other.data[i]);
    }
    return difference == 0;
}

bool valid_host(std::string_view host) {
    if (host.empty() || host.size() > 253) return false;
    return std::all_of(host.begin(), host.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '.' || c == ':' || c == '-';
    });
}

}  // namespace drover::orchestrator
