/// The state directory of a management server: what `droverd init` makes once and every run reads.
///
///   authority.{key,crt}  our own CA         server.{key,crt}  both listeners
///   ticket.{key,pub}     signs job tickets  tokens.key        agent tokens are derived from it
///   api-token            for the operator; may be taken away     api-token.hash  what the server
///   keeps log/                 the event log
///
/// Keys have mode 0600, the directory 0700. Blocking.
#pragma once

#include "base/clock.h"
#include "base/random.h"
#include "wire/pki.h"

#include <filesystem>
#include <string>
#include <vector>

namespace drover::orchestrator {

struct Initialised {
    std::string ca_pin;
    std::filesystem::path api_token;
};

/// Errors: conflict (state_not_empty): nothing is ever overwritten; invalid (bad_host); io.
[[nodiscard]] Result<Initialised> initialise_state(const std::filesystem::path& directory,
                                                   const std::vector<std::string>& hosts,
                                                   Random& random, WallMicros now);

struct Secrets {
    wire::KeyAndCertificate authority;
    wire::KeyAndCertificate server;
    wire::SigningKey ticket;
    Hash api_token_hash;
    Hash agent_token_secret;
    std::string ca_pin;
};

/// Errors: not_found (state_missing), corrupt (state_damaged), io.
[[nodiscard]] Result<Secrets> load_secrets(const std::filesystem::path& directory);

[[nodiscard]] std::filesystem::path log_directory(const std::filesystem::path& directory);

}  // namespace drover::orchestrator
