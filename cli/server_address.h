/// Where droverd is: "https://HOST[:PORT]" taken apart. Pure.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace drover::cli {

struct ServerAddress {
    std::string host;  ///< name, IPv4 address, or IPv6 address without brackets
    std::uint16_t port = 8443;

    bool operator==(const ServerAddress&) const = default;
};

/// Errors: invalid ("bad_server"): another scheme, a path, a user, no host, a port
/// outside 1..65535.
[[nodiscard]] Result<ServerAddress> parse_server(std::string_view text);

}  // namespace drover::cli
