#include "statemachine/reconcile.h"

#include "base/assert.h"
#include "statemachine/wanted.h"

#include <algorithm>
#include <initializer_list>

namespace drover::statemachine {
namespace {

bool is_in(Phase phase, std::initializer_list<Phase> phases) {
    return std::find(phases.begin(), phases.end(), phase) != phases.end();
}

class Comparison {
  public:
    explicit Comparison(const Job& job)
        : job_(job) {}

    std::vector<Difference> compare() {
        if (!job_.reconciling) return {};
        for (const auto& world : job_.reconciling->worlds) {
            if (!world) continue;
            compare_steps(*world);
            if (job_.resolved) continue;  // ended as it was found: the log expects nothing there
            if (world->side == Side::source) compare_fence(*world);
            if (world->side == Side::target) compare_handover(*world);
        }
        return std::move(found_);
    }

  private:
    void add(Side side, std::string id, std::string detail) {
        found_.push_back({side, std::move(id), agent_of(job_, side) + " " + std::move(detail)});
    }

    void compare_steps(const JobWorld& world) {
        if (world.busy) add(world.side, "step_unfinished", "has not finished a step of the job");
        const std::uint64_t known = job_.reconciling->old_head_seq;
        if (world.last_seq <= known) return;
        add(world.side, "work_unknown",
            "took work of event " + std::to_string(world.last_seq) + "; the log knows " +
                std::to_string(known) + " events of that time");
    }

    /// The fence that the log's work leads to.
    struct Expected {
        std::optional<FenceToken> token;  ///< no other may stand
        bool must_stand = false;
    };

    [[nodiscard]] Expected expected_fence() const {
        if (job_.release_pending) return {job_.release_pending, false};
        const bool is_settled = job_.fence && !job_.fence_broken;
        if (is_in(job_.phase,
                  {Phase::draining, Phase::verifying, Phase::activating, Phase::validating,
                   Phase::holding, Phase::reverse_draining, Phase::reverse_verifying}))
            return {job_.token, is_settled};
        // Its Release may have been asked for, and done.
        if (job_.phase == Phase::rolling_back)
            return {job_.token, is_settled && !wants_release(job_)};
        // Asked for, and not answered yet; or kept until root removes it.
        if (is_in(job_.phase, {Phase::fencing, Phase::committed})) return {job_.token, false};
        return {};
    }

    void compare_fence(const JobWorld& source) {
        const Expected expected = expected_fence();
        const bool stands = !source.fence.is_zero();
        if (source.breached && !fence_is_void(job_))
            add(Side::source, "fence_breached",
                "says that a fenced disk may have been written; the log does not know of it");
        if (expected.must_stand && !stands)
            add(Side::source, "fence_missing", "has no fence; the log says that one stands");
        if (stands && expected.token != source.fence)
            add(Side::source, "fence_unknown",
                "is fenced under token " + source.fence.hex() +
                    (expected.token ? "; the log knows another" : "; the log knows of no fence"));
    }

    void compare_handover(const JobWorld& target) {
        const bool is_live =
            target.handover == Handover::active || target.handover == Handover::under_way;
        // Cleaned up after a commit, a target does not remember that it was handed over.
        if (job_.phase == Phase::committed) return;
        const bool must_be_active = is_in(job_.phase, {Phase::validating, Phase::holding});
        if (must_be_active && target.handover != Handover::active)
            add(Side::target, "target_not_active",
                "is not in service; the log says that it was activated");
        if (!is_live) return;
        const bool may_be_active = must_be_active || job_.deactivate_pending ||
                                   (job_.activate_derived && !job_.target_deactivated &&
                                    is_in(job_.phase, {Phase::activating, Phase::rolling_back}));
        if (!may_be_active)
            add(Side::target, "target_active", "is in service; the log does not know of it");
        else if (job_.token != target.handover_token)
            add(Side::target, "target_active_otherwise",
                "is in service under another token than the log's");
    }

    const Job& job_;
    std::vector<Difference> found_;
};

}  // namespace

std::vector<Difference> differences(const Job& job) {
    return Comparison(job).compare();
}

bool agrees(const Job& job) {
    if (!job.reconciling) return false;
    const auto& worlds = job.reconciling->worlds;
    const bool all_seen = std::all_of(worlds.begin(), worlds.end(),
                                      [](const auto& world) { return world.has_value(); });
    return all_seen && differences(job).empty();
}

}  // namespace drover::statemachine
