// When whole disks are compared: before the release, during the hold, or not at all.
#include "base/assert.h"
#include "statemachine/wanted.h"

namespace drover::statemachine {
namespace {

/// Disks that together hold no more are compared before the release: a matter of about a second.
constexpr std::uint64_t small_disks_bytes = 1ULL << 30;

bool both_can(const Job& job, std::string_view capability) {
    return has_capability(job, Side::source, capability) &&
           has_capability(job, Side::target, capability);
}

bool is_small(const Job& job) {
    const auto& source = preflight_of(job, Side::source);
    std::uint64_t bytes = 0;
    for (const DiskFacts& disk : source->disks) bytes += disk.size_bytes;
    return bytes <= small_disks_bytes;
}

/// What the plan comes to with these agents and disks: never `automatic`. What agents cannot do
/// during the hold is done before the release.
Comparison policy_of(const Job& job) {
    const bool can_hold = both_can(job, capability_hold);
    switch (job.spec.comparison) {
        case Comparison::before_release:
        case Comparison::never:
            return job.spec.comparison;
        case Comparison::during_hold:
            return can_hold ? Comparison::during_hold : Comparison::before_release;
        case Comparison::automatic:
            return can_hold && !is_small(job) ? Comparison::during_hold
                                              : Comparison::before_release;
    }
    DROVER_UNREACHABLE();
}

}  // namespace

// What was read back wrong was sent again and read back right; a walker's alarm is for people.
// Neither speaks against the proof.
bool may_release_by_induction(const Job& job, const DrainDone& drained) {
    const bool is_sound = drained.bytes_unverified == 0 && !job.copy_suspect &&
                          job.generation_lost.empty() && both_can(job, capability_induction);
    return is_sound && policy_of(job) != Comparison::before_release;
}

bool owes_hold_comparison(const Job& job) {
    const bool is_due = job.phase == Phase::holding && job.verifies_by_induction &&
                        policy_of(job) == Comparison::during_hold;
    return is_due && job.hold_proof.empty() && !job.comparison_waived;
}

bool wants_hold_comparison(const Job& job) {
    return owes_hold_comparison(job) && !job.copy_differs && !fence_is_void(job);
}

}  // namespace drover::statemachine
