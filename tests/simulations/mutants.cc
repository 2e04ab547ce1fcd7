#include "tests/simulations/mutants.h"

#include "base/assert.h"

#include <algorithm>
#include <array>

namespace drover {
namespace {

std::string_view switched_on;
std::uint64_t reached = 0;

}  // namespace

bool is_mutant_on(std::string_view name) {
    DROVER_ASSERT(sim::is_mutant(name));
    if (name != switched_on) return false;
    ++reached;
    return true;
}

namespace sim {
namespace {

constexpr std::array mutants = {
    // ---- the copy ----
    Mutant{"target_skips_flush", "the target makes a batch durable before it acknowledges it"},
    Mutant{"flush_error_ignored", "a batch whose flush failed is sent again"},
    Mutant{"commit_without_frames", "a commit waits for all of its frames"},
    Mutant{"pending_not_recorded", "what was sent stays pending until it is acknowledged"},
    Mutant{"pending_not_restored", "pending blocks are dirty again after a reconnect"},
    Mutant{"pending_cleared_at_commit", "the acknowledgement clears pending, not the commit"},
    Mutant{"dirty_cleared_after_read", "a dirty bit is cleared before its block is read"},
    Mutant{"compare_skipped", "unknown contents are compared before they are believed"},
    Mutant{"promote_keeps_generation", "a released target voids its generation first"},
    Mutant{"verify_compares_nothing", "the target's hashes are the target's"},
    Mutant{"journal_not_flushed", "a COMMIT is durable in the journal before it is acknowledged"},
    Mutant{"direct_mode_unsaid", "a journal says so before disks are written in place"},
    Mutant{"applied_not_flushed", "disks are flushed before a journal calls a batch applied"},
    Mutant{"pass_is_point", "a point is the end of a quiet window"},
    Mutant{"readback_skipped", "what was written is read back before it counts as equal"},
    // ---- the agents ----
    Mutant{"fence_without_guard", "a fence holds every disk exclusively"},
    Mutant{"failed_fence_left", "a fence that fails puts the source back into service"},
    Mutant{"fence_not_held_again", "a fence is back after a reboot"},
    Mutant{"reboot_hides_writes", "what was written while nobody held the disks is a breach"},
    Mutant{"release_ignores_hook", "a release is done when the source's service is back"},
    Mutant{"deactivate_does_not_stop", "Deactivate stops the target before it reports"},
    Mutant{"deactivate_trusts_hook", "Deactivate takes the disks back"},
    Mutant{"effect_run_again", "an effect is done once; its outcome is repeated"},
    Mutant{"outcome_not_journalled", "an outcome is durable before it is reported"},
    Mutant{"older_log_obeyed", "a log that ends before the witness is not obeyed"},
    Mutant{"frozen_applies", "nothing is applied below the overlay of a test"},
    Mutant{"overlay_left", "a revert removes the overlays"},
    Mutant{"reverse_unmarked", "a marker says so before what comes back is written"},
    Mutant{"abandon_keeps_bytes", "what is abandoned is undone before the release"},
    Mutant{"first_point_given_up", "the fence point is never given up for room"},
    // ---- the orchestrator ----
    Mutant{"answer_before_append", "a command is answered when its facts are durable"},
    Mutant{"repeat_applied_again", "a repeated command gets its recorded answer"},
    Mutant{"unclear_append_ignored", "after a write of unknown outcome only a new start can tell"},
    Mutant{"epoch_not_raised", "every start raises the epoch"},
    Mutant{"reconnect_sends_nothing", "an agent that is back is told again"},
    Mutant{"two_hosts_admitted", "one name is one host"},
    Mutant{"report_acked_early", "a report is acknowledged when its fact is durable"},
    // ---- the life cycle ----
    Mutant{"mismatch_ignored", "a target that differs is not released"},
    Mutant{"breach_ignored", "nothing is activated after a breach of the fence"},
    Mutant{"hold_ignored", "paused and parked withhold the steps ahead"},
    Mutant{"release_before_stop", "the source is released when the target is out"},
    Mutant{"deadline_ignored", "an outage beyond its limit is rolled back"},
    Mutant{"commit_unconfirmed", "a commit is confirmed by name"},
    Mutant{"loss_not_asked", "what a rollback loses is acknowledged first"},
    Mutant{"reverse_unproved", "a rollback that keeps is proved before the release"},
    Mutant{"retry_keeps_cause", "a retry is a new effect"},
};

}  // namespace

std::span<const Mutant> all_mutants() {
    return mutants;
}

bool is_mutant(std::string_view name) {
    return std::any_of(mutants.begin(), mutants.end(),
                       [&](const Mutant& mutant) { return mutant.name == name; });
}

void switch_mutant_on(std::string_view name) {
    switched_on = name;
    reached = 0;
}

std::uint64_t mutant_reached() {
    return reached;
}

}  // namespace sim
}  // namespace drover
