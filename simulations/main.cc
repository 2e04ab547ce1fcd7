// drover-sim: the command line of the simulator.
#include "simulations/coverage.h"
#include "simulations/processes.h"
#include "simulations/report.h"
#include "simulations/small_worlds.h"
#include "simulations/world.h"

#include <chrono>
#include <cstdio>
#include <iostream>

#include <CLI/CLI.hpp>

namespace {

using namespace drover::sim;

struct Arguments {
    std::uint64_t seed = 1;
    std::string seeds = "1..20";
    std::uint32_t jobs = 10;
    std::string faults = "default";
    std::string only;
    double days = 0;
    SearchOptions search;
    std::string small;
    std::uint32_t processes = processes_default();
};

Options options_of(const Arguments& arguments, std::uint64_t seed) {
    const auto day = static_cast<Micros>(arguments.days * 86'400.0 * 1e6);
    Options options = draw_options(seed, arguments.jobs, *profile_from(arguments.faults), day);
    if (arguments.only == "none") options.no_faults_at_all = true;
    std::size_t at = 0;
    while (arguments.only != "none" && at < arguments.only.size()) {
        const std::size_t comma = std::min(arguments.only.find(',', at), arguments.only.size());
        options.only_faults.insert(
            static_cast<std::uint32_t>(std::stoul(arguments.only.substr(at, comma - at))));
        at = comma + 1;
    }
    return options;
}

void add_processes(CLI::App& command, Arguments& arguments) {
    command
        .add_option("--processes", arguments.processes,
                    "run in so many processes; default: one per core")
        ->check(CLI::Range(1U, processes_max));
}

void add_common(CLI::App& command, Arguments& arguments) {
    command.add_option("--jobs", arguments.jobs, "jobs of the wave")->check(CLI::Range(1, 100'000));
    command.add_option("--faults", arguments.faults, "none, default or harsh")
        ->check(CLI::IsMember({"none", "default", "harsh"}));
    command.add_option("--days", arguments.days, "simulate at least so many days");
    command.add_option("--only-faults", arguments.only,
                       "of the drawn faults only these numbers, for example 3,7; or none");
}

int run_one(const Arguments& arguments) {
    const Options options = options_of(arguments, arguments.seed);
    std::cout << options.text() << "\n";
    const auto began = std::chrono::steady_clock::now();
    const Outcome outcome = World(options, false).run();
    print_outcome(options, outcome, std::chrono::steady_clock::now() - began);
    if (!outcome.violation) return 0;
    print_shortest(options, outcome);
    return 1;
}

struct Seeds {
    std::uint64_t first = 1;
    std::uint64_t last = 1;
};

Seeds seeds_from(const std::string& text) {
    const std::size_t dots = text.find("..");
    const std::uint64_t first = std::stoull(text.substr(0, dots));
    return {first, dots == std::string::npos ? first : std::stoull(text.substr(dots + 2))};
}

/// Every so-many-th seed; false when one broke a rule.
bool go_through(const Arguments& arguments, std::uint32_t share, Swarm& swarm) {
    const Seeds seeds = seeds_from(arguments.seeds);
    for (std::uint64_t seed = seeds.first + share; seed <= seeds.last;
         seed += arguments.processes) {
        const Options options = options_of(arguments, seed);
        const Outcome outcome = World(options, false).run();
        swarm.add(outcome);
        if (!outcome.violation) continue;
        std::cout << options.text() << "\n";
        print_violation(options, outcome);
        print_shortest(options, outcome);
        return false;
    }
    return true;
}

bool go_through_all(const Arguments& arguments, Swarm& swarm) {
    const Share share = [&arguments](std::uint32_t number, std::ostream& tally) {
        Swarm own;
        const bool holds = go_through(arguments, number, own);
        own.write(tally);
        return holds;
    };
    if (!run_shares(arguments.processes, share, [&swarm](std::istream& in) { swarm.read(in); })) {
        std::cout << "verdict: a rule was broken\n";
        return false;
    }
    swarm.print();
    return true;
}

SearchOptions search_of(const Arguments& arguments) {
    SearchOptions search = arguments.search;
    search.processes = arguments.processes;
    return search;
}

int run_swarm(const Arguments& arguments) {
    Swarm swarm;
    if (!go_through_all(arguments, swarm)) return 1;
    print_coverage(swarm.coverage());
    return 0;
}

/// Seeds of both profiles and the small worlds must together have taken every way that there is.
int check_coverage(Arguments arguments) {
    Coverage all;
    for (const char* profile : {"default", "harsh"}) {
        arguments.faults = profile;
        Swarm swarm;
        if (!go_through_all(arguments, swarm)) return 1;
        all.add(swarm.coverage());
    }
    if (!search_small_worlds(search_of(arguments), all)) return 1;
    print_coverage(all);
    return gaps_of(all).empty() ? 0 : 1;
}

int exhaust(const Arguments& arguments) {
    if (arguments.small.empty()) {
        Coverage coverage;
        const bool holds = search_small_worlds(search_of(arguments), coverage);
        print_coverage(coverage);
        std::cout << "verdict: " << (holds ? "no rule was broken" : "a rule was broken") << "\n";
        return holds ? 0 : 1;
    }
    const auto small = SmallCase::from(arguments.small);
    if (!small) {
        std::cerr << "drover-sim: " << arguments.small << " names no small world\n";
        return 2;
    }
    const SmallOutcome ran = run_small(*small, true);
    print_timeline(ran.outcome);
    return ran.outcome.violation ? 1 : 0;
}

int explain(const Arguments& arguments) {
    const Options options = options_of(arguments, arguments.seed);
    std::cout << options.text() << "\n";
    const Outcome outcome = World(options, true).run();
    print_timeline(outcome);
    return outcome.violation ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("drover-sim: whole migrations in virtual time, with everything that goes wrong");
    app.require_subcommand(1);
    Arguments arguments;
    CLI::App* run = app.add_subcommand("run", "one seed: its options, its verdict, its trace hash");
    run->add_option("--seed", arguments.seed)->required();
    add_common(*run, arguments);
    CLI::App* swarm = app.add_subcommand("swarm", "many seeds, until one breaks a rule");
    swarm->add_option("--seeds", arguments.seeds, "A..B, both included")->required();
    add_common(*swarm, arguments);
    add_processes(*swarm, arguments);
    CLI::App* told = app.add_subcommand("explain", "the timeline of one seed");
    told->add_option("--seed", arguments.seed)->required();
    add_common(*told, arguments);
    const auto add_search = [&arguments](CLI::App& command) {
        add_processes(command, arguments);
        command.add_option("--depth", arguments.search.depth, "commands in a history")
            ->check(CLI::Range(0, 5));
        command
            .add_option("--pairs-one-in", arguments.search.pairs_one_in,
                        "of the pairs of disturbances only one in so many")
            ->check(CLI::Range(1, 100'000));
    };
    CLI::App* small =
        app.add_subcommand("exhaust", "one job: every short history, with every disturbance of it");
    add_search(*small);
    small->add_option("--only", arguments.small,
                      "the timeline of one, for example start,cutover;orchestrator_dies@17");
    CLI::App* covered = app.add_subcommand("coverage", "what seeds and small worlds never did");
    covered->add_option("--seeds", arguments.seeds, "A..B, of each profile")->required();
    add_common(*covered, arguments);
    add_search(*covered);
    try {
        app.parse(argc, argv);
        if (run->parsed()) return run_one(arguments);
        if (swarm->parsed()) return run_swarm(arguments);
        if (small->parsed()) return exhaust(arguments);
        if (covered->parsed()) return check_coverage(arguments);
        return explain(arguments);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception& error) {
        std::cerr << "drover-sim: " << error.what() << "\n";
        return 2;
    }
}
