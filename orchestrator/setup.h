/// The state directory of a management server: what `droverd init` makes once and every run reads.
///
///   authority.{key,crt}  our own CA         server.{key,crt}  both listeners
///   recovery.pub         agents believe a restore with a loss if this key's other half signed it
///   ticket.{key,pub}     signs job tickets  tokens.key        agent tokens are derived from it
///   anchor.{key,pub}     signs anchors      anchors.jsonl     those that were made
///   api-token            for the operator; may be taken away
///   api-token.hash       what the server keeps of it
///   older_copy.json      written when an agent has shown that this log is one (older_copy.h)
///   log/                 the event log
///
/// Keys have mode 0600, the directory 0700. Blocking.
#pragma once

#include "base/clock.h"
#include "base/ed25519.h"
#include "base/random.h"
#include "wire/pki.h"

#include <filesystem>
#include <string>
#include <vector>

namespace drover::orchestrator {

struct Initialised {
    std::string ca_pin;
    std::filesystem::path api_token;
    Hash anchor_key;  ///< fingerprint of the key that signs anchors
    std::filesystem::path recovery_key;  ///< private: to be moved to where no server is
};

/// The recovery key is written to `recovery_key`, or beside the others where none is named.
/// Errors: conflict (state_not_empty): nothing is ever overwritten; invalid (bad_host); io.
[[nodiscard]] Result<Initialised> initialise_state(const std::filesystem::path& directory,
                                                   const std::vector<std::string>& hosts,
                                                   Random& random, WallMicros now,
                                                   std::filesystem::path recovery_key = {});

struct Secrets {
    SigningSeed anchor;
    wire::KeyAndCertificate authority = {};
    wire::KeyAndCertificate server = {};
    wire::SigningKey ticket = {};
    Hash api_token_hash = {};
    Hash agent_token_secret = {};
    std::string ca_pin = {};
    std::string recovery_public_pem = {};  ///< empty in a state of before there was one
};

/// Errors: not_found (state_missing), corrupt (state_damaged), io.
[[nodiscard]] Result<Secrets> load_secrets(const std::filesystem::path& directory);

/// A directory made before there were anchors gets its key; said in the log. Nothing is changed if
/// there is one. Errors: not_found (state_missing), also if anchors are here without their key; io.
[[nodiscard]] Result<> provide_anchor_key(const std::filesystem::path& directory, Random& random);

[[nodiscard]] std::filesystem::path anchors_file(const std::filesystem::path& directory);
[[nodiscard]] std::filesystem::path log_directory(const std::filesystem::path& directory);

}  // namespace drover::orchestrator
