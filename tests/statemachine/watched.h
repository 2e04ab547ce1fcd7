/// What the random histories run on: one job watched after every decision, and where its choices
/// come from.
#pragma once

#include "base/random.h"
#include "scenario.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {

/// Choices taken from a list, which rapidcheck makes and shrinks; zeroes after its end.
class ListedChoices final : public Random {
  public:
    explicit ListedChoices(std::vector<std::uint8_t> bytes)
        : bytes_(std::move(bytes)) {}

    void fill(std::span<std::uint8_t> out) override {
        // below() draws eight bytes for a small number: one of them is enough to choose.
        std::ranges::fill(out, std::uint8_t{0});
        if (next_ < bytes_.size() && !out.empty()) out.front() = bytes_[next_++];
    }

    [[nodiscard]] bool is_used_up() const { return next_ >= bytes_.size(); }

  private:
    std::vector<std::uint8_t> bytes_;
    std::size_t next_ = 0;
};

/// One job, the facts that happened to it, and what must hold after each decision.
class Watched {
  public:
    explicit Watched(std::uint64_t seed)
        : Watched(std::make_unique<SeededRandom>(seed)) {}

    explicit Watched(std::unique_ptr<Random> choices)
        : choices_(std::move(choices)) {
        job_.id = bytes_of(1);
        job_.lineage = bytes_of(2);
        replayed_ = job_;
    }

    Random& random() { return *choices_; }

    [[nodiscard]] const Job& job() const { return job_; }

    [[nodiscard]] const std::vector<Effect>& seen() const { return seen_; }

    [[nodiscard]] const std::vector<Effect>& wanted() const { return wanted_; }

    [[nodiscard]] WallMicros now_micros() const { return now_micros_; }

    void pass_s(std::uint64_t seconds) {
        now_micros_ += static_cast<WallMicros>(seconds) * second_micros;
    }

    bool submit(const std::string& actor, Wish wish) {
        const Command command{ids_.uuid(), actor, "because", std::move(wish)};
        INFO(action_of(command.wish) << " in " << name_of(job_.phase));
        const Decision decision = decide(job_, command, {now_micros_, ids_.uuid()});
        const auto* accepted = std::get_if<Accepted>(&decision);
        if (accepted == nullptr) return false;
        for (const Event& event : accepted->events) happens(event);
        if (!accepted->events.empty()) look();
        return true;
    }

    bool report(const EffectId& effect, ReportBody body) {
        const std::string agent =
            effect.side == Side::source ? job_.spec.source_agent : job_.spec.target_agent;
        return submit("agent:" + agent,
                      ReportReceived{Report{ids_.uuid(), effect, std::move(body)}});
    }

  private:
    void happens(const Event& event) {
        INFO(event_json(event) << " in " << name_of(job_.phase));
        const EventPosition position{++seq_, sha256(as_bytes(std::to_string(seq_))), now_micros_};
        const bool legal = evolve(job_, event, position).has_value();
        REQUIRE(legal);
        const auto stored =
            decode_event(static_cast<std::uint16_t>(kind_of(event)), 1, encode_event(event));
        REQUIRE(stored.has_value());
        REQUIRE(evolve(replayed_, *stored, position).has_value());
        const bool same = replayed_ == job_;
        REQUIRE(same);
        if (job_.version % 16 == 0) REQUIRE(digest_of(replayed_) == digest_of(job_));
        remember(event);
    }

    /// Our own account of the run, from the facts alone.
    void remember(const Event& event) {
        if (const auto* started = std::get_if<CutoverStarted>(&event)) {
            run_token_ = started->token;
            fenced_ = false;
            activate_seen_ = false;
            target_down_ = false;
        }
        if (const auto* fence = std::get_if<SourceFenced>(&event)) {
            if (fence->proof.token == run_token_) fenced_ = true;
        }
        if (std::holds_alternative<TargetActivated>(event)) target_down_ = false;
        if (std::holds_alternative<TargetDeactivated>(event) ||
            std::holds_alternative<TargetStopConfirmed>(event)) {
            target_down_ = true;
        }
    }

    void look() {
        wanted_ = outstanding(job_);
        std::set<EffectKind> kinds;
        for (const Effect& effect : wanted_) {
            kinds.insert(effect.id.kind);
            check_identity(effect);
        }
        if (kinds.contains(EffectKind::activate)) {
            activate_seen_ = true;
            target_down_ = false;
            REQUIRE(fenced_);
            REQUIRE_FALSE(kinds.contains(EffectKind::release));
            REQUIRE_FALSE(job_.fence_breached);
        }
        if (kinds.contains(EffectKind::release)) REQUIRE((!activate_seen_ || target_down_));
        if (job_.deactivate_pending) {
            REQUIRE(kinds.contains(EffectKind::deactivate));
            REQUIRE_FALSE(kinds.contains(EffectKind::replicate));
        }
        if (job_.paused || job_.parked) {
            for (const EffectKind kind :
                 {EffectKind::preflight, EffectKind::fence, EffectKind::drain, EffectKind::verify,
                  EffectKind::activate, EffectKind::validate}) {
                REQUIRE_FALSE(kinds.contains(kind));
            }
        }
        const bool waits = is_final(job_.phase) || !waiting_for(job_).empty();
        REQUIRE(waits);
    }

    /// An id means the same work for ever: agents compare the digests.
    void check_identity(const Effect& effect) {
        const auto known = works_.find(effect.id);
        if (known == works_.end()) {
            works_.emplace(effect.id, effect.work);
            seen_.push_back(effect);
            return;
        }
        const bool same = is_standing(effect.id.kind) || known->second == effect.work;
        INFO(effect_text(effect.id));
        REQUIRE(same);
    }

    std::unique_ptr<Random> choices_;
    SeededRandom ids_{7};  ///< tokens and command ids are unique whatever is chosen
    Job job_;
    Job replayed_;
    std::uint64_t seq_ = 0;
    WallMicros now_micros_ = start_micros;
    std::vector<Effect> wanted_;
    std::vector<Effect> seen_;
    std::map<EffectId, EffectWork> works_;
    FenceToken run_token_;
    bool fenced_ = false;
    bool activate_seen_ = false;
    bool target_down_ = false;
};

}  // namespace drover::statemachine::testing
