#include "simulations/processes.h"
#include "simulations/small_worlds.h"

#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <set>
#include <utility>

namespace drover::sim {
namespace {

/// A history that was accepted in full, and its undisturbed run.
struct Known {
    SmallCase small;
    std::uint64_t facts = 0;
    std::uint64_t messages = 0;
    std::uint64_t cutover_at = 0;
    std::uint64_t over_at = 0;
};

class Search {
  public:
    explicit Search(const SearchOptions& options)
        : options_(options) {}

    [[nodiscard]] const Coverage& coverage() const { return coverage_; }

    [[nodiscard]] bool run() {
        return timed("histories of operators' commands", [this] { return find_histories(); }) &&
               shared("crashes after a fact", [this] { return crash_everywhere(); }) &&
               shared("lost messages", [this] { return lose_everything(); }) &&
               shared("crashes x lost messages", [this] { return crash_and_lose(); }) &&
               shared("one strike at a boundary", [this] { return strike_once(); }) &&
               shared("one more command at a boundary", [this] { return wish_anywhere(); }) &&
               shared("a disk gone, then a preflight", [this] { return lose_disk(); }) &&
               shared("one party killed at a step", [this] { return strike_steps("_at_step"); }) &&
               shared("one party cut off at a step",
                      [this] { return strike_steps("_cut_at_step"); }) &&
               shared("tests, stopped at a step", [this] { return strike_journals(test_); }) &&
               shared("ways back, stopped at a step",
                      [this] { return strike_journals(way_back_); }) &&
               shared("two strikes at boundaries", [this] { return strike_twice(); });
    }

  private:
    /// Prints what a part of the search took.
    [[nodiscard]] bool timed(const char* what, const std::function<bool()>& part) {
        const std::uint64_t before = runs_;
        const auto began = std::chrono::steady_clock::now();
        const bool holds = part();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        std::printf("%-34s %7llu runs, %5.1f s\n", what,
                    static_cast<unsigned long long>(runs_ - before), took.count());
        std::fflush(stdout);
        return holds;
    }

    /// A part whose cases do not depend on each other, in several processes.
    [[nodiscard]] bool shared(const char* what, const std::function<bool()>& part) {
        const Share share = [this, &part](std::uint32_t number, std::ostream& tally) {
            share_ = number;
            case_ = 0;
            runs_ = 0;
            coverage_ = {};
            const bool holds = part();
            tally << runs_ << '\n';
            write(tally, coverage_);
            return holds;
        };
        return timed(what, [this, &share] {
            std::uint64_t all_runs = runs_;
            Coverage all = std::exchange(coverage_, {});
            const bool holds = run_shares(options_.processes, share, [&](std::istream& in) {
                std::uint64_t runs = 0;
                in >> runs;
                in.ignore(1);
                all_runs += runs;
                all.add(read_coverage(in));
            });
            runs_ = all_runs;
            coverage_ = std::move(all);
            return holds;
        });
    }

    /// False when a rule was broken, which it has printed then.
    [[nodiscard]] bool holds(const SmallCase& small, SmallOutcome* out = nullptr) {
        SmallOutcome ran = run_small(small, false);
        ++runs_;
        coverage_.add(ran.outcome.coverage);
        const auto violation = ran.outcome.violation;
        if (violation)
            std::cout << "VIOLATION of \"" << violation->rule << "\"\n  " << violation->detail
                      << "\nreplay: drover-sim exhaust --only '" << small.text() << "'\n";
        if (out != nullptr) *out = std::move(ran);
        return !violation;
    }

    [[nodiscard]] bool find_histories() {
        return extend({}, options_.depth) && extend({"start", "cutover"}, options_.depth) &&
               extend({"start", "arm"}, 1);
    }

    /// Keeps the history if all of its commands were accepted, and tries one more.
    [[nodiscard]] bool extend(const std::vector<std::string>& history, std::uint32_t more) {
        Known known{{history, {}, false}, 0, 0, 0, 0};
        SmallOutcome out;
        if (!holds(known.small, &out)) return false;
        if (out.ordered < history.size() || out.accepted < out.ordered) return true;
        known.facts = out.outcome.facts;
        known.messages = out.messages;
        known.cutover_at = out.cutover_at;
        known.over_at = out.over_at;
        if (seen_.insert(known.small.text()).second) known_.push_back(std::move(known));
        if (more == 0) return true;
        for (const std::string& action : actions_) {
            std::vector<std::string> longer = history;
            longer.push_back(action);
            if (!extend(longer, more - 1)) return false;
        }
        return true;
    }

    /// If it is this process's turn.
    [[nodiscard]] bool with(const Known& known, std::vector<Disturbance> disturbances) {
        if (case_++ % options_.processes != share_) return true;
        return holds({known.small.history, std::move(disturbances), false});
    }

