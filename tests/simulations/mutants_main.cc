// drover-sim-mutants: proves that the simulator can fail. Each mutant is a fault of the product,
// compiled into this program only; every one of them has to break a rule within a bounded number of
// seeds, and without a mutant the same seeds must break none.
#include "simulations/world.h"
#include "tests/simulations/mutants.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>

#include <CLI/CLI.hpp>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace drover::sim;
using Clock = std::chrono::steady_clock;

struct Arguments {
    std::string name;
    std::string seeds = "1..1500";
    std::uint32_t jobs = 4;
    std::string faults = "harsh";
    std::uint32_t seconds = 60;
    bool all = false;
    std::vector<std::string> absent;

    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

constexpr const char* survived = "no rule was broken";
constexpr std::string_view seed_line = "seed ";

struct Verdict {
    bool caught = false;
    std::uint64_t seed = 0;  ///< the last one that was run
    std::string text;        ///< the rule and what broke it, or why there is none
    double took_s = 0;
};

/// In a process of its own: runs the seeds until a rule breaks. Says it on `out`.
void run_seeds(const Arguments& arguments, std::string_view mutant) {
    switch_mutant_on(mutant);
    for (std::uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
        std::cout << seed_line << seed << std::endl;
        const Options options =
            draw_options(seed, arguments.jobs, *profile_from(arguments.faults), 0);
        const Outcome outcome = World(options, false).run();
        if (outcome.violation) {
            std::cout << outcome.violation->rule << " (" << outcome.violation->detail << ")"
                      << std::endl;
            std::_Exit(1);
        }
        std::cout << survived << std::endl;
    }
    // A mutant that was not compiled in proves nothing.
    if (!mutant.empty() && mutant_reached() == 0)
        std::cout << "the mutant was never reached" << std::endl;
    std::_Exit(0);
}

/// What the child says, until it ends or its time is over.
std::string listen_to(int from, pid_t child, std::uint32_t seconds, bool& timed_out) {
    std::string said;
    const auto end = Clock::now() + std::chrono::seconds(seconds);
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
        pollfd waits{from, POLLIN, 0};
        const int ready = left.count() <= 0 ? 0 : ::poll(&waits, 1, static_cast<int>(left.count()));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) {
            timed_out = true;
            ::kill(child, SIGKILL);
            return said;
        }
        char buffer[4096];
        const ssize_t got = ::read(from, buffer, sizeof buffer);
        if (got <= 0) return said;
        said.append(buffer, static_cast<std::size_t>(got));
    }
}

/// The child's lines are "seed N" and, after it, what came of it.
void take(const std::string& said, Verdict& verdict) {
    std::istringstream lines(said);
    for (std::string line; std::getline(lines, line);) {
        const bool begins = line.starts_with(seed_line);
        if (begins) verdict.seed = std::strtoull(line.c_str() + seed_line.size(), nullptr, 10);
        verdict.text = begins ? "said nothing more" : line;
    }
}

