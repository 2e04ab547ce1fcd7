#include "simulations/coverage.h"

#include <algorithm>
#include <cstdio>

namespace drover::sim {
namespace {

using statemachine::Phase;
using statemachine::TransitionRow;

bool is_refused_phase(Phase phase) {
    return phase == Phase::testing || phase == Phase::reverse_draining ||
           phase == Phase::reverse_verifying;
}

std::size_t count_reachable() {
    const auto& rows = statemachine::transition_rows();
    return static_cast<std::size_t>(std::count_if(
        rows.begin(), rows.end(), [](const TransitionRow& row) { return !is_refused(row); }));
}

void print_line(const char* what, std::size_t all, const std::vector<std::string>& missing) {
    std::printf("coverage: %zu of %zu %s\n", all - missing.size(), all, what);
    for (const std::string& name : missing) std::printf("  never: %s\n", name.c_str());
}

}  // namespace

bool is_refused(const TransitionRow& row) {
    return is_refused_phase(row.from) || is_refused_phase(row.to);
}

Gaps gaps_of(const Coverage& coverage) {
    Gaps gaps;
    for (const TransitionRow& row : statemachine::transition_rows()) {
        const std::string from(name_of(row.from));
        const std::string event(name_of(row.event));
        if (is_refused(row) || coverage.transitions.contains({from, event})) continue;
        gaps.transitions.push_back(from + " -> " + std::string(name_of(row.to)) + " by " + event);
    }
    for (std::size_t i = 0; i < fault_kind_count; ++i) {
        const std::string name(name_of(static_cast<FaultKind>(i)));
        if (!coverage.faults.contains(name)) gaps.faults.push_back(name);
    }
    for (const std::string& step : coverage.steps)
        if (!coverage.crash_points.contains(step)) gaps.crash_points.push_back(step);
    return gaps;
}

void print_coverage(const Coverage& coverage) {
    const Gaps gaps = gaps_of(coverage);
    print_line("transitions of the table that this release can take", count_reachable(),
               gaps.transitions);
    // Small worlds draw none.
    if (!coverage.faults.empty()) print_line("kinds of faults", fault_kind_count, gaps.faults);
    print_line("crash points", coverage.steps.size(), gaps.crash_points);
    std::printf("coverage: %zu pairs of phase and event, %zu error ids\n",
                coverage.transitions.size(), coverage.refusals.size());
}

}  // namespace drover::sim
