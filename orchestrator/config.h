/// What an operator can set of a run: a TOML file, and flags that win over it.
///
///   log_level = "info"                 # debug | info | warn | error
///   [listen]
///   http = "127.0.0.1:8443"
///   agents = "0.0.0.0:6325"
///   [log]
///   reserve_bytes = 67108864           # commands are refused while the volume has less free
///   ballast_bytes = 268435456          # set aside so that a full volume can still be opened
///   [audit]
///   anchor_file = "/other/volume/anchors.jsonl"   # a second place for the anchors
#pragma once

#include "base/log.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace drover::orchestrator {

struct ListenAddress {
    std::string host;
    std::uint16_t port = 0;

    bool operator==(const ListenAddress&) const = default;
};

struct Config {
    ListenAddress http{"127.0.0.1", 8443};
    ListenAddress agents{"0.0.0.0", 6325};
    log::Level log_level = log::Level::info;
    std::uint64_t reserve_bytes = 64U << 20;
    std::uint64_t ballast_bytes = 256U << 20;
    std::filesystem::path anchor_file;  ///< empty: none
};

/// "127.0.0.1:8443", "[::1]:8443". Errors: invalid (bad_listen_address).
[[nodiscard]] Result<ListenAddress> listen_address_from(const std::string& text);
[[nodiscard]] std::string text_of(const ListenAddress& address);

/// Errors: invalid (config_invalid) with the line; an unknown key is one. not_found, io.
[[nodiscard]] Result<Config> read_config(const std::filesystem::path& path);

/// For the support bundle.
[[nodiscard]] std::map<std::string, std::string> settings_of(const Config& config);

}  // namespace drover::orchestrator
