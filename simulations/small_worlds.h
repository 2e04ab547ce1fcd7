/// Every history of a few commands in a world with one job, and every single disturbance of it: a
/// crash at each event boundary, each message lost, both together, each party killed, cut off or
/// rebooted at each step of a cutover. Nothing is drawn.
#pragma once

#include "simulations/world.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace drover::sim {

/// `number` counts facts, from 1, except for "lost" (messages of sessions) and "..._at_step" (steps
/// of that party's processes).
struct Disturbance {
    std::string name;
    std::uint64_t number = 0;
};

/// One run: what the operator does where the job waits for a person, and what goes wrong.
struct SmallCase {
    std::vector<std::string> history;  ///< names of actions; after them the script goes on
    std::vector<Disturbance> disturbances;
    bool journals = false;  ///< both sides keep them: for tests and what comes back

    /// "start,cutover,rollback;orchestrator_dies@17;lost@40".
    [[nodiscard]] std::string text() const;
    [[nodiscard]] static std::optional<SmallCase> from(const std::string& text);
};

struct SmallOutcome {
    Outcome outcome;
    std::uint32_t ordered = 0;   ///< commands of the history that were given
    std::uint32_t accepted = 0;  ///< of them those that changed something
    std::uint64_t messages = 0;
    std::uint64_t cutover_at = 0;  ///< the first fact of the first cutover; 0: there was none
    std::uint64_t over_at = 0;     ///< the fact that ended it: committed or rolled back
    bool struck = false;           ///< the last disturbance happened
    /// With journals, of each party: before the test or the rollback began, and when it was over.
    std::map<std::string, std::uint64_t> steps_from;
    std::map<std::string, std::uint64_t> steps_to;
};

/// Names of what can happen to the parties at an event boundary.
[[nodiscard]] std::vector<std::string> strike_names();
/// Names of the commands of which histories are made.
[[nodiscard]] std::vector<std::string> action_names();

[[nodiscard]] SmallOutcome run_small(const SmallCase& small, bool tracing);

struct SearchOptions {
    std::uint32_t depth = 3;  ///< commands in a history
    /// Of the pairs of disturbances one in so many, evenly; 1: all.
    std::uint32_t pairs_one_in = 1;
    std::uint32_t processes = 1;
};

/// Prints counts; false, with the command that shows it, when a rule was broken.
[[nodiscard]] bool search_small_worlds(const SearchOptions& options, Coverage& coverage);

}  // namespace drover::sim
