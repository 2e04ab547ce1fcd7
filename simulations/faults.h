/// What goes wrong in a simulation: a list, drawn from the seed before anything runs, so that each
/// entry can be left out to find those that matter.
#pragma once

#include "simulations/options.h"
#include "statemachine/phase.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover::sim {

enum class FaultKind : std::uint8_t {
    kill_source_agent,
    kill_target_agent,
    kill_orchestrator,
    kill_source_at_step,  ///< at its n-th step from now on
    kill_target_at_step,
    kill_orchestrator_at_step,
    pause_source_agent,  ///< SIGSTOP for minutes
    pause_target_agent,
    pause_orchestrator,
    reboot_source,
    reboot_target,
    power_loss_source,
    power_loss_target,
    clone_source,  ///< a copy of the machine calls in as well
    step_clock,
    cut_source_to_server,  ///< one way
    cut_server_to_source,
    cut_target_both,
    cut_peers_both,
    cut_peers_one_way,
    reset_source_session,
    reset_peers,
    slow_peers,
    rot_target,  ///< a block of the target's disk changes by itself
    read_error_source,
    write_error_target,
    flush_error_target,
    state_full_source,  ///< ENOSPC on the agent's state directory
    state_full_target,
    state_error_source,  ///< EIO, once
    log_full,
    append_lost,  ///< the log's next append is indeterminate
    append_kept,
    append_conflict,
    second_orchestrator,  ///< on the same log
    restored_copy,        ///< an older copy of the log takes the address for a while
    lose_completions,     ///< of the change tracker
    lose_issues,
    hook_fails,
    hook_hangs,
    disk_vanishes,
    stray_writer,          ///< root mounts a fenced disk by hand
    lose_target_for_good,  ///< the machine is scrapped
    duplicate_parcels,
    flip_write_target,  ///< a block of the target's disk is not what was written to it
    // Only where targets keep journals:
    journal_full_target,    ///< ENOSPC where a journal is made
    journal_error_target,   ///< EIO of the journal's file
    die_in_journal_target,  ///< killed or without power at its n-th step there
    die_in_test_target,     ///< likewise, of a test
    test_hook_fails,        ///< or hangs, or says that it did what it did not
    // Only where sources take back what was written on targets:
    lose_changes_target,  ///< of what the target's users wrote
    write_error_source,
    flush_error_source,
    flip_write_source,  ///< of what comes back
    journal_full_source,
    journal_error_source,
    die_on_way_back_source,  ///< killed or without power
    die_on_way_back_target
};

constexpr std::size_t common_fault_kind_count =
    static_cast<std::size_t>(FaultKind::flip_write_target) + 1;
constexpr std::size_t journal_fault_kind_end =
    static_cast<std::size_t>(FaultKind::die_in_journal_target) + 1;
constexpr std::size_t test_fault_kind_end =
    static_cast<std::size_t>(FaultKind::test_hook_fails) + 1;
constexpr std::size_t fault_kind_count =
    static_cast<std::size_t>(FaultKind::die_on_way_back_target) + 1;

[[nodiscard]] std::string_view name_of(FaultKind kind);

struct Fault {
    std::uint32_t index = 0;
    FaultKind kind = FaultKind::kill_source_agent;
    /// Most of what matters happens within seconds: half of the faults wait for a job to enter a
    /// phase, and strike `at` after that; nullopt: `at` is the time since the beginning.
    std::optional<statemachine::Phase> phase;
    Micros at = 0;
    Micros lasts = 0;
    std::uint32_t job = 0;
    std::uint64_t number = 0;  ///< a step, a block, a microsecond: as the kind needs it
};

[[nodiscard]] std::vector<Fault> draw_faults(const Options& options);
[[nodiscard]] std::string text_of(const Fault& fault);

}  // namespace drover::sim