    [[nodiscard]] bool crash_everywhere() {
        for (const Known& known : known_)
            for (std::uint64_t n = 1; n <= known.facts; ++n)
                if (!with(known, {{"orchestrator_dies", n}})) return false;
        return true;
    }

    [[nodiscard]] bool lose_everything() {
        for (const Known& known : known_)
            for (std::uint64_t m = 1; m <= known.messages; ++m)
                if (!with(known, {{"lost", m}})) return false;
        return true;
    }

    [[nodiscard]] bool crash_and_lose() {
        for (const Known& known : known_)
            for (std::uint64_t n = 1; n <= known.facts; ++n)
                for (std::uint64_t m = 1; m <= known.messages; ++m)
                    if (is_next() && !with(known, {{"orchestrator_dies", n}, {"lost", m}}))
                        return false;
        return true;
    }

    /// The plain ways: committed, and rolled back from holding.
    [[nodiscard]] std::vector<const Known*> plain() const {
        std::vector<const Known*> out;
        for (const Known& known : known_) {
            const std::string text = known.small.text();
            if (text == "start,cutover,commit" || text == "start,cutover,rollback")
                out.push_back(&known);
        }
        return out;
    }

    [[nodiscard]] bool strike_once() {
        for (const Known* known : plain())
            for (std::uint64_t n = known->cutover_at; n <= known->over_at; ++n)
                for (const std::string& strike : strikes_)
                    if (!with(*known, {{strike, n}})) return false;
        return true;
    }

    /// Not only where the job waits for one.
    [[nodiscard]] bool wish_anywhere() {
        for (const Known* known : plain())
            for (std::uint64_t n = 1; n <= known->facts; ++n)
                for (const std::string& action : actions_)
                    if (!with(*known, {{"operator_" + action, n}})) return false;
        return true;
    }

    /// What a preflight finds when something changed since the last.
    [[nodiscard]] bool lose_disk() {
        for (const Known& known : known_) {
            if (known.small.history.empty() || known.small.history.front() != "preflight") continue;
            for (std::uint64_t n = 1; n <= known.facts; ++n)
                if (!with(known, {{"source_disk_gone", n}})) return false;
        }
        return true;
    }

    /// How many steps there are is seen at the first one that nobody reaches.
    [[nodiscard]] bool strike_steps(const std::string& how) {
        for (const Known* known : plain())
            for (const std::string party : {"orchestrator", "source", "target"})
                for (std::uint64_t step = 1 + share_;; step += options_.processes) {
                    SmallOutcome out;
                    if (!holds({known->small.history, {{party + how, step}}, false}, &out))
                        return false;
                    if (!out.struck) break;
                }
        return true;
    }

    /// What needs journals, and nothing before or after it.
    [[nodiscard]] bool strike_journals(const std::vector<std::string>& history) {
        SmallOutcome plain;
        if (!holds({history, {}, true}, &plain)) return false;
        for (const auto& [party, last] : plain.steps_to) {
            if (party == "orchestrator") continue;
            for (const char* how : {"_at_step", "_dark_at_step", "_abandons_at_step"})
                for (std::uint64_t step = plain.steps_from[party] + 1 + share_; step <= last;
                     step += options_.processes)
                    if (!holds({history, {{party + how, step}}, true})) return false;
        }
        return true;
    }

    [[nodiscard]] bool strike_twice() {
        for (const Known* known : plain())
            for (std::uint64_t n = known->cutover_at; n <= known->over_at; ++n)
                for (const std::string& first : strikes_)
                    for (std::uint64_t m = n; m <= known->over_at; ++m)
                        for (const std::string& other : strikes_)
                            if (is_next() && !with(*known, {{first, n}, {other, m}})) return false;
        return true;
    }

    /// Of the pairs one in so many.
    [[nodiscard]] bool is_next() { return pair_++ % options_.pairs_one_in == 0; }

    const SearchOptions options_;
    const std::vector<std::string> actions_ = action_names();
    const std::vector<std::string> strikes_ = strike_names();
    const std::vector<std::string> test_ = {"start", "test-start", "test-revert", "cutover",
                                            "commit"};
    const std::vector<std::string> way_back_ = {"start", "cutover", "rollback-keep", "cancel"};
    Coverage coverage_;
    std::set<std::string> seen_;
    std::vector<Known> known_;
    std::uint64_t runs_ = 0;
    std::uint64_t pair_ = 0;
    std::uint32_t share_ = 0;  ///< of this process
    std::uint64_t case_ = 0;
};

}  // namespace

bool search_small_worlds(const SearchOptions& options, Coverage& coverage) {
    Search search(options);
    const bool holds = search.run();
    coverage.add(search.coverage());
    return holds;
}

}  // namespace drover::sim
