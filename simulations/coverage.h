/// What runs went through, against all that there is: the phases and the rows of the transition
/// table, the kinds of faults, the steps at which a process can die, and the ids of errors.
#pragma once

#include "statemachine/event.h"
#include "statemachine/transitions.h"

#include <cstdint>
#include <functional>
#include <istream>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace drover::sim {

/// What a run, or many, went through.
struct Coverage {
    std::map<std::pair<std::string, std::string>, std::uint64_t> transitions;  ///< phase, event
    std::map<std::string, std::uint64_t> faults;
    std::map<std::string, std::uint64_t> crash_points;  ///< steps at which a process was killed
    std::set<std::string, std::less<>> steps;           ///< at which one could have been
    std::map<std::string, std::uint64_t> errors;        ///< ids of errors, findings and rejections
    std::map<std::string, std::uint64_t> phases;

    void add(const Coverage& other);
    /// The ids in a fact.
    void add_errors(const statemachine::Event& event);
};

/// As lines of text, for another process; reading ends at the first line of another kind.
void write(std::ostream& out, const Coverage& coverage);
[[nodiscard]] Coverage read_coverage(std::istream& in);

struct Gaps {
    std::vector<std::string> phases;
    std::vector<std::string> transitions;
    std::vector<std::string> faults;
    std::vector<std::string> crash_points;  ///< steps that were taken, but at which nobody died

    [[nodiscard]] bool empty() const {
        return phases.empty() && transitions.empty() && faults.empty() && crash_points.empty();
    }
};

[[nodiscard]] Gaps gaps_of(const Coverage& coverage);

/// The counts, and by name what is missing.
void print_coverage(const Coverage& coverage);

}  // namespace drover::sim
