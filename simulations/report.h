/// What a person reads of simulations: verdicts, timelines, coverage, and the shortest list of
/// faults that still breaks a rule.
#pragma once

#include "simulations/world.h"

#include <chrono>
#include <istream>
#include <ostream>

namespace drover::sim {

using RealTime = std::chrono::steady_clock::duration;

void print_outcome(const Options& options, const Outcome& outcome, RealTime took);
void print_violation(const Options& options, const Outcome& outcome);
/// Leaves out one fault after another as long as the rule still breaks, and prints the command that
/// shows what is left. Runs many simulations.
void print_shortest(const Options& options, const Outcome& outcome);
void print_timeline(const Outcome& outcome);

class Swarm {
  public:
    Swarm()
        : began_(std::chrono::steady_clock::now()) {}

    void add(const Outcome& outcome);
    void print() const;

    /// For another process, and from one: there all seeds of it are added.
    void write(std::ostream& out) const;
    void read(std::istream& in);

    [[nodiscard]] const Coverage& coverage() const { return coverage_; }

  private:
    std::chrono::steady_clock::time_point began_;
    Coverage coverage_;
    std::uint64_t seeds_ = 0;
    std::uint64_t steps_ = 0;
    std::uint64_t facts_ = 0;
    std::uint64_t committed_ = 0;
    std::uint64_t cancelled_ = 0;
    Micros simulated_ = 0;
};

}  // namespace drover::sim
