// schemas/openapi.yaml and the table of routes name the same things.
#include "base/file.h"
#include "orchestrator/http_routes.h"
#include "statemachine/command.h"

#include <set>
#include <sstream>

#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

std::string description() {
    return read_text(std::string(DROVER_SOURCE_DIR) + "/schemas/openapi.yaml").value();
}

/// "GET /v1/jobs" for every operation: paths stand two blanks in, their methods four.
std::set<std::string> described_routes(const std::string& yaml) {
    std::set<std::string> found;
    std::istringstream lines(yaml);
    std::string path;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("  /")) path = line.substr(2, line.size() - 3);
        if (line == "    get:") found.insert("GET " + path);
        if (line == "    post:") found.insert("POST " + path);
        if (line == "    put:" || line == "    delete:" || line == "    patch:") found.insert(line);
    }
    return found;
}

}  // namespace

TEST_CASE("openapi: it describes exactly the routes there are") {
    std::set<std::string> served;
    for (const Route& route : routes()) {
        served.insert(std::string(route.method) + " " + std::string(route.pattern));
    }
    CHECK(described_routes(description()) == served);
}

TEST_CASE("openapi: it names every action") {
    const std::string yaml = description();
    const std::size_t begin = yaml.find("enum: [preflight");
    REQUIRE(begin != std::string::npos);
    const std::string listed = yaml.substr(begin, yaml.find(']', begin) - begin);
    for (const auto& wish : statemachine::operator_wishes()) {
        if (std::holds_alternative<statemachine::Plan>(wish)) continue;
        CHECK(listed.find(std::string(statemachine::action_of(wish))) != std::string::npos);
    }
}

}  // namespace drover::orchestrator::testing