/// A mutant may also trip an assertion or never come to an end, so it gets a process of its own.
Verdict try_mutant(const Arguments& arguments, std::string_view mutant) {
    const auto began = Clock::now();
    int ends[2];
    Verdict verdict;
    if (::pipe(ends) != 0) return {false, 0, "no pipe could be made", 0};
    const pid_t child = ::fork();
    if (child < 0) return {false, 0, "no process could be made", 0};
    if (child == 0) {
        ::close(ends[0]);
        ::dup2(ends[1], STDOUT_FILENO);
        ::dup2(ends[1], STDERR_FILENO);
        run_seeds(arguments, mutant);
    }
    ::close(ends[1]);
    bool timed_out = false;
    const std::string said = listen_to(ends[0], child, arguments.seconds, timed_out);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    verdict.took_s = std::chrono::duration<double>(Clock::now() - began).count();
    take(said, verdict);
    const bool asserted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    verdict.caught = !timed_out && (asserted || (WIFEXITED(status) && WEXITSTATUS(status) == 1));
    if (timed_out)
        verdict.text += " not over after " + std::to_string(arguments.seconds) + " s";
    else if (!verdict.caught && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        verdict.text += " ended with status " + std::to_string(status);
    return verdict;
}

/// One line of the table.
void print(std::string_view name, const char* verdict, const Verdict& found) {
    std::printf("%-26s %-9s %5.1f s  seed %-4llu  %s\n", std::string(name).c_str(), verdict,
                found.took_s, static_cast<unsigned long long>(found.seed), found.text.c_str());
    std::fflush(stdout);
}

Verdict look_for(const Arguments& arguments, const Mutant& mutant) {
    Verdict verdict = try_mutant(arguments, mutant.name);
    print(mutant.name, verdict.caught ? "caught" : "SURVIVED", verdict);
    return verdict;
}

/// Every mutant; then the same seeds without one, as far as any mutant needed them.
int run_all(Arguments arguments) {
    std::size_t caught = 0;
    std::uint64_t needed = arguments.first;
    for (const Mutant& mutant : all_mutants()) {
        const Verdict verdict = look_for(arguments, mutant);
        caught += verdict.caught ? 1 : 0;
        needed = std::max(needed, verdict.seed);
    }
    arguments.last = needed;
    const Verdict control = try_mutant(arguments, "");
    const bool is_clean = !control.caught && control.text == survived;
    print("(none)", is_clean ? "clean" : "BROKEN", control);
    std::printf("%zu of %zu mutants were caught in waves of %u jobs, within %llu seeds each\n",
                caught, all_mutants().size(), arguments.jobs,
                static_cast<unsigned long long>(needed - arguments.first + 1));
    return is_clean && caught == all_mutants().size() ? 0 : 1;
}

std::string contents_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// None of these files holds a trace of a mutant; this program does, or the search is worth
/// nothing.
int check_absent(const std::vector<std::string>& paths) {
    const std::string own = contents_of("/proc/self/exe");
    bool good = true;
    for (const Mutant& mutant : all_mutants()) {
        good = good && own.find(mutant.name) != std::string::npos;
        for (const std::string& path : paths) {
            const std::string product = contents_of(path);
            const bool found = product.find(mutant.name) != std::string::npos ||
                               product.find("is_mutant_on") != std::string::npos;
            if (found || product.empty()) {
                std::printf("%s: unreadable, or holds %s\n", path.c_str(),
                            std::string(mutant.name).c_str());
                good = false;
            }
        }
    }
    std::printf("%zu names looked for in %zu programs: %s\n", all_mutants().size(), paths.size(),
                good ? "none found" : "FAILED");
    return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("drover-sim-mutants: seeded faults that the simulator has to find");
    Arguments arguments;
    app.add_option("name", arguments.name, "the mutant; exit 0 if it is caught");
    app.add_flag("--all", arguments.all, "every mutant, and the control without one");
    app.add_option("--seeds", arguments.seeds, "A..B, both included");
    app.add_option("--jobs", arguments.jobs, "jobs of the wave")->check(CLI::Range(1, 100'000));
    app.add_option("--faults", arguments.faults)
        ->check(CLI::IsMember({"none", "default", "harsh"}));
    app.add_option("--seconds", arguments.seconds, "the longest that one mutant may take");
    app.add_option("--absent", arguments.absent, "checks that these programs hold no mutant");
    try {
        app.parse(argc, argv);
        const std::size_t dots = arguments.seeds.find("..");
        arguments.first = std::stoull(arguments.seeds.substr(0, dots));
        arguments.last = dots == std::string::npos ? arguments.first
                                                   : std::stoull(arguments.seeds.substr(dots + 2));
        if (!arguments.absent.empty()) return check_absent(arguments.absent);
        if (arguments.all) return run_all(arguments);
        const auto mutants = all_mutants();
        const auto named = std::find_if(mutants.begin(), mutants.end(), [&](const Mutant& mutant) {
            return mutant.name == arguments.name;
        });
        if (named != mutants.end()) return look_for(arguments, *named).caught ? 0 : 1;
        std::cerr << "drover-sim-mutants: there is no mutant named '" << arguments.name << "'\n";
        return 2;
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    } catch (const std::exception& error) {
        std::cerr << "drover-sim-mutants: " << error.what() << "\n";
        return 2;
    }
}
