#include "simulations/report.h"

#include <cstdio>
#include <iostream>
#include <sstream>

namespace drover::sim {
namespace {

double seconds(RealTime time) {
    return std::chrono::duration<double>(time).count();
}

double seconds(Micros time) {
    return static_cast<double>(time) / 1e6;
}

std::string at_text(Micros at) {
    char text[32];
    const auto all = at / 1'000'000;
    std::snprintf(text, sizeof text, "%3lld:%02lld:%02lld.%06lld",
                  static_cast<long long>(all / 3600), static_cast<long long>(all / 60 % 60),
                  static_cast<long long>(all % 60), static_cast<long long>(at % 1'000'000));
    return text;
}

std::string command_for(const Options& options, const std::string& verb,
                        const std::set<std::uint32_t>& faults, bool none) {
    std::ostringstream out;
    out << "drover-sim " << verb << " --seed " << options.seed << " --jobs " << options.jobs
        << " --faults " << name_of(options.faults);
    if (options.day != 0) out << " --days " << seconds(options.day) / 86'400;
    if (none) out << " --only-faults none";
    if (!faults.empty()) {
        out << " --only-faults ";
        const char* comma = "";
        for (const std::uint32_t fault : faults) {
            out << comma << fault;
            comma = ",";
        }
    }
    return out.str();
}

bool still_breaks(Options options, const std::set<std::uint32_t>& faults, const std::string& rule) {
    options.only_faults = faults;
    options.no_faults_at_all = faults.empty();
    const Outcome outcome = World(options, false).run();
    return outcome.violation && outcome.violation->rule == rule;
}

}  // namespace

void print_violation(const Options& options, const Outcome& outcome) {
    const Violation& violation = *outcome.violation;
    std::cout << "VIOLATION of \"" << violation.rule << "\"\n  " << violation.detail << "\n  seed "
              << options.seed << ", step " << violation.step << ", simulated time "
              << at_text(violation.at) << "\n";
}

void print_outcome(const Options& options, const Outcome& outcome, RealTime took) {
    if (outcome.violation) print_violation(options, outcome);
    std::printf("trace %s\n", outcome.trace_hash.hex().c_str());
    std::printf(
        "%llu jobs committed, %llu cancelled; %llu facts, %llu steps in %.2f s: %.0f steps/s; "
        "simulated %.1f h, %.0f times real time\n",
        static_cast<unsigned long long>(outcome.jobs_committed),
        static_cast<unsigned long long>(outcome.jobs_cancelled),
        static_cast<unsigned long long>(outcome.facts),
        static_cast<unsigned long long>(outcome.steps), seconds(took),
        static_cast<double>(outcome.steps) / seconds(took), seconds(outcome.simulated) / 3600,
        seconds(outcome.simulated) / seconds(took));
    std::printf("verdict: %s\n", outcome.violation ? "a rule was broken" : "no rule was broken");
}

void print_shortest(const Options& options, const Outcome& outcome) {
    const std::string& rule = outcome.violation->rule;
    std::set<std::uint32_t> faults = outcome.faults_done;
    // Halves first, then single ones.
    for (std::size_t chunk = std::max<std::size_t>(faults.size() / 2, 1);; chunk /= 2) {
        std::vector<std::uint32_t> order(faults.begin(), faults.end());
        for (std::size_t from = 0; from < order.size(); from += chunk) {
            std::set<std::uint32_t> fewer = faults;
            for (std::size_t i = from; i < std::min(from + chunk, order.size()); ++i)
                fewer.erase(order[i]);
            if (fewer.size() < faults.size() && still_breaks(options, fewer, rule)) faults = fewer;
        }
        if (chunk <= 1) break;
    }
    std::cout << "shortest list of faults found: " << faults.size() << " of "
              << outcome.faults_done.size() << "\n";
    std::cout << "replay: " << command_for(options, "explain", faults, faults.empty()) << "\n";
}

void print_timeline(const Outcome& outcome) {
    for (const TraceLine& line : outcome.trace)
        std::cout << at_text(line.at) << "  " << line.who << ": " << line.what << "\n";
    std::cout << "trace " << outcome.trace_hash.hex() << "\n";
}

void Swarm::add(const Outcome& outcome) {
    ++seeds_;
    steps_ += outcome.steps;
    facts_ += outcome.facts;
    committed_ += outcome.jobs_committed;
    cancelled_ += outcome.jobs_cancelled;
    simulated_ += outcome.simulated;
    coverage_.add(outcome.coverage);
}

void Swarm::write(std::ostream& out) const {
    out << seeds_ << ' ' << steps_ << ' ' << facts_ << ' ' << committed_ << ' ' << cancelled_ << ' '
        << simulated_ << '\n';
    sim::write(out, coverage_);
}

void Swarm::read(std::istream& in) {
    std::uint64_t seeds = 0, steps = 0, facts = 0, committed = 0, cancelled = 0;
    Micros simulated = 0;
    in >> seeds >> steps >> facts >> committed >> cancelled >> simulated;
    in.ignore(1);
    seeds_ += seeds;
    steps_ += steps;
    facts_ += facts;
    committed_ += committed;
    cancelled_ += cancelled;
    simulated_ += simulated;
    coverage_.add(read_coverage(in));
}

void Swarm::print() const {
    const double took = seconds(std::chrono::steady_clock::now() - began_);
    std::printf(
        "%llu seeds, %llu jobs committed, %llu cancelled, %llu facts, %llu steps in %.1f s: "
        "%.0f steps/s, %.0f times real time\n",
        static_cast<unsigned long long>(seeds_), static_cast<unsigned long long>(committed_),
        static_cast<unsigned long long>(cancelled_), static_cast<unsigned long long>(facts_),
        static_cast<unsigned long long>(steps_), took, static_cast<double>(steps_) / took,
        seconds(simulated_) / took);
    std::printf(
        "faults: %zu of %zu kinds; crash points hit: %zu; phase x event pairs: %zu; error "
        "ids: %zu\n",
        coverage_.faults.size(), fault_kind_count, coverage_.crash_points.size(),
        coverage_.transitions.size(), coverage_.errors.size());
    std::printf("verdict: no rule was broken\n");
}

}  // namespace drover::sim
