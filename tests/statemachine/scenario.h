/// The small language of these tests:
///     at(Phase::syncing).when(Cutover{}).then({...}).outstanding({...});
/// Every fact that happens is also encoded, decoded and applied to a second job, which must stay
/// equal.
#pragma once

#include "statemachine/codec.h"
#include "statemachine/decide.h"
#include "statemachine/evolve.h"
#include "statemachine/outstanding.h"
#include "statemachine/transitions.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace drover::statemachine::testing {

constexpr WallMicros start_micros = 1'700'000'000'000'000;
constexpr WallMicros second_micros = 1'000'000;

template <class Fixed = Uuid>
Fixed bytes_of(std::uint8_t value) {
    Fixed out;
    out.data.fill(value);
    return out;
}

[[nodiscard]] JobSpec web_spec();
[[nodiscard]] PreflightDone preflight_half(Side side);
/// With every capability that any command asks for.
[[nodiscard]] PreflightDone capable_half(Side side);
[[nodiscard]] FenceProof proof_for(const Job& job);
[[nodiscard]] VerifyDone equal_disks();

using Work = std::pair<EffectKind, Side>;

class Scenario {
  public:
    /// No job yet.
    Scenario();

    /// These facts happened.
    Scenario& given(const std::vector<Event>& events);
    /// Time passes.
    Scenario& after_s(std::int64_t seconds);

    /// A person wishes something; if it is accepted, it happens.
    Scenario& when(Wish wish, std::string reason = "because");
    /// The agent answers the newest effect of this kind that was ever outstanding.
    Scenario& when_reported(EffectKind kind, Side side, ReportBody body);
    Scenario& when_reported(const EffectId& effect, ReportBody body);
    /// The timer that is, or last was, outstanding fires.
    Scenario& when_timer_fires();
    Scenario& when_link(Side side, bool connected);
    Scenario& when_command(const Command& command);

    /// Exactly these facts followed.
    Scenario& then(const std::vector<Event>& events);
    /// Facts of exactly these kinds followed.
    Scenario& then_kinds(const std::vector<EventKind>& kinds);

    Scenario& then_nothing() { return then({}); }

    Scenario& rejects(std::string_view id);
    /// Like rejects(), and the detail contains `words`.
    Scenario& rejects(std::string_view id, std::string_view words);
    Scenario& in(Phase phase);

    /// Exactly this work is outstanding, standing effects included, in this order.
    Scenario& outstanding(const std::vector<Work>& work);
    Scenario& wants(EffectKind kind, Side side);
    Scenario& does_not_want(EffectKind kind);
    Scenario& does_not_want(EffectKind kind, Side side);

    [[nodiscard]] const Job& job() const { return job_; }

    [[nodiscard]] const Decision& decision() const { return decision_; }

    /// Of the last fact.
    [[nodiscard]] std::uint64_t seq() const { return seq_; }

    [[nodiscard]] WallMicros now_micros() const { return now_micros_; }

    /// The newest effect of this kind that was ever outstanding.
    [[nodiscard]] const Effect& newest(EffectKind kind, Side side) const;

    /// Every effect that was ever outstanding, oldest first.
    [[nodiscard]] const std::vector<Effect>& seen() const { return seen_; }

    /// The token that a cutover would get now.
    [[nodiscard]] FenceToken next_token() const;

  private:
    void happens(const Event& event);
    void notice_work();

    Job job_;
    Job replayed_;
    std::uint64_t seq_ = 10;
    WallMicros now_micros_ = start_micros;
    Decision decision_;
    std::vector<Effect> seen_;
};

/// A job that came into `phase` on the usual way, both agents connected, the copy in sync from
/// syncing on. With `capable` agents the test and reverse phases can be reached too.
[[nodiscard]] Scenario at(Phase phase);
/// Rolled back before the target was activated.
[[nodiscard]] Scenario rolled_back_early();

}  // namespace drover::statemachine::testing
