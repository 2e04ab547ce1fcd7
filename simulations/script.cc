// What is done with a job on purpose. Faults are drawn elsewhere.
#include "simulations/world.h"

#include <array>

namespace drover::sim {
namespace {

constexpr Micros second = 1'000'000;

/// Targets with journals run tests, on what their filesystems can make.
void draw_tests(const Options& options, SimulatedJob& job) {
    if (options.journal_blocks == 0) return;
    Dice dice(options.seed ^ (0x5300ULL + job.index));
    if (!dice.one_in(3)) job.target_machine->overlay_kinds.insert("reflink");
    if (!dice.one_in(8)) job.target_machine->overlay_kinds.insert("qcow2");
    job.spec.hooks[HookStep::test_start] = "try-" + job.name;
    job.spec.hooks[HookStep::test_stop] = "untry-" + job.name;
    job.script.tests = static_cast<std::uint32_t>(dice.between(0, 2));
    job.script.test_at = dice.between(options.wave_time / 8, options.wave_time);
    job.script.test_lasts = dice.between(5, dice.one_in(2) ? 60 : 900) * second;
    job.script.test_cancels = dice.one_in(8);
}

/// Sources that take back what was written on their targets.
void draw_ways_back(const Options& options, SimulatedJob& job) {
    if (options.reverse_blocks == 0) return;
    Dice dice(options.seed ^ (0x5400ULL + job.index));
    job.script.takes_back = !dice.one_in(5);
    job.script.keeps = !dice.one_in(3);
    job.script.abandons = dice.one_in(4);
    job.script.abandon_after =
        dice.one_in(2) ? dice.between(0, 50'000) : dice.between(0, 5 * second);
    if (job.script.keeps && dice.one_in(2) && job.script.rollbacks == 0) job.script.rollbacks = 1;
}

}  // namespace

void draw_script(const Options& options, Dice& own, SimulatedJob& job) {
    Dice more(options.seed ^ (0x51ULL + job.index));
    job.spec.outage_max_s = static_cast<std::uint32_t>(more.between(options.outage_s_min, 600));
    constexpr std::array comparisons{Comparison::automatic, Comparison::before_release,
                                     Comparison::during_hold, Comparison::never};
    job.spec.comparison = comparisons.at(Dice(options.seed ^ (0x5200ULL + job.index)).below(4));
    job.script.mistypes = more.one_in(4);
    job.script.plan_at = own.between(0, options.wave_time / 4);
    job.script.cutover_at = own.between(options.wave_time / 4, options.wave_time);
    if (options.day != 0) job.script.cutover_at = own.between(options.day / 2, options.day * 3 / 4);
    job.script.decide_after = own.between(5, 300) * second;
    job.script.arms = own.one_in(3);
    job.script.pauses = own.one_in(6);
    job.script.rollbacks = static_cast<std::uint32_t>(own.one_in(3) ? own.between(1, 2) : 0);
    job.script.cancels = job.script.rollbacks > 0 && own.one_in(2);
    draw_tests(options, job);
    draw_ways_back(options, job);
}

}  // namespace drover::sim
