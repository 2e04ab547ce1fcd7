#include "agent/config.h"

#include <algorithm>
#include <initializer_list>
#include <vector>

#define TOML_EXCEPTIONS 0
#include "base/bytes.h"
#include "base/file.h"

#include <toml++/toml.h>

namespace drover::agent {
namespace {

constexpr std::size_t config_bytes_max = 256U << 10;
constexpr std::uint32_t hook_timeout_s_max = 3600;
constexpr std::uint32_t walk_mib_per_s_max = 100'000;
constexpr std::uint32_t freeze_limit_s_max = 30;
constexpr std::uint32_t journal_mib_min = 16;
constexpr std::uint32_t journal_mib_max = 65536;

/// Reads typed values out of one file and keeps the first complaint.
class Reader {
  public:
    explicit Reader(std::string_view origin)
        : origin_(origin) {}

    void complain(const toml::node* at, const std::string& what) {
        if (error_) return;
        std::string where(origin_);
        if (at != nullptr) {
            where += ":" + std::to_string(at->source().begin.line) + ":" +
                     std::to_string(at->source().begin.column);
        }
        error_ = Error(Errc::invalid, "config_invalid", where + ": " + what, "nothing was changed",
                       "correct the file and start again");
    }

    void only_keys(const toml::table& table, std::initializer_list<std::string_view> known) {
        for (const auto& [key, node] : table) {
            if (std::find(known.begin(), known.end(), key.str()) == known.end())
                complain(&node, "unknown key \"" + std::string(key.str()) + "\"");
        }
    }

    std::string text(const toml::table& table, std::string_view key, std::string fallback = {}) {
        const toml::node* node = table.get(key);
        if (node == nullptr) return fallback;
        const auto value = node->value_exact<std::string>();
        if (!value) complain(node, "\"" + std::string(key) + "\" must be a string");
        return value.value_or(std::move(fallback));
    }

    std::uint32_t number(const toml::table& table, std::string_view key, std::uint32_t fallback,
                         std::uint32_t max, std::uint32_t min = 1) {
        const toml::node* node = table.get(key);
        if (node == nullptr) return fallback;
        const auto value = node->value_exact<std::int64_t>();
        if (!value || *value < min || *value > max) {
            complain(node, "\"" + std::string(key) + "\" must be a number from " +
                               std::to_string(min) + " to " + std::to_string(max));
            return fallback;
        }
        return static_cast<std::uint32_t>(*value);
    }

    std::uint16_t port(const toml::table& table, std::string_view key, std::uint16_t fallback) {
        return static_cast<std::uint16_t>(number(table, key, fallback, 65535));
    }

    const toml::table* section(const toml::table& root, std::string_view key) {
        const toml::node* node = root.get(key);
        if (node == nullptr) return nullptr;
        if (!node->is_table()) complain(node, "\"" + std::string(key) + "\" must be a table");
        return node->as_table();
    }

    [[nodiscard]] const std::optional<Error>& error() const { return error_; }

