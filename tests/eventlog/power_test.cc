/// Power failures at every moment: a log loses nothing that it acknowledged and opens again. What
/// was written but not synced, in RocksDB's files and the head file, is lost, kept, cut or mixed as
/// drawn.
#include "base/log.h"
#include "eventlog/rocksdb_log.h"
#include "tests/eventlog/budget.h"
#include "tests/eventlog/child.h"
#include "tests/eventlog/file_calls.h"
#include "tests/eventlog/log_testing.h"
#include "tests/eventlog/promise.h"

#include <fstream>

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr WallMicros noon = 1'700'000'000'000'000;
constexpr std::uint64_t rounds_in_ci = 600;
constexpr std::uint64_t rounds_floor = 500;
constexpr auto time_in_ci = std::chrono::seconds(90);
constexpr std::uint64_t rounds_per_life = 12;
constexpr std::uint64_t changes_per_round_max = 240;
constexpr std::uint64_t appends_per_round_max = 40;

/// What a child says about its round.
struct Round {
    Promise promise;
    Seq found = 0;  ///< where the log ended when it was opened; 0 for not opened
    bool failed_in_a_call = false;
    Note problem{};
};

enum ExitStatus : int { power_was_lost = 10, log_refused = 11, promise_broken = 12 };

/// A machine with one log on it, that loses power again and again.
class Machine {
  public:
    Machine(std::uint64_t seed, Lies lies)
        : seed_(seed),
          random_(seed),
          lies_(lies) {
        fs::create_directory(volume());
    }

    /// One life of a process, up to the power failure. The exit status says how it ended.
    Ended live() {
        const std::uint64_t round_seed = random_.below(UINT64_MAX);
        round_->found = 0;
        write_note(round_->problem, "");
        const auto ended = in_child(messages(), [&] { return run(round_seed); });
        if (ended.status != power_was_lost) return ended;
        fs::remove_all(volume());
        fs::rename(image(), volume());
        return ended;
    }

    [[nodiscard]] const Round& round() const { return *round_; }

    [[nodiscard]] std::string problem() const {
        std::ifstream file(messages());
        return std::string(round_->problem.data()) + "\n" +
               std::string(std::istreambuf_iterator<char>(file), {});
    }

    /// Puts the volume aside as the last round found it.
    [[nodiscard]] fs::path keep() const {
        const fs::path kept = fs::temp_directory_path() / ("drover-power-" + std::to_string(seed_));
        fs::remove_all(kept);
        fs::copy(volume(), kept, fs::copy_options::recursive);
        return kept;
    }

  private:
    [[nodiscard]] fs::path volume() const { return directory_.path() / "volume"; }

    [[nodiscard]] fs::path image() const { return directory_.path() / "image"; }

    [[nodiscard]] fs::path messages() const { return directory_.path() / "messages"; }

    int run(std::uint64_t seed) {
        SeededRandom random(seed);
        SeededRandom fate(seed + 1);
        Round& round = *round_;
        FileCalls::Options options;
        options.root = volume();
        options.lies = round.promise.created ? lies_ : Lies::none;
        // Most power failures are met in a call, the others between two.
        options.faults = {{Fault::power_loss, 1 + random.below(changes_per_round_max), false, {}}};
        options.on_fault = [&](const std::string& site) {
            round.failed_in_a_call = true;
            write_note(round.problem, "power lost in: " + site);
        };
        options.on_power_loss = [&](const Volume& model) {
            model.lose_power(fate, image());
            ::_exit(power_was_lost);
        };
        round.failed_in_a_call = false;
        FileCalls& calls = FileCalls::begin(std::move(options));
        const int status = use_log(random, round);
        if (status != power_was_lost) return status;
        calls.lose_power();
        return status;
    }

