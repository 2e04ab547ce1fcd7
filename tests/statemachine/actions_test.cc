#include "scenario.h"

#include <algorithm>
#include <set>

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

std::set<std::string> allowed(const Scenario& scenario) {
    std::set<std::string> out;
    for (const ActionVerdict& verdict : allowed_actions(scenario.job(), scenario.now_micros())) {
        if (!verdict.why_not) out.insert(verdict.action);
    }
    return out;
}

bool waits_for(const Job& job, std::string_view whom, std::string_view words) {
    const auto all = waiting_for(job);
    return std::any_of(all.begin(), all.end(), [&](const Waiting& waiting) {
        return waiting.on_whom == whom && waiting.for_what.find(words) != std::string::npos;
    });
}

}  // namespace

TEST_CASE("actions: in each phase exactly these are open") {
    using Set = std::set<std::string>;
    const Set before{"cancel", "park", "preflight", "throttle"};
    REQUIRE(allowed(at(Phase::planned)) == before);
    REQUIRE(allowed(at(Phase::ready)) == Set{"cancel", "park", "preflight", "start", "throttle"});
    REQUIRE(allowed(at(Phase::mirroring)) == Set{"cancel", "park", "pause", "throttle"});
    REQUIRE(allowed(at(Phase::syncing)) ==
            Set{"arm", "cancel", "cutover", "park", "pause", "throttle"});
    REQUIRE(allowed(at(Phase::armed)) ==
            Set{"arm", "cancel", "cutover", "disarm", "park", "pause", "throttle"});
    REQUIRE(allowed(at(Phase::draining)) == Set{"park", "pause", "rollback", "throttle"});
    REQUIRE(allowed(at(Phase::validating)) ==
            Set{"park", "pause", "rollback", "throttle", "waive-validation"});
    REQUIRE(allowed(at(Phase::holding)) == Set{"commit", "park", "rollback", "throttle"});
    REQUIRE(allowed(at(Phase::committed)).empty());
    REQUIRE(allowed(at(Phase::rolling_back)) == Set{"confirm-target-stopped", "park", "throttle"});
    REQUIRE(allowed(at(Phase::rolled_back)) ==
            Set{"cancel", "delete-data", "park", "resync", "throttle"});
    REQUIRE(allowed(at(Phase::cancelled)) == Set{"delete-data"});
    REQUIRE(allowed(at(Phase::testing)) ==
            Set{"cancel", "park", "pause", "test-revert", "throttle"});
}

TEST_CASE("actions: every other action says why not and what to do instead") {
    for (unsigned i = 0; i < phase_count; ++i) {
        const Scenario scenario = at(static_cast<Phase>(i));
        const auto verdicts = allowed_actions(scenario.job(), scenario.now_micros());
        REQUIRE(verdicts.size() == operator_wishes().size());
        for (const ActionVerdict& verdict : verdicts) {
            INFO(verdict.action);
            if (!verdict.why_not) continue;
            REQUIRE_FALSE(verdict.why_not->id.empty());
            REQUIRE_FALSE(verdict.why_not->detail.empty());
            REQUIRE_FALSE(verdict.why_not->next.empty());
        }
    }
}

TEST_CASE("actions: names are unique, and what is already so is no action") {
    std::set<std::string_view> names;
    for (const Wish& wish : operator_wishes()) names.insert(action_of(wish));
    REQUIRE(names.size() == operator_wishes().size());
    REQUIRE_FALSE(names.contains("plan"));
    REQUIRE(action_of(Plan{}) == "plan");
    for (const auto& verdict : allowed_actions(at(Phase::syncing).job(), start_micros)) {
        if (verdict.action == "resume") REQUIRE(verdict.why_not->id == "nothing_to_do");
    }
}

TEST_CASE("waiting: whom and what, since when and until when") {
    REQUIRE(
        waits_for(at(Phase::planned).job(), "web-old", "preflight (the agent is not connected)"));
    REQUIRE(waits_for(at(Phase::ready).job(), "operator", "start"));
    REQUIRE(waits_for(at(Phase::mirroring).job(), "web-old", "first copy"));
    REQUIRE(waits_for(at(Phase::syncing).job(), "operator", "cutover"));
    REQUIRE(waits_for(at(Phase::rolling_back).job(), "web-new", "deactivate"));
    REQUIRE(waits_for(at(Phase::rolled_back).job(), "operator", "sync again"));
    REQUIRE(waiting_for(Job{}).empty());

    const Scenario fencing = at(Phase::fencing);
    const auto waiting = waiting_for(fencing.job());
    REQUIRE(waiting.size() == 1);
    REQUIRE(waiting[0].on_whom == "web-old");
    REQUIRE(waiting[0].for_what == "fence");
    REQUIRE(waiting[0].since_micros == start_micros);
    REQUIRE(waiting[0].deadline_micros == start_micros + 600 * second_micros);

    Arm wish;
    wish.at_micros = start_micros + 60 * second_micros;
    REQUIRE(waits_for(at(Phase::syncing).when(wish).job(), "time", "armed"));
    REQUIRE(waits_for(at(Phase::draining).when(Park{}).job(), "operator", "parked_by_operator"));
    REQUIRE(waits_for(at(Phase::syncing).when(Pause{}).job(), "operator", "resume"));
    REQUIRE(
        waits_for(at(Phase::syncing).given({Quarantined{"odd"}}).job(), "operator", "quarantined"));
}

TEST_CASE("waiting: no job is ever stuck without somebody who is named") {
    for (unsigned i = 0; i < phase_count; ++i) {
        INFO(name_of(static_cast<Phase>(i)));
        REQUIRE_FALSE(waiting_for(at(static_cast<Phase>(i)).job()).empty());
    }
}

TEST_CASE("effects: the head is synced outside the log before what cannot be taken back") {
    for (const EffectKind kind :
         {EffectKind::fence, EffectKind::activate, EffectKind::deactivate, EffectKind::release,
          EffectKind::cleanup, EffectKind::delete_data}) {
        REQUIRE(needs_head_sync(kind));
    }
    for (const EffectKind kind :
         {EffectKind::preflight, EffectKind::replicate, EffectKind::hold_fence, EffectKind::drain,
          EffectKind::verify, EffectKind::validate, EffectKind::wake_at}) {
        REQUIRE_FALSE(needs_head_sync(kind));
    }
}

}  // namespace drover::statemachine::testing
