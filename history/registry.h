/// Who may speak as an agent: one-time tokens, enrolments, and the host each name is bound to. The
/// same shape as a job: pure decide and evolve over durable facts.
///
/// A name is bound to the first host that says Hello under it after an enrolment. Another host
/// under the same name (a cloned machine) is refused until the name is enrolled again.
#pragma once

#include "history/system_fact.h"
#include "schemas/session.h"

#include <map>
#include <string>
#include <variant>
#include <vector>

namespace drover::history {

struct AgentEntry {
    WallMicros enrolled_micros = 0;
    std::vector<std::string> hosts;  ///< names and addresses in its certificate
    /// nullopt until the first Hello after the enrolment.
    std::optional<AgentDescribed> described;

    bool operator==(const AgentEntry&) const = default;
};

struct TokenEntry {
    std::string agent;
    WallMicros expires_micros = 0;
    std::optional<Hash> used_for;  ///< digest of the certificate request that used it up

    bool operator==(const TokenEntry&) const = default;
};

struct Registry {
    std::map<std::string, AgentEntry> agents;
    std::map<Hash, TokenEntry> tokens;  ///< by hash of the token

    bool operator==(const Registry&) const = default;
};

// ---- wishes ----

struct CreateToken {
    std::string agent;
    Hash token_hash;
    std::uint32_t ttl_s = 0;
};

struct Enrol {
    std::string agent;
    Hash token_hash;
    Hash request_digest;
    std::vector<std::string> hosts;
};

struct Describe {
    AgentDescribed description;
};

using RegistryWish = std::variant<CreateToken, Enrol, Describe>;

constexpr std::uint32_t token_ttl_s_default = 900;
constexpr std::uint32_t token_ttl_s_max = 7 * 86'400;
constexpr std::size_t tokens_open_max = 10'000;

/// The facts that `wish` makes; none if it is already so. Errors: invalid (bad name, TTL), denied
/// (token unknown, expired, used, for another agent; agent unknown or on another host).
[[nodiscard]] Result<std::vector<SystemFact>> decide(const Registry& registry,
                                                     const RegistryWish& wish,
                                                     const std::string& actor,
                                                     WallMicros now_micros);

/// Enrolled, or announced by a token: a job may name it.
[[nodiscard]] bool is_known(const Registry& registry, const std::string& agent);

/// The only way the registry changes, live and on replay.
void evolve(Registry& registry, const SystemFact& fact, WallMicros wall_micros);

}  // namespace drover::history
