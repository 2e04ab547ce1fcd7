#include "history/registry.h"

#include "base/mutation.h"

#include <algorithm>

namespace drover::history {

namespace {

constexpr const char* nothing_changed = "nothing was changed";

/// One answer for every way a token can be wrong, so that a guesser learns nothing from it.
Error token_denied() {
    return Error(Errc::denied, "enrolment_denied",
                 "the token is wrong, expired, already used, or for another agent", nothing_changed,
                 "make a new one with `drover agent token NAME` and enrol within its time");
}

Result<std::vector<SystemFact>> decide_token(const Registry& registry, const CreateToken& wish,
                                             const std::string& actor, WallMicros now_micros) {
    if (!valid_name(wish.agent)) {
        return Error(Errc::invalid, "agent_name_invalid",
                     "an agent's name has 1 to 63 characters of a-z, 0-9 and -", nothing_changed,
                     "choose another name");
    }
    if (wish.ttl_s == 0 || wish.ttl_s > token_ttl_s_max) {
        return Error(Errc::invalid, "token_ttl_invalid",
                     "ttl_s must be between 1 and " + std::to_string(token_ttl_s_max),
                     nothing_changed, "choose a shorter time");
    }
    const auto open = std::count_if(
        registry.tokens.begin(), registry.tokens.end(), [now_micros](const auto& entry) {
            return !entry.second.used_for && entry.second.expires_micros > now_micros;
        });
    if (static_cast<std::size_t>(open) >= tokens_open_max) {
        return Error(Errc::unavailable, "too_many_tokens",
                     "there are " + std::to_string(open) + " unused tokens", nothing_changed,
                     "use them or wait until they expire");
    }
    return std::vector<SystemFact>{
        AgentTokenCreated{.agent = wish.agent,
                          .token_hash = wish.token_hash,
                          .expires_micros = now_micros + WallMicros{wish.ttl_s} * 1'000'000,
                          .by = actor}};
}

Result<std::vector<SystemFact>> decide_enrol(const Registry& registry, const Enrol& wish,
                                             WallMicros now_micros) {
    const auto found = registry.tokens.find(wish.token_hash);
    if (found == registry.tokens.end()) return token_denied();
    const TokenEntry& token = found->second;
    if (token.agent != wish.agent || token.expires_micros <= now_micros) return token_denied();
    if (token.used_for) {
        // The answer may have been lost: the same request may have it again, another may not.
        if (*token.used_for == wish.request_digest) return std::vector<SystemFact>{};
        return token_denied();
    }
    return std::vector<SystemFact>{AgentEnrolled{.agent = wish.agent,
                                                 .token_hash = wish.token_hash,
                                                 .request_digest = wish.request_digest,
                                                 .hosts = wish.hosts}};
}

Result<std::vector<SystemFact>> decide_describe(const Registry& registry, const Describe& wish) {
    const AgentDescribed& described = wish.description;
    const auto found = registry.agents.find(described.agent);
    if (found == registry.agents.end()) {
        return Error(Errc::denied, "agent_unknown",
                     "no agent named " + printable(described.agent, 63) + " was enrolled here",
                     nothing_changed, "enrol it with a token of this orchestrator");
    }
    const AgentEntry& agent = found->second;
    if (!agent.described) return std::vector<SystemFact>{described};
    const bool is_other_host = agent.described->host_identity != described.host_identity;
    if (is_other_host && !DROVER_MUTANT("two_hosts_admitted")) {
        return Error(
            Errc::denied, "agent_host_changed",
            "agent " + described.agent + " is bound to another host than the one that calls",
            "jobs of this agent keep their state",
            "stop the copy of the agent, or enrol the name again on its new host");
    }
    if (*agent.described == described) return std::vector<SystemFact>{};
    return std::vector<SystemFact>{described};
}

}  // namespace

Result<std::vector<SystemFact>> decide(const Registry& registry, const RegistryWish& wish,
                                       const std::string& actor, WallMicros now_micros) {
    if (const auto* create = std::get_if<CreateToken>(&wish)) {
        return decide_token(registry, *create, actor, now_micros);
    }
    if (const auto* enrol = std::get_if<Enrol>(&wish)) {
        return decide_enrol(registry, *enrol, now_micros);
    }
    return decide_describe(registry, std::get<Describe>(wish));
}

bool is_known(const Registry& registry, const std::string& agent) {
    if (registry.agents.contains(agent)) return true;
    return std::any_of(registry.tokens.begin(), registry.tokens.end(),
                       [&](const auto& token) { return token.second.agent == agent; });
}

void evolve(Registry& registry, const SystemFact& fact, WallMicros wall_micros) {
    if (const auto* token = std::get_if<AgentTokenCreated>(&fact)) {
        registry.tokens[token->token_hash] = {token->agent, token->expires_micros, std::nullopt};
    } else if (const auto* enrolled = std::get_if<AgentEnrolled>(&fact)) {
        registry.tokens[enrolled->token_hash].used_for = enrolled->request_digest;
        registry.agents[enrolled->agent] = {wall_micros, enrolled->hosts, std::nullopt};
    } else if (const auto* described = std::get_if<AgentDescribed>(&fact)) {
        registry.agents[described->agent].described = *described;
    }
}

}  // namespace drover::history