  private:
    std::string_view origin_;
    std::optional<Error> error_;
};

void read_server(Reader& reader, const toml::table& root, Config& config) {
    const std::string server = reader.text(root, "server");
    const std::size_t colon = server.rfind(':');
    const std::string port = colon == std::string::npos ? "" : server.substr(colon + 1);
    const bool digits =
        !port.empty() && port.size() <= 5 &&
        std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
    const unsigned long value = digits ? std::stoul(port) : 0;
    if (colon == 0 || value == 0 || value > 65535) {
        reader.complain(root.get("server"), "\"server\" must be HOST:PORT of droverd's agent port");
        return;
    }
    config.server_host = server.substr(0, colon);
    if (config.server_host.size() > 2 && config.server_host.front() == '[')  // an IPv6 address
        config.server_host = config.server_host.substr(1, config.server_host.size() - 2);
    config.server_port = static_cast<std::uint16_t>(value);
}

void read_roles(Reader& reader, const toml::table& root, Config& config) {
    const toml::array* roles = root["roles"].as_array();
    if (roles == nullptr || roles->empty()) {
        reader.complain(root.get("roles"), "\"roles\" must list \"source\", \"target\" or both");
        return;
    }
    for (const toml::node& node : *roles) {
        const auto role = node.value_exact<std::string>().value_or("");
        if (role == "source") config.is_source = true;
        if (role == "target") config.is_target = true;
        if (role != "source" && role != "target") reader.complain(&node, "unknown role");
    }
}

void read_listen(Reader& reader, const toml::table& root, Config& config) {
    const toml::table* listen = reader.section(root, "listen");
    ListenConfig out;
    if (listen != nullptr) {
        reader.only_keys(*listen, {"host", "advertise", "control_port", "bulk_port"});
        out.host = reader.text(*listen, "host", out.host);
        out.advertise = reader.text(*listen, "advertise");
        out.control_port = reader.port(*listen, "control_port", out.control_port);
        out.bulk_port = reader.port(*listen, "bulk_port", out.bulk_port);
    }
    if (out.advertise.empty()) out.advertise = out.host;
    const bool is_wildcard = out.advertise == "0.0.0.0" || out.advertise == "::";
    // One file may serve as a template for every host: a source needs no [listen] unless what its
    // target's users write may come back.
    if (!config.is_target && (listen == nullptr || is_wildcard)) return;
    if (is_wildcard)
        reader.complain(listen,
                        "listen.advertise must name the address that the source dials, "
                        "because listen.host is a wildcard");
    if (out.control_port == out.bulk_port)
        reader.complain(listen, "listen.control_port and listen.bulk_port must differ");
    config.listen = out;
}

void read_hooks(Reader& reader, const toml::table& root, Config& config) {
    if (const toml::table* hooks = reader.section(root, "hooks")) {
        for (const auto& [key, node] : *hooks) {
            const std::string name(key.str());
            const auto path = node.value_exact<std::string>().value_or("");
            if (!valid_name(name)) reader.complain(&node, "hook names are of [a-z0-9-]");
            if (path.empty() || path.front() != '/')
                reader.complain(&node, "a hook is an absolute path");
            config.hooks[name] = path;
        }
    }
    if (const toml::table* limits = reader.section(root, "hook_limits")) {
        reader.only_keys(*limits, {"timeout_s"});
        config.hook_timeout_s =
            reader.number(*limits, "timeout_s", config.hook_timeout_s, hook_timeout_s_max);
    }
}

void read_tracker(Reader& reader, const toml::table& root, Config& config) {
    const toml::table* tracker = reader.section(root, "tracker");
    if (tracker == nullptr) return;
    reader.only_keys(*tracker, {"kind"});
    const std::string kind = reader.text(*tracker, "kind", "auto");
    if (kind != "auto" && kind != "scan")
        reader.complain(tracker->get("kind"), "tracker.kind must be \"auto\" or \"scan\"");
    config.allow_ebpf = kind == "auto";
}

void read_transport(Reader& reader, const toml::table& root, Config& config) {
    using replicator::Compression;
    const toml::table* transport = reader.section(root, "transport");
    if (transport == nullptr) return;
    reader.only_keys(*transport, {"compression", "streams"});
    static const std::map<std::string, Compression> kinds{{"auto", Compression::automatic},
                                                          {"none", Compression::none},
                                                          {"lz4", Compression::lz4},
                                                          {"zstd", Compression::zstd}};
    const auto kind = kinds.find(reader.text(*transport, "compression", "auto"));
    if (kind != kinds.end()) {
        config.compression = kind->second;
    } else {
        reader.complain(transport->get("compression"),
                        "transport.compression must be \"auto\", \"none\", \"lz4\" or \"zstd\"");
    }
    config.streams = reader.number(*transport, "streams", config.streams, replicator::lanes_max, 1);
}

void read_walker(Reader& reader, const toml::table& root, Config& config) {
    const toml::table* walker = reader.section(root, "walker");
    if (walker == nullptr) return;
    reader.only_keys(*walker, {"mib_per_s"});
    config.walk_mib_per_s =
        reader.number(*walker, "mib_per_s", config.walk_mib_per_s, walk_mib_per_s_max, 0);
}

void read_journal(Reader& reader, const toml::table& root, Config& config) {
    const toml::table* journal = reader.section(root, "journal");
    if (journal == nullptr) return;
    reader.only_keys(*journal, {"directory", "size_mib"});
    config.journal_directory = reader.text(*journal, "directory");
    if (!config.journal_directory.is_absolute())
        reader.complain(journal, "journal.directory must be an absolute path");
    config.journal_mib = reader.number(*journal, "size_mib", config.journal_mib, journal_mib_max);
    if (config.journal_mib < journal_mib_min)
        reader.complain(journal->get("size_mib"), "journal.size_mib must be at least 16");
}

void read_freeze(Reader& reader, const toml::table& root, Config& config) {
    const toml::table* freeze = reader.section(root, "freeze");
    if (freeze == nullptr) return;
    reader.only_keys(*freeze, {"hooks", "limit_s"});
    if (freeze->contains("hooks")) config.freeze_hooks = reader.text(*freeze, "hooks");
    if (!config.freeze_hooks.empty() && config.freeze_hooks.front() != '/')
        reader.complain(freeze, "freeze.hooks must be an absolute path");
    config.freeze_limit_s =
        reader.number(*freeze, "limit_s", config.freeze_limit_s, freeze_limit_s_max);
}

void read_test(Reader& reader, const toml::table& root, Config& config) {
    const toml::table* test = reader.section(root, "test");
    if (test == nullptr) return;
    reader.only_keys(*test, {"overlay", "directory"});
    config.test_overlay = reader.text(*test, "overlay", config.test_overlay);
    const auto kinds = {"auto", "reflink", "dm-snapshot", "qcow2", "none"};
    if (std::find(kinds.begin(), kinds.end(), config.test_overlay) == kinds.end())
        reader.complain(test->get("overlay"),
                        "test.overlay must be \"auto\", \"reflink\", \"dm-snapshot\", \"qcow2\" "
                        "or \"none\"");
    config.test_directory = reader.text(*test, "directory");
    if (config.test_overlay != "none" && !config.test_directory.is_absolute())
        reader.complain(test, "test.directory must be an absolute path");
}

}  // namespace

Result<Config> parse_config(std::string_view text, std::string_view origin) {
    const toml::parse_result parsed = toml::parse(text, origin);
    if (!parsed) {
        const auto& at = parsed.error().source().begin;
        return Error(Errc::invalid, "config_invalid",
                     std::string(origin) + ":" + std::to_string(at.line) + ":" +
                         std::to_string(at.column) + ": " +
                         std::string(parsed.error().description()),
                     "nothing was changed", "correct the file and start again");
    }
    const toml::table& root = parsed.table();
    Reader reader(origin);
    Config config;
    reader.only_keys(root, {"name", "server", "state", "roles", "listen", "tracker", "walker",
                            "journal", "freeze", "test", "transport", "hooks", "hook_limits"});
    config.name = reader.text(root, "name");
    if (!valid_name(config.name))
        reader.complain(root.get("name"), "\"name\" must be 1 to 63 characters of [a-z0-9-]");
    config.state = reader.text(root, "state", default_state_directory);
    if (!config.state.is_absolute())
        reader.complain(root.get("state"), "\"state\" must be an absolute path");
    read_server(reader, root, config);
    read_roles(reader, root, config);
    read_listen(reader, root, config);
    read_tracker(reader, root, config);
    read_transport(reader, root, config);
    read_walker(reader, root, config);
    read_journal(reader, root, config);
    read_freeze(reader, root, config);
    read_test(reader, root, config);
    read_hooks(reader, root, config);
    if (reader.error()) return *reader.error();
    return config;
}

Result<Config> load_config(const std::filesystem::path& path) {
    TRY(const std::string text, read_text(path, config_bytes_max));
    return parse_config(text, path.native());
}

}  // namespace drover::agent
