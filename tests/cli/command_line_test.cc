#include "cli/command_line.h"

#include <catch2/catch.hpp>

using namespace drover;
using namespace drover::cli;

TEST_CASE("command line: job create takes disks, hooks and units") {
    const auto parsed = parse_command_line(
        {"job",           "create",      "web-01",   "--source",      "src",
         "--target",      "dst",         "--disk",   "/dev/a=/dev/b", "--disk",
         "/dev/c=/dev/d", "--pre-fence", "stop-app", "--outage-max",  "10m",
         "--hold",        "5d",          "--rate",   "100MiB",        "--backlog-max",
         "4MiB"});
    REQUIRE_FALSE(parsed.done);
    CHECK(parsed.arguments.command == "job create");
    CHECK(
        job_body(parsed.arguments) ==
        R"({"name":"web-01","source_agent":"src","target_agent":"dst",)"
        R"("disks":[{"source":"/dev/a","target":"/dev/b"},{"source":"/dev/c","target":"/dev/d"}],)"
        R"("hooks":{"pre-fence":"stop-app"},"outage_max_s":600,"hold_s":432000,)"
        R"("backlog_bytes_max":4194304,"limits":{"rate_bytes_per_s":104857600}})");
}

TEST_CASE("command line: global options work before and after the command") {
    for (const auto& words : {std::vector<std::string>{"-o", "json", "job", "list"},
                              std::vector<std::string>{"job", "list", "-o", "json"}}) {
        const auto parsed = parse_command_line(words);
        REQUIRE_FALSE(parsed.done);
        CHECK(parsed.arguments.format == Format::json);
    }
}

TEST_CASE("command line: an action sends only what was given") {
    auto parsed = parse_command_line({"job", "cutover", "web-01"});
    REQUIRE_FALSE(parsed.done);
    CHECK(parsed.arguments.action == "cutover");
    CHECK(action_body(parsed.arguments) == "{}");
    parsed = parse_command_line({"job", "rollback", "web-01", "--mode", "discard",
                                 "--acknowledge-loss", "4 KiB", "--reason", "CHG-1", "--dry-run"});
    REQUIRE_FALSE(parsed.done);
    CHECK(action_body(parsed.arguments) ==
          R"({"reason":"CHG-1","mode":"discard","acknowledged_loss":"4 KiB","dry_run":true})");
}

TEST_CASE("command line: every action of the table can be typed") {
    for (const Action& action : actions()) {
        std::vector<std::string> words{"job", std::string(action.name), "web-01"};
        if (action.options.confirm) words.insert(words.end(), {"--confirm", "web-01"});
        if (action.options.how) words.insert(words.end(), {"--how", "powered off"});
        if (action.options.serving) words.insert(words.end(), {"--as", "target"});
        if (action.options.rate) words.insert(words.end(), {"--rate", "1MiB"});
        INFO(action.name);
        const auto parsed = parse_command_line(words);
        REQUIRE_FALSE(parsed.done);
        CHECK(parsed.arguments.action == action.name);
    }
}

TEST_CASE("command line: mistakes are usage errors and nothing is run") {
    const std::vector<std::vector<std::string>> mistakes{
        {},
        {"job"},
        {"job", "cutover"},
        {"job", "cutover", "a", "--outage-max", "10"},
        {"job", "commit", "a"},
        {"job", "throttle", "a"},
        {"job", "rollback", "a", "--mode", "merge"},
        {"job", "start", "a", "--request-id", "7"},
        {"job", "create", "a", "--source", "s", "--target", "t"},
        {"job", "create", "a", "--source", "s", "--target", "t", "--disk", "/dev/a"},
        {"job", "create", "a", "--source", "s", "--target", "t", "--disk", "a=b=c"},
        {"job", "list", "-o", "xml"},
        {"help", "everything"}};
    for (const auto& words : mistakes) {
        INFO(words.size() << " " << (words.empty() ? "" : words.back()));
        const auto parsed = parse_command_line(words);
        CHECK(parsed.done);
        CHECK(parsed.exit == ExitCode::usage);
        CHECK_FALSE(parsed.text.empty());
    }
}

TEST_CASE("command line: a misspelt command names the nearest one") {
    CHECK(parse_command_line({"jbo", "list"}).text.find("drover job\n") != std::string::npos);
    CHECK(parse_command_line({"job", "cutovr", "a"}).text.find("drover job cutover\n") !=
          std::string::npos);
    CHECK(parse_command_line({"job", "quux"}).text.find("Did you mean") == std::string::npos);
    CHECK(nearest("wach", {"why", "watch"}) == "watch");
    CHECK(nearest("completely-else", {"why", "watch"}).empty());
}

TEST_CASE("command line: help is an answer, not a mistake") {
    for (const auto& words : {std::vector<std::string>{"--help"}, std::vector<std::string>{"help"},
                              std::vector<std::string>{"job", "create", "--help"}}) {
        const auto parsed = parse_command_line(words);
        CHECK(parsed.done);
        CHECK(parsed.exit == ExitCode::ok);
        CHECK_FALSE(parsed.text.empty());
    }
    CHECK(parse_command_line({"job", "create", "--help"}).text.find("--disk") != std::string::npos);
    CHECK(parse_command_line({"help", "exit-codes"}).text.find("124") != std::string::npos);
}
