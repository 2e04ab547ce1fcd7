// A redo journal is stopped at every write and flush that it makes, by a killed process or by a
// power cut that drops and tears what was not flushed. The disks must then be exactly at a batch
// that was committed, and not before the last one that was acknowledged.
#include "tests/eventlog/budget.h"
#include "tests/replicator/redo_play.h"

#include <algorithm>
#include <cstdlib>

#include <catch2/catch.hpp>

namespace drover::replicator::testing {
namespace {

constexpr int actions = 60;
/// Sanitized programs are twenty times slower here: they take one step in seven, and floors that
/// fit.
constexpr std::uint64_t stride = eventlog::testing::under_sanitizer ? 7 : 1;

/// `few` within the time that a test may take; more on demand.
std::uint64_t seeds(std::uint64_t few) {
    const char* const rounds = std::getenv("DROVER_SOAK_ROUNDS");
    return rounds == nullptr ? few
                             : std::max<std::uint64_t>(few, std::strtoull(rounds, nullptr, 10));
}

enum class End { killed, power_cut };

/// The steps of a run that nothing stops.
std::uint64_t steps_of(std::uint64_t seed) {
    RedoPlay play(seed);
    play.run(seed, actions);
    const std::uint64_t steps = play.machine.steps;
    REQUIRE(play.reopen());
    REQUIRE(play.verdict() == "");
    return steps;
}

struct Sweep {
    bool flushes = true;
    std::uint64_t runs = 0;
    std::uint64_t wrong = 0;
    std::uint64_t interrupted = 0;  ///< recoveries
    std::uint64_t direct = 0;
    std::uint64_t crossings = 0;
    std::string what;
};

/// After the machine ended: recovers, at first with further ends in between.
void recover(RedoPlay& play, End end, std::uint64_t ends, Sweep& sweep) {
    for (;; --ends) {
        play.journal.reset();
        if (end == End::power_cut) {
            play.file.lose_power();
            play.first.lose_power();
            play.second.lose_power();
        }
        play.machine.is_dead = false;
        play.machine.mishaps.clear();
        if (ends > 0)
            play.machine.mishaps[play.machine.steps + 1 + play.machine.random.below(12)] =
                Mishap::death;
        const bool is_open = play.reopen();
        if (is_open && ends == 0) return;
        if (!is_open && !play.machine.is_dead) return;
        ++sweep.interrupted;
        // What recovered in time may be interrupted all the same.
        play.machine.is_dead = true;
    }
}

void judge(RedoPlay& play, Sweep& sweep, const std::string& where) {
    ++sweep.runs;
    sweep.crossings += play.crossings;
    std::string found = play.journal ? play.verdict() : "not opened";
    if (play.journal && play.journal->mode() == JournalMode::direct) ++sweep.direct;
    if (found.empty()) found = play.go_on();
    if (found.empty()) return;
    ++sweep.wrong;
    sweep.what = where + ": " + found;
}

Sweep sweep_over(std::uint64_t seed, End end, bool flushes) {
    Sweep sweep;
    sweep.flushes = flushes;
    const std::uint64_t steps = steps_of(seed);
    for (std::uint64_t step = 1; step <= steps; step += stride) {
        RedoPlay play(seed);
        play.machine.flushes = flushes;
        play.machine.random = SeededRandom(seed * 1'000'003 + step);
        play.machine.mishaps[step] = Mishap::death;
        play.run(seed, actions);
        recover(play, end, step % 3, sweep);
        play.machine.flushes = true;
        judge(play, sweep, "seed " + std::to_string(seed) + " step " + std::to_string(step));
    }
    return sweep;
}

TEST_CASE("redo journal: killed at any step, the disks are at a committed batch") {
    for (std::uint64_t seed = 1; seed <= seeds(2); ++seed) {
        const Sweep sweep = sweep_over(seed, End::killed, true);
        INFO(sweep.what);
        CHECK(sweep.wrong == 0);
        CHECK(sweep.runs > 60 / stride);
        CHECK(sweep.interrupted > 10 / stride);
    }
}

TEST_CASE("redo journal: power cut at any step, the disks are at a committed batch") {
    Sweep sum;
    for (std::uint64_t seed = 1; seed <= seeds(5); ++seed) {
        const Sweep sweep = sweep_over(seed, End::power_cut, true);
        INFO(sweep.what);
        CHECK(sweep.wrong == 0);
        sum.runs += sweep.runs;
        sum.direct += sweep.direct;
        sum.crossings += sweep.crossings;
        sum.interrupted += sweep.interrupted;
    }
    CHECK(sum.direct > 20 / stride);
    CHECK(sum.crossings > 20 / stride);
    WARN("power cuts " << sum.runs << ", interrupted recoveries " << sum.interrupted
                       << ", in direct mode " << sum.direct << ", batches too large "
                       << sum.crossings);
}

TEST_CASE("redo journal: a flush that does nothing is found out by power cuts, not by kills") {
    std::uint64_t wrong = 0;
    for (std::uint64_t seed = 1; seed <= seeds(1); ++seed) {
        wrong += sweep_over(seed, End::power_cut, false).wrong;
        CHECK(sweep_over(seed, End::killed, false).wrong == 0);
    }
    CHECK(wrong > 20 / stride);
    WARN("lost without flushes: " << wrong);
}

/// The step goes wrong, the journal stops, and what is left is opened anew.
void mishap_at(std::uint64_t seed, std::uint64_t step, Mishap mishap, std::uint64_t variant,
               Sweep& sum) {
    RedoPlay play(seed);
    play.machine.random = SeededRandom((seed * 1'000 + variant) * 1'000'003 + step);
    play.machine.mishaps[step] = mishap;
    play.run(seed, actions);
    REQUIRE(play.machine.steps == step);
    REQUIRE(play.journal->apply_next().error().id() == "redo_journal_stopped");
    const RecordEntry zeroes{0, 512, 0, true};
    REQUIRE(play.journal->add({1000, zeroes, {}}).error().id() == "redo_journal_stopped");
    REQUIRE(play.journal->restore(1).error().id() == "redo_journal_stopped");
    REQUIRE(play.machine.steps == step);
    // Opened anew by the same process; that may be interrupted too. Then a kill or a power cut.
    play.machine.mishaps.clear();
    if (variant > 0) play.machine.mishaps[step + 1 + play.machine.random.below(14)] = Mishap::death;
    const bool is_open = play.reopen();
    REQUIRE((is_open || play.machine.is_dead));
    recover(play, variant % 2 == 0 ? End::killed : End::power_cut, variant % 3, sum);
    judge(play, sum, "seed " + std::to_string(seed) + " step " + std::to_string(step));
}

TEST_CASE("redo journal: after any failing write or flush it stops, and loses nothing") {
    const auto mishap =
        GENERATE(Mishap::io_error, Mishap::no_space, Mishap::short_write, Mishap::flush_forgets);
    Sweep sum;
    const std::uint64_t variants = mishap == Mishap::flush_forgets ? 6 : 2;
    for (std::uint64_t seed = 1; seed <= seeds(1); ++seed) {
        const std::uint64_t steps = steps_of(seed);
        for (std::uint64_t step = 1; step <= steps; step += stride)
            for (std::uint64_t variant = 0; variant < variants; ++variant)
                mishap_at(seed, step, mishap, variant, sum);
    }
    INFO(sum.what);
    CHECK(sum.wrong == 0);
    CHECK(sum.runs > 150 / stride);
}

}  // namespace
}  // namespace drover::replicator::testing
