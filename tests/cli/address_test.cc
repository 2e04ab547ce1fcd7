#include "cli/event_stream.h"
#include "cli/server_address.h"

#include <catch2/catch.hpp>

using namespace drover;
using namespace drover::cli;

TEST_CASE("server address: host and port of an https address") {
    CHECK(*parse_server("https://mgmt.example") == ServerAddress{"mgmt.example", 8443});
    CHECK(*parse_server("https://mgmt.example:9000/") == ServerAddress{"mgmt.example", 9000});
    CHECK(*parse_server("https://127.0.0.1:1") == ServerAddress{"127.0.0.1", 1});
    CHECK(*parse_server("https://[::1]:8443") == ServerAddress{"::1", 8443});
    CHECK(*parse_server("https://[::1]") == ServerAddress{"::1", 8443});
}

TEST_CASE("server address: anything else is refused") {
    for (const char* text :
         {"", "mgmt", "http://mgmt:8443", "https://", "https://:8443",
          "https://mgmt:", "https://mgmt:0", "https://mgmt:65536", "https://mgmt:-1",
          "https://mgmt:80x", "https://a@mgmt", "https://mgmt/v1", "https://[::1", "https://[::1]x",
          "https://mgmt?x", "https://a b"}) {
        INFO(text);
        const auto server = parse_server(text);
        REQUIRE_FALSE(server.has_value());
        CHECK(server.error().id() == "bad_server");
    }
}

namespace {

/// Every event of `text` as "id=data", fed in pieces of `piece` bytes.
std::vector<std::string> events_of(std::string_view text, std::size_t piece) {
    EventStreamParser parser;
    std::vector<std::string> out;
    while (!text.empty()) {
        const auto step = parser.feed(text.substr(0, piece), [&out](const ServerEvent& event) {
            out.push_back(event.id + "=" + event.data);
            return true;
        });
        CHECK(step == EventStreamParser::Step::wants_more);
        text.remove_prefix(std::min(piece, text.size()));
    }
    return out;
}

}  // namespace

TEST_CASE("event stream: the pieces in which it arrives do not matter") {
    constexpr std::string_view text =
        ": heartbeat\n\nid: 7\ndata: {\"seq\":7}\n\n:\n\nid:8\r\ndata:a\r\ndata: b\r\n\r\nretry: "
        "1\n\nid: 9\ndata: cut";
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        INFO(piece);
        CHECK(events_of(text, piece) == std::vector<std::string>{"7={\"seq\":7}", "8=a\nb"});
    }
}

TEST_CASE("event stream: it stops when told, and a line without end is refused") {
    EventStreamParser parser;
    int seen = 0;
    CHECK(parser.feed("data: 1\n\ndata: 2\n\n", [&seen](const ServerEvent&) {
        return ++seen > 1;
    }) == EventStreamParser::Step::stopped);
    CHECK(seen == 1);
    EventStreamParser endless;
    CHECK(endless.feed(std::string(EventStreamParser::line_bytes_max + 1, 'x'),
                       [](const ServerEvent&) { return true; }) == EventStreamParser::Step::broken);
}