    int use_log(Random& random, Round& round) {
        if (!round.promise.created) {
            const auto created = create_rocksdb_log(volume() / "log", uuid(1));
            if (!created && created.error().id() != "log_exists") return refused(created.error());
            round.promise.created = true;
        }
        auto log = open_rocksdb_log(volume() / "log", OpenOptions{.ballast_bytes = 64U << 10});
        if (!log) return refused(log.error());
        const std::string broken = broken_promise(**log, round.promise);
        if (!broken.empty()) {
            write_note(round.problem, broken);
            return promise_broken;
        }
        round.found = (*log)->head().seq;
        WallMicros now = noon;
        if (auto raised = raise_epoch(**log, now, round.promise); !raised)
            return refused(raised.error());
        for (auto left = random.below(appends_per_round_max); left > 0; --left) {
            now += static_cast<WallMicros>(random.below(100'000));
            const auto appended = append_drawn(**log, random, now, round.promise);
            if (appended.outcome != AppendOutcome::ok) return refused(appended.error);
            if (random.below(8) != 0) continue;
            if (auto synced = sync_head(**log, round.promise); !synced)
                return refused(synced.error());
        }
        return power_was_lost;
    }

    int refused(const Error& error) {
        write_note(round_->problem, error.text());
        return log_refused;
    }

    std::uint64_t seed_;
    SeededRandom random_;
    Lies lies_;
    TemporaryDirectory directory_{fast_directory()};
    Shared<Round> round_;
};

TEST_CASE("power: a log that loses power at any moment keeps what it acknowledged", "[power]") {
    log::set_level(log::Level::error);
    Budget budget(rounds_floor, rounds_in_ci, time_in_ci);
    const std::uint64_t seed = first_seed();
    std::uint64_t in_calls = 0;
    Seq acknowledged = 0;
    for (std::uint64_t life = 0; budget.more(); ++life) {
        INFO("run again with DROVER_SEED=" << seed + life);
        Machine machine(seed + life, Lies::none);
        for (std::uint64_t round = 0; round < rounds_per_life && budget.more(); ++round) {
            const auto ended = machine.live();
            if (ended.status != power_was_lost)
                FAIL("round " << round << ", signal " << ended.signal << ", its volume is kept in "
                              << machine.keep() << ": " << machine.problem());
            budget.count();
            if (machine.round().failed_in_a_call) ++in_calls;
        }
        acknowledged += machine.round().promise.acknowledged;
    }
    budget.report("power failures, " + std::to_string(in_calls) + " of them in a call, " +
                  std::to_string(acknowledged) + " events acknowledged, 0 lost, seeds from " +
                  std::to_string(seed));
}

TEST_CASE("power: with syncs that do nothing, acknowledged events are lost and the test sees it",
          "[power]") {
    log::set_level(log::Level::error);
    constexpr std::uint64_t lives = 12;
    const std::uint64_t seed = first_seed();
    std::uint64_t lost = 0;
    for (std::uint64_t life = 0; life < lives; ++life) {
        Machine machine(seed + life, Lies::of_everything);
        for (std::uint64_t round = 0; round < rounds_per_life; ++round)
            if (machine.live().status != power_was_lost) {
                ++lost;
                break;
            }
    }
    std::cout << "negative control: " << lost << " of " << lives
              << " logs without syncs lost events, seeds from " << seed << "\n";
    CHECK(lost > lives / 2);
}

TEST_CASE("power: when only the database's syncs do nothing, the head file shows it", "[power]") {
    log::set_level(log::Level::error);
    constexpr std::uint64_t lives = 12;
    const std::uint64_t seed = first_seed();
    std::uint64_t shown = 0;
    for (std::uint64_t life = 0; life < lives; ++life) {
        Machine machine(seed + life, Lies::of_the_database);
        for (std::uint64_t round = 0; round < rounds_per_life; ++round) {
            const auto ended = machine.live();
            if (ended.status == power_was_lost) continue;
            if (ended.status == log_refused) ++shown;
            break;
        }
    }
    std::cout << "negative control: " << shown << " of " << lives
              << " logs whose database was not synced were refused, seeds from " << seed << "\n";
    CHECK(shown > lives / 2);
}

}  // namespace
}  // namespace drover::eventlog
