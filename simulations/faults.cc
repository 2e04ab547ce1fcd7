#include "simulations/faults.h"

#include <algorithm>
#include <array>
#include <span>

namespace drover::sim {
namespace {

constexpr Micros second = 1'000'000;

constexpr std::array<std::string_view, fault_kind_count> names = {
    "kill_source_agent",
    "kill_target_agent",
    "kill_orchestrator",
    "kill_source_at_step",
    "kill_target_at_step",
    "kill_orchestrator_at_step",
    "pause_source_agent",
    "pause_target_agent",
    "pause_orchestrator",
    "reboot_source",
    "reboot_target",
    "power_loss_source",
    "power_loss_target",
    "clone_source",
    "step_clock",
    "cut_source_to_server",
    "cut_server_to_source",
    "cut_target_both",
    "cut_peers_both",
    "cut_peers_one_way",
    "reset_source_session",
    "reset_peers",
    "slow_peers",
    "rot_target",
    "read_error_source",
    "write_error_target",
    "flush_error_target",
    "state_full_source",
    "state_full_target",
    "state_error_source",
    "log_full",
    "append_lost",
    "append_kept",
    "append_conflict",
    "second_orchestrator",
    "restored_copy",
    "lose_completions",
    "lose_issues",
    "hook_fails",
    "hook_hangs",
    "disk_vanishes",
    "stray_writer",
    "lose_target_for_good",
    "duplicate_parcels",
    "flip_write_target",
    "journal_full_target",
    "journal_error_target",
    "die_in_journal_target",
    "die_in_test_target",
    "test_hook_fails",
    "lose_changes_target",
    "write_error_source",
    "flush_error_source",
    "flip_write_source",
    "journal_full_source",
    "journal_error_source",
    "die_on_way_back_source",
    "die_on_way_back_target",
};

using statemachine::Phase;

constexpr std::array<Phase, 11> common_phases = {
    Phase::planned,  Phase::mirroring,    Phase::syncing,    Phase::fencing,
    Phase::draining, Phase::verifying,    Phase::activating, Phase::validating,
    Phase::holding,  Phase::rolling_back, Phase::rolled_back};

constexpr std::array<Phase, 1> test_phases = {Phase::testing};
constexpr std::array<Phase, 5> way_back_phases = {Phase::holding, Phase::rolling_back,
                                                  Phase::rolling_back, Phase::reverse_draining,
                                                  Phase::reverse_verifying};

/// Those that stop everything are rarer than those that hit one job.
bool hits_all(FaultKind kind) {
    switch (kind) {
        case FaultKind::kill_orchestrator:
        case FaultKind::kill_orchestrator_at_step:
        case FaultKind::pause_orchestrator:
        case FaultKind::log_full:
        case FaultKind::append_lost:
        case FaultKind::append_kept:
        case FaultKind::append_conflict:
        case FaultKind::second_orchestrator:
        case FaultKind::restored_copy:
            return true;
        default:
            return false;
    }
}

}  // namespace

std::string_view name_of(FaultKind kind) {
    return names.at(static_cast<std::size_t>(kind));
}

namespace {

/// Kinds from `first` to `end`, the latter not included.
struct Kinds {
    std::size_t first = 0;
    std::size_t end = 0;
};

Fault draw_fault(const Options& options, Dice& dice, Kinds kinds, std::span<const Phase> phases) {
    Fault fault;
    fault.kind = static_cast<FaultKind>(kinds.first + dice.below(kinds.end - kinds.first));
    if (dice.one_in(2)) {
        fault.at = dice.between(5 * second, options.wave_time);
    } else {
        fault.phase = phases[dice.below(phases.size())];
        fault.at = dice.one_in(2) ? dice.between(0, 20'000) : dice.between(0, 3 * second);
    }
    // Many faults heal within a retry, some only after every timeout has passed.
    const std::array<Micros, 4> spans = {5 * second, 30 * second, 180 * second, 900 * second};
    fault.lasts = dice.between(second, spans.at(dice.below(spans.size())));
    fault.job = static_cast<std::uint32_t>(dice.below(options.jobs));
    fault.number = dice.next();
    return fault;
}

/// One in four: they come on top of the others, so that seeds without journals stay what they were.
void draw_journal_faults(const Options& options, std::vector<Fault>& faults) {
    if (options.journal_blocks == 0) return;
    Dice dice(options.seed ^ 0xfa018ULL);
    for (std::uint32_t i = 0; i < (options.fault_count + 3) / 4; ++i) {
        faults.push_back(draw_fault(
            options, dice, {common_fault_kind_count, journal_fault_kind_end}, common_phases));
        faults.back().index = options.fault_count + i;
    }
}

/// One in two, on top as well, and all of them in these phases: half are of their own kinds.
void draw_faults_in(std::span<const Phase> phases, Kinds kinds, const Options& options,
                    std::uint32_t first_index, std::vector<Fault>& faults) {
    Dice dice(options.seed ^ (0xfa019ULL + first_index));
    for (std::uint32_t i = 0; i < (options.fault_count + 1) / 2; ++i) {
        const bool is_common = dice.one_in(2);
        Fault fault = draw_fault(options, dice,
                                 is_common ? Kinds{0, common_fault_kind_count} : kinds, phases);
        fault.phase = phases[dice.below(phases.size())];
        fault.at = dice.one_in(2) ? dice.between(0, 5'000) : dice.between(0, 90 * second);
        fault.index = first_index + i;
        if (!hits_all(fault.kind)) faults.push_back(fault);
    }
}

}  // namespace

std::vector<Fault> draw_faults(const Options& options) {
    Dice dice(options.seed ^ 0xfa017ULL);
    std::vector<Fault> faults;
    std::uint32_t for_all = 0;
    const std::uint32_t for_all_max = options.jobs > 100 ? 4 : 12;
    for (std::uint32_t index = 0; index < options.fault_count; ++index) {
        Fault fault = draw_fault(options, dice, {0, common_fault_kind_count}, common_phases);
        fault.index = index;
        if (hits_all(fault.kind) && ++for_all > for_all_max) continue;
        // Meanwhile two thousand agents dial in vain: long outages are for small waves.
        if (hits_all(fault.kind) && options.jobs > 200)
            fault.lasts = std::min<Micros>(fault.lasts, 60 * second);
        faults.push_back(fault);
    }
    draw_journal_faults(options, faults);
    if (options.journal_blocks != 0)
        draw_faults_in(test_phases, {journal_fault_kind_end, test_fault_kind_end}, options,
                       2 * options.fault_count, faults);
    if (options.reverse_blocks != 0)
        draw_faults_in(way_back_phases, {test_fault_kind_end, fault_kind_count}, options,
                       3 * options.fault_count, faults);
    std::stable_sort(faults.begin(), faults.end(),
                     [](const Fault& a, const Fault& b) { return a.at < b.at; });
    if (options.no_faults_at_all) faults.clear();
    if (!options.only_faults.empty())
        std::erase_if(faults,
                      [&](const Fault& f) { return !options.only_faults.contains(f.index); });
    return faults;
}

std::string text_of(const Fault& fault) {
    std::string text = "fault " + std::to_string(fault.index) + " " +
                       std::string(name_of(fault.kind)) + " at job " + std::to_string(fault.job);
    text += " for " + std::to_string(fault.lasts / second) + " s";
    if (fault.phase) text += ", in " + std::string(name_of(*fault.phase));
    return text;
}

}  // namespace drover::sim
