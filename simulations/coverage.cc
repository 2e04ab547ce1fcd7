#include "simulations/coverage.h"

#include "simulations/faults.h"

#include <cstdio>
#include <sstream>

namespace drover::sim {
namespace {

using statemachine::Phase;
using statemachine::TransitionRow;

void add_counts(std::map<std::string, std::uint64_t>& to,
                const std::map<std::string, std::uint64_t>& from) {
    for (const auto& [key, count] : from) to[key] += count;
}

void write_counts(std::ostream& out, const char* kind,
                  const std::map<std::string, std::uint64_t>& counts) {
    for (const auto& [key, count] : counts) out << kind << '\t' << count << '\t' << key << '\n';
}

void print_line(const char* what, std::size_t all, const std::vector<std::string>& missing) {
    std::printf("coverage: %zu of %zu %s\n", all - missing.size(), all, what);
    for (const std::string& name : missing) std::printf("  never: %s\n", name.c_str());
}

}  // namespace

void Coverage::add(const Coverage& other) {
    for (const auto& [key, count] : other.transitions) transitions[key] += count;
    add_counts(faults, other.faults);
    add_counts(crash_points, other.crash_points);
    add_counts(errors, other.errors);
    add_counts(phases, other.phases);
    steps.insert(other.steps.begin(), other.steps.end());
}

void Coverage::add_errors(const statemachine::Event& event) {
    if (const auto* parked = std::get_if<statemachine::Parked>(&event))
        ++errors[parked->error.id()];
    if (const auto* failed = std::get_if<statemachine::ActivationFailed>(&event))
        ++errors[failed->error.id()];
    if (const auto* failed = std::get_if<statemachine::ValidationFailed>(&event))
        ++errors[failed->error.id()];
    if (const auto* failed = std::get_if<statemachine::PreflightFailed>(&event))
        for (const Finding& finding : failed->findings) ++errors[finding.id];
}

void write(std::ostream& out, const Coverage& coverage) {
    for (const auto& [key, count] : coverage.transitions)
        out << "transition\t" << count << '\t' << key.first << '\t' << key.second << '\n';
    for (const std::string& step : coverage.steps) out << "step\t1\t" << step << '\n';
    write_counts(out, "fault", coverage.faults);
    write_counts(out, "crash_point", coverage.crash_points);
    write_counts(out, "error", coverage.errors);
    write_counts(out, "phase", coverage.phases);
}

Coverage read_coverage(std::istream& in) {
    Coverage out;
    const std::map<std::string, std::map<std::string, std::uint64_t>*> counts = {
        {"fault", &out.faults},
        {"crash_point", &out.crash_points},
        {"error", &out.errors},
        {"phase", &out.phases}};
    for (std::string line; std::getline(in, line);) {
        std::istringstream fields(line);
        std::string kind;
        std::uint64_t count = 0;
        std::string key;
        std::getline(fields, kind, '\t');
        fields >> count;
        fields.ignore(1);
        std::getline(fields, key, '\t');
        if (kind == "step") {
            out.steps.insert(key);
        } else if (kind == "transition") {
            std::string event;
            std::getline(fields, event);
            out.transitions[{key, event}] += count;
        } else if (const auto known = counts.find(kind); known != counts.end()) {
            (*known->second)[key] += count;
        }
    }
    return out;
}

Gaps gaps_of(const Coverage& coverage) {
    Gaps gaps;
    for (std::uint8_t i = 0; i < statemachine::phase_count; ++i) {
        const auto phase = static_cast<Phase>(i);
        const std::string name(name_of(phase));
        if (!coverage.phases.contains(name)) gaps.phases.push_back(name);
    }
    for (const TransitionRow& row : statemachine::transition_rows()) {
        const std::string from(name_of(row.from));
        const std::string event(name_of(row.event));
        if (coverage.transitions.contains({from, event})) continue;
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
    print_line("phases", statemachine::phase_count, gaps.phases);
    print_line("transitions of the table", statemachine::transition_rows().size(),
               gaps.transitions);
    // Small worlds draw none.
    if (!coverage.faults.empty()) print_line("kinds of faults", fault_kind_count, gaps.faults);
    print_line("crash points", coverage.steps.size(), gaps.crash_points);
    std::printf("coverage: %zu pairs of phase and event\n", coverage.transitions.size());
    std::printf("coverage: %zu ids of errors, findings and rejections:\n", coverage.errors.size());
    for (const auto& [id, count] : coverage.errors)
        std::printf("  %s %llu\n", id.c_str(), static_cast<unsigned long long>(count));
}

}  // namespace drover::sim
