/// Shares of a search in processes of their own: nothing of what they counted or found is lost.
#include "simulations/processes.h"

#include "simulations/coverage.h"

#include <csignal>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <unistd.h>

using namespace drover::sim;

namespace {

struct Ran {
    bool all = false;
    std::vector<std::string> tallies;
};

Ran run(std::uint32_t count, const Share& share) {
    Ran ran;
    ran.all = run_shares(count, share, [&ran](std::istream& in) {
        std::string line;
        std::getline(in, line);
        ran.tallies.push_back(line);
    });
    return ran;
}

}  // namespace

TEST_CASE("processes: every share runs once and its tally comes back in order") {
    for (const std::uint32_t count : {1U, 3U}) {
        const Ran ran = run(count, [](std::uint32_t share, std::ostream& tally) {
            tally << "share " << share;
            return true;
        });
        CHECK(ran.all);
        REQUIRE(ran.tallies.size() == count);
        for (std::uint32_t i = 0; i < count; ++i)
            CHECK(ran.tallies[i] == "share " + std::to_string(i));
    }
}

TEST_CASE("processes: a broken rule in one share is the verdict of all") {
    const Ran ran = run(3, [](std::uint32_t share, std::ostream&) { return share != 1; });
    CHECK_FALSE(ran.all);
    CHECK(ran.tallies.size() == 3);
}

TEST_CASE("processes: a share that is killed is not a share that found nothing") {
    const Ran ran = run(2, [](std::uint32_t share, std::ostream&) {
        if (share == 1) ::kill(::getpid(), SIGKILL);
        return true;
    });
    CHECK_FALSE(ran.all);
}

TEST_CASE("coverage: what one process writes another reads") {
    Coverage coverage;
    coverage.transitions[{"holding", "Committed"}] = 3;
    coverage.faults["disk_vanishes"] = 2;
    coverage.crash_points["append.before"] = 1;
    coverage.steps.insert("append.before");
    coverage.errors["wrong_phase"] = 7;
    coverage.phases["holding"] = 5;
    std::stringstream text;
    write(text, coverage);
    Coverage again = read_coverage(text);
    CHECK(again.transitions == coverage.transitions);
    CHECK(again.faults == coverage.faults);
    CHECK(again.crash_points == coverage.crash_points);
    CHECK(again.steps == coverage.steps);
    CHECK(again.errors == coverage.errors);
    CHECK(again.phases == coverage.phases);
    again.add(coverage);
    CHECK(again.errors.at("wrong_phase") == 14);
}
