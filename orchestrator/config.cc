#include "orchestrator/config.h"

#include "base/bytes.h"
#include "base/file.h"

#include <charconv>
#include <functional>

#include <toml++/toml.h>

namespace drover::orchestrator {

namespace {

constexpr std::size_t config_bytes_max = 64U << 10;

Error invalid(const toml::source_region& where, const std::string& why) {
    return Error(Errc::invalid, "config_invalid",
                 "line " + std::to_string(where.begin.line) + ": " + why, "droverd did not start",
                 "correct the configuration file");
}

using Setter = std::function<Result<>(const toml::node&, Config&)>;

Result<> set_level(const toml::node& value, Config& config) {
    static const std::map<std::string, log::Level> levels = {{"debug", log::Level::debug},
                                                             {"info", log::Level::info},
                                                             {"warn", log::Level::warn},
                                                             {"error", log::Level::error}};
    const auto found = levels.find(value.value_or(std::string()));
    if (found == levels.end()) {
        return invalid(value.source(), "log_level is debug, info, warn or error");
    }
    config.log_level = found->second;
    return {};
}

Setter address(ListenAddress Config::*member) {
    return [member](const toml::node& value, Config& config) -> Result<> {
        auto parsed = listen_address_from(value.value_or(std::string()));
        if (!parsed) return invalid(value.source(), parsed.error().detail());
        config.*member = std::move(*parsed);
        return {};
    };
}

Setter bytes(std::uint64_t Config::*member) {
    return [member](const toml::node& value, Config& config) -> Result<> {
        const auto number = value.value_exact<std::int64_t>();
        if (!number || *number < 0) return invalid(value.source(), "must be a number of bytes");
        config.*member = static_cast<std::uint64_t>(*number);
        return {};
    };
}

Result<> set_anchor_file(const toml::node& value, Config& config) {
    config.anchor_file = value.value_or(std::string());
    if (config.anchor_file.is_absolute()) return {};
    return invalid(value.source(), "anchor_file must be an absolute path");
}

Result<> read_table(const toml::table& table, const std::string& prefix,
                    const std::map<std::string, Setter>& setters, Config& config) {
    for (const auto& [key, value] : table) {
        const std::string name = prefix + std::string(key.str());
        if (const toml::table* nested = value.as_table()) {
            TRY_VOID(read_table(*nested, name + ".", setters, config));
            continue;
        }
        const auto setter = setters.find(name);
        if (setter == setters.end()) {
            return invalid(key.source(), "\"" + printable(name, 80) + "\" is not known");
        }
        TRY_VOID(setter->second(value, config));
    }
    return {};
}

}  // namespace

Result<ListenAddress> listen_address_from(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    ListenAddress address;
    if (colon != std::string::npos) {
        address.host = text.substr(0, colon);
        const char* const end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, address.port);
        const bool is_bracketed =
            address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']';
        if (is_bracketed) address.host = address.host.substr(1, address.host.size() - 2);
        if (error == std::errc() && stop == end && !address.host.empty()) return address;
    }
    return Error(Errc::invalid, "bad_listen_address",
                 "\"" + printable(text, 80) + "\" is not ADDRESS:PORT", "nothing was changed",
                 "give an address like 127.0.0.1:8443 or [::1]:8443");
}

std::string text_of(const ListenAddress& address) {
    const bool is_v6 = address.host.find(':') != std::string::npos;
    return (is_v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

Result<Config> read_config(const std::filesystem::path& path) {
    TRY(const auto text, read_text(path, config_bytes_max));
    const std::map<std::string, Setter> setters = {
        {"log_level", set_level},
        {"listen.http", address(&Config::http)},
        {"listen.agents", address(&Config::agents)},
        {"log.reserve_bytes", bytes(&Config::reserve_bytes)},
        {"log.ballast_bytes", bytes(&Config::ballast_bytes)},
        {"audit.anchor_file", set_anchor_file},
    };
    Config config;
    try {
        TRY_VOID(read_table(toml::parse(text), "", setters, config));
    } catch (const toml::parse_error& error) {
        return invalid(error.source(), std::string(error.description()));
    }
    return config;
}

std::map<std::string, std::string> settings_of(const Config& config) {
    return {{"listen.http", text_of(config.http)},
            {"listen.agents", text_of(config.agents)},
            {"log.reserve_bytes", std::to_string(config.reserve_bytes)},
            {"log.ballast_bytes", std::to_string(config.ballast_bytes)},
            {"audit.anchor_file", config.anchor_file.string()}};
}

}  // namespace drover::orchestrator
