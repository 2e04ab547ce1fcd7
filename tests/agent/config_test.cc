#include "agent/config.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

constexpr const char* whole = R"(
name = "web-01"
server = "mgmt.example:6325"
state = "/var/lib/drover-agent"
roles = ["source", "target"]
[listen]
host = "0.0.0.0"
advertise = "10.0.0.12"
control_port = 7001
bulk_port = 7002
[tracker]
kind = "scan"
[walker]
mib_per_s = 0
[journal]
directory = "/var/lib/drover-journal"
size_mib = 64
[freeze]
hooks = "/etc/drover/fsfreeze-hook.d"
limit_s = 3
[transport]
compression = "zstd"
streams = 4
[hooks]
stop-app = "/etc/drover/hooks/stop-app"
[hook_limits]
timeout_s = 30
)";

std::string with(const std::string& from, const std::string& to) {
    std::string text = whole;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

TEST_CASE("config: every documented key is read") {
    const auto config = parse_config(whole, "agent.toml");
    REQUIRE(config.has_value());
    CHECK(config->name == "web-01");
    CHECK(config->server_host == "mgmt.example");
    CHECK(config->server_port == 6325);
    CHECK(config->state == "/var/lib/drover-agent");
    CHECK(config->is_source);
    CHECK(config->is_target);
    CHECK(config->listen->advertise == "10.0.0.12");
    CHECK(config->listen->control_port == 7001);
    CHECK(config->listen->bulk_port == 7002);
    CHECK_FALSE(config->allow_ebpf);
    CHECK(config->walk_mib_per_s == 0);
    CHECK(config->compression == replicator::Compression::zstd);
    CHECK(config->streams == 4);
    CHECK(config->journal_directory == "/var/lib/drover-journal");
    CHECK(config->journal_mib == 64);
    CHECK(config->freeze_hooks == "/etc/drover/fsfreeze-hook.d");
    CHECK(config->freeze_limit_s == 3);
    CHECK(config->hooks.at("stop-app") == "/etc/drover/hooks/stop-app");
    CHECK(config->hook_timeout_s == 30);
}

TEST_CASE("config: a source needs no listener, and a target advertises its bind address") {
    const auto source = parse_config(
        "name = 'a'\nserver = '[::1]:1'\nstate = '/s'\nroles = ['source']\n", "agent.toml");
    REQUIRE(source.has_value());
    CHECK_FALSE(source->listen);
    CHECK(source->journal_directory.empty());
    CHECK(source->compression == replicator::Compression::automatic);
    CHECK(source->streams == 1);
    CHECK(source->server_host == "::1");
    const auto target = parse_config(
        "name='a'\nserver='h:1'\nstate='/s'\nroles=['target']\n[listen]\nhost='10.0.0.3'\n", "x");
    REQUIRE(target.has_value());
    CHECK(target->listen->advertise == "10.0.0.3");
    CHECK(target->listen->control_port == 6325);
}

TEST_CASE("config: what is wrong is refused with its place") {
    const std::string wrong[] = {
        with("timeout_s", "timeout"),
        with("[hook_limits]", "[hook_limit]"),
        with("name = \"web-01\"", "name = \"Web 01\""),
        with("name = \"web-01\"", "nam = \"web-01\""),
        with("mgmt.example:6325", "mgmt.example"),
        with("mgmt.example:6325", "mgmt.example:0"),
        with("mgmt.example:6325", ":6325"),
        with("\"/var/lib/drover-agent\"", "\"var\""),
        with("\"source\", \"target\"", "\"source\", \"both\""),
        with("[\"source\", \"target\"]", "[]"),
        with("advertise = \"10.0.0.12\"", ""),
        with("control_port = 7001", "control_port = 70010"),
        with("control_port = 7001", "control_port = 7002"),
        with("control_port = 7001", "control_port = \"7001\""),
        with("kind = \"scan\"", "kind = \"bpf\""),
        with("\"/var/lib/drover-journal\"", "\"journal\""),
        with("directory = ", "place = "),
        with("size_mib = 64", "size_mib = 15"),
        with("compression = \"zstd\"", "compression = \"gzip\""),
        with("compression = \"zstd\"", "level = 3"),
        with("streams = 4", "streams = 0"),
        with("streams = 4", "streams = 9"),
        with("/etc/drover/hooks/stop-app", "stop-app"),
        with("timeout_s = 30", "timeout_s = 0"),
        with("[tracker]", "[tracker"),
    };
    for (const std::string& text : wrong) {
        INFO(text);
        const auto config = parse_config(text, "agent.toml");
        REQUIRE_FALSE(config.has_value());
        CHECK(config.error().id() == "config_invalid");
        CHECK(config.error().detail().find("agent.toml") == 0);
        CHECK_FALSE(config.error().next().empty());
    }
}

}  // namespace
}  // namespace drover::agent
