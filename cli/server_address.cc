#include "cli/server_address.h"

#include <charconv>

namespace drover::cli {
namespace {

Error bad_server(std::string_view text) {
    return Error{
        Errc::invalid, "bad_server",
        "'" + std::string(text) + "' is not a server; write for example https://mgmt.example:8443",
        "nothing was sent", "correct the address"};
}

}  // namespace

Result<ServerAddress> parse_server(std::string_view text) {
    constexpr std::string_view scheme = "https://";
    std::string_view rest = text;
    if (!rest.starts_with(scheme)) return bad_server(text);
    rest.remove_prefix(scheme.size());
    if (rest.ends_with('/')) rest.remove_suffix(1);
    if (rest.find_first_of("/?#@ ") != std::string_view::npos) return bad_server(text);
    ServerAddress out;
    if (rest.starts_with('[')) {
        const auto end = rest.find(']');
        if (end == std::string_view::npos) return bad_server(text);
        out.host = rest.substr(1, end - 1);
        rest.remove_prefix(end + 1);
    } else {
        const auto end = std::min(rest.find(':'), rest.size());
        out.host = rest.substr(0, end);
        rest.remove_prefix(end);
    }
    if (out.host.empty()) return bad_server(text);
    if (rest.empty()) return out;
    if (rest.front() != ':') return bad_server(text);
    rest.remove_prefix(1);
    const auto [last, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), out.port);
    if (failed != std::errc{} || last != rest.data() + rest.size() || out.port == 0) {
        return bad_server(text);
    }
    return out;
}

}  // namespace drover::cli
