// Random histories. Every run is named by its seed; the same seed is the same run.
//
// "hostile": people, timers and agents do anything at any time, also what no correct agent does.
// "honest": both agents are modelled with their durable memory, over a network that delays,
// repeats, reorders and loses; here the world itself is watched for two writers.
#include "base/random.h"
#include "base/sha256.h"
#include "watched.h"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

#include <catch2/catch.hpp>

#include <rapidcheck.h>

namespace drover::statemachine::testing {
namespace {

constexpr unsigned hostile_runs = 1200;
constexpr unsigned honest_runs = 800;
constexpr unsigned steps_per_run = 120;

/// Wishes that lead on, so that walks get somewhere.
Wish way_on(Random& random) {
    const std::vector<Wish> wishes{
        Start{},          Cutover{},    Cutover{},   Cutover{},  Arm{},      Resync{},
        Resync{},         Unpark{},     Retry{},     Retry{},    Resume{},   LiftQuarantine{},
        AbandonReverse{}, TestRevert{}, Preflight{}, Rollback{}, Rollback{}, Commit{}};
    return wishes.at(random.below(wishes.size()));
}

Wish random_wish(Watched& world) {
    Random& random = world.random();
    const bool any = random.below(3) == 0;
    Wish wish = any ? operator_wishes().at(random.below(operator_wishes().size())) : way_on(random);
    const std::string text = random.below(4) == 0 ? "" : "yes";
    if (auto* commit = std::get_if<Commit>(&wish)) commit->confirm = "web-01";
    if (auto* deletion = std::get_if<DeleteData>(&wish)) deletion->confirm = "web-01";
    if (auto* resync = std::get_if<Resync>(&wish)) resync->acknowledged_loss = text;
    if (auto* abandon = std::get_if<AbandonReverse>(&wish)) abandon->acknowledged_loss = text;
    if (auto* stopped = std::get_if<ConfirmTargetStopped>(&wish)) stopped->how = text;
    if (auto* rollback = std::get_if<Rollback>(&wish)) {
        rollback->acknowledged_loss = text;
        rollback->mode = random.below(3) == 0 ? RollbackMode::keep : RollbackMode::discard;
    }
    if (auto* cutover = std::get_if<Cutover>(&wish)) {
        cutover->pause_before_activate = random.below(3) == 0;
    }
    if (auto* arm = std::get_if<Arm>(&wish)) {
        arm->at_micros = random.below(2) == 0 ? 0 : world.now_micros() + 50 * second_micros;
    }
    return wish;
}

/// A life cannot be watched if most wishes end it.
bool is_the_end(const Wish& wish) {
    return std::holds_alternative<Cancel>(wish) || std::holds_alternative<Commit>(wish);
}

const Error broken(Errc::io, "broke", "it broke", "all", "look");

/// With whatever agents can do.
PreflightDone able_half(Side side) {
    PreflightDone half = capable_half(side);
    half.capabilities.insert(half.capabilities.end(), {"verify.induction", "compare.hold"});
    half.endpoint = {"127.0.0.7", 6325, 6326};
    return half;
}

JobSpec spec_of(std::uint64_t seed) {
    JobSpec spec = web_spec();
    spec.comparison = static_cast<Comparison>(seed % 4);
    return spec;
}

std::vector<ReportBody> answers_to(const Effect& effect, const Job& job) {
    switch (effect.id.kind) {
        case EffectKind::preflight: {
            const PreflightDone good = able_half(effect.id.side);
            PreflightDone bad = good;
            bad.findings = {{Severity::critical, "bad", "disk", "bad", "look"}};
            return {good, good, good, good, good, good, good, bad};
        }
        case EffectKind::replicate:
            return {MirrorDone{bytes_of(8)},
                    DataStateNow{DataState::in_sync, bytes_of(8), 1},
                    DataStateNow{DataState::in_sync, bytes_of(8), 1},
                    DataStateNow{DataState::in_sync, bytes_of(8), 1},
                    DataStateNow{DataState::lagging, bytes_of(8), 1},
                    GenerationGone{0, "gone"}};
        case EffectKind::fence: {
            FenceProof proof = proof_for(job);
            proof.token = std::get<FenceWork>(effect.work).token;
            proof.run = std::get<FenceWork>(effect.work).run;
            return {FenceDone{proof}, FenceDone{proof}, FenceDone{proof}, FenceDeclined{1}};
        }
        case EffectKind::hold_fence:
            return {FenceBreach{1}, FenceBrokenByRoot{"root"}};
        case EffectKind::drain:
            return {DrainDone{1, 1}};
        case EffectKind::verify: {
            VerifyDone differs = equal_disks();
            differs.mismatches = {{0, 0, 512}};
            return {equal_disks(), equal_disks(), differs};
        }
        case EffectKind::activate:
            return {ActivateDone{start_micros}};
        case EffectKind::validate:
            return {ValidateDone{"ok"}};
        case EffectKind::deactivate:
            return {DeactivateDone{true, 5, true, 4096}, DeactivateDone{true, 5, true, 4096},
                    DeactivateDone{true, 5}};
        case EffectKind::release:
            return {ReleaseDone{start_micros}};
        case EffectKind::cleanup:
            return {CleanupDone{}};
        case EffectKind::delete_data:
            return {DataDeleted{}};
        case EffectKind::start_test:
            return {StartTestDone{3, PointKind::crash, start_micros, "reflink", {"/run/a"}}};
        case EffectKind::revert_test:
            return {RevertTestDone{}};
        case EffectKind::reverse_drain:
            return {ReverseDrainDone{2, 4096}};
        case EffectKind::reverse_verify:
            return {ReverseVerifyDone{{DiskProof{}, DiskProof{}}, {}},
                    ReverseVerifyDone{{DiskProof{}, DiskProof{}}, {{0, 0, 512}}}};
        case EffectKind::compare:
            return {CompareDone{equal_disks().disks, {}, {}},
                    CompareDone{equal_disks().disks, {{1, 0, 512}}, {}}};
        case EffectKind::wake_at:
        case EffectKind::seal_point:
        case EffectKind::hold_test:
            break;
    }
    return {};
}

/// Up to a copy in sync, as it goes when nothing goes wrong. Two of three walks begin there: the
/// dangerous part of a life is what follows.
void begin(Watched& world, std::uint64_t seed) {
    world.submit("operator:ann", Plan{spec_of(seed)});
    world.submit("system", LinkChanged{Side::source, true});
    world.submit("system", LinkChanged{Side::target, true});
    if (seed % 3 == 0) return;
    for (const Effect& effect : std::vector(world.wanted())) {
        world.report(effect.id, able_half(effect.id.side));
    }
    world.submit("operator:ann", Start{});
    const EffectId replicate = world.wanted().front().id;
    world.report(replicate, MirrorDone{bytes_of(8)});
    world.report(replicate, DataStateNow{DataState::in_sync, bytes_of(8), 1});
    REQUIRE(world.job().phase == Phase::syncing);
}

void tick(Watched& world, const Effect& effect) {
    world.submit("timer", TimerElapsed{effect.id});
}

void hostile_report(Watched& world) {
    Random& random = world.random();
    // Mostly about what is wanted now, sometimes about anything that ever was.
    const auto& pool =
        random.below(4) == 0 || world.wanted().empty() ? world.seen() : world.wanted();
    if (pool.empty()) return;
    const Effect effect = pool.at(random.below(pool.size()));
    const std::vector<ReportBody> answers = answers_to(effect, world.job());
    if (answers.empty()) return tick(world, effect);
    // What a fence's guard says, and failures, are rarer than the rest.
    const bool dull = effect.id.kind == EffectKind::hold_fence && random.below(8) != 0;
    if (dull) return;
    if (random.below(10) == 0) {
        world.report(effect.id, StepFailed{broken});
    } else {
        world.report(effect.id, answers.at(random.below(answers.size())));
    }
}

void hostile_step(Watched& world) {
    Random& random = world.random();
    switch (random.below(10)) {
        case 0:
            return world.pass_s(random.below(60));
        case 1:
        case 2: {
            Wish wish = random_wish(world);
            if (is_the_end(wish) && random.below(6) != 0) return;
            world.submit("operator:ann", std::move(wish));
            return;
        }
        case 3: {
            const auto side = static_cast<Side>(random.below(2));
            world.submit("system", LinkChanged{side, random.below(4) != 0});
            return;
        }
        default:
            return hostile_report(world);
    }
}

// ---- honest agents ----

/// What a host durably remembers and does, as far as writing is concerned.
struct Source {
    std::set<FenceToken> fenced;
    std::set<FenceToken> released;

    [[nodiscard]] bool writable() const { return fenced.empty(); }
};

struct Target {
    bool active = false;
    std::set<FenceToken> deactivated;
};

class HonestWorld {
  public:
    explicit HonestWorld(std::uint64_t seed)
        : world_(seed) {
        begin(world_, seed);
    }

    void step() {
        Random& random = world_.random();
        const std::uint64_t dice = random.below(16);
        if (dice == 0) {
            world_.pass_s(random.below(20));
        } else if (dice == 1) {
            person();
        } else if (dice < 5) {
            send();
        } else if (dice < 10) {
            agent_acts();
        } else {
            report_arrives();
        }
        const bool two_writers = source_.writable() && target_.active;
        INFO("in " << name_of(world_.job().phase));
        REQUIRE_FALSE(two_writers);
    }

    [[nodiscard]] Phase phase() const { return world_.job().phase; }

    [[nodiscard]] bool target_active() const { return target_.active; }

  private:
    void person() {
        Wish wish = random_wish(world_);
        if (is_the_end(wish) && world_.random().below(10) != 0) return;
        // Nobody says that the target is stopped without stopping it; with the host gone, what was
        // under way to it is gone too.
        if (std::holds_alternative<ConfirmTargetStopped>(wish)) {
            const bool said =
                world_.job().phase == Phase::rolling_back && world_.submit("operator:ann", wish);
            if (!said) return;
            target_.active = false;
            std::erase_if(under_way_, [](const Effect& e) { return e.id.side == Side::target; });
            return;
        }
        world_.submit("operator:ann", std::move(wish));
    }

    void send() {
        for (const Effect& effect : world_.wanted()) {
            if (effect.id.kind == EffectKind::wake_at) {
                tick(world_, effect);
                return;  // the wanted list may be another now
            }
            if (world_.random().below(2) == 0) under_way_.push_back(effect);
        }
        while (under_way_.size() > 30) under_way_.pop_front();  // lost
    }

    void agent_acts() {
        if (under_way_.empty()) return;
        const std::size_t index = world_.random().below(under_way_.size());
        const Effect effect = under_way_[index];
        if (world_.random().below(3) != 0) {
            under_way_.erase(under_way_.begin() + static_cast<std::ptrdiff_t>(index));
        }
        // A guard that only holds has nothing to say.
        if (effect.id.kind == EffectKind::hold_fence) return;
        reports_.emplace_back(effect.id, does(effect));
    }

    ReportBody does(const Effect& effect) {
        if (const auto* fence = std::get_if<FenceWork>(&effect.work)) {
            if (source_.released.contains(fence->token)) return StepFailed{broken};
            source_.fenced.insert(fence->token);
        }
        if (const auto* release = std::get_if<ReleaseWork>(&effect.work)) {
            source_.released.insert(release->token);
            source_.fenced.erase(release->token);
        }
        if (const auto* activate = std::get_if<ActivateWork>(&effect.work)) {
            if (target_.deactivated.contains(activate->token)) return StepFailed{broken};
            target_.active = true;
        }
        if (const auto* deactivate = std::get_if<DeactivateWork>(&effect.work)) {
            target_.deactivated.insert(deactivate->token);
            target_.active = false;
        }
        std::vector<ReportBody> answers = answers_to(effect, world_.job());
        if (effect.id.kind == EffectKind::fence) return answers.front();  // it has been set
        return answers.at(world_.random().below(answers.size()));
    }

    void report_arrives() {
        if (reports_.empty()) return;
        const std::size_t index = world_.random().below(reports_.size());
        const auto [effect, body] = reports_[index];
        if (world_.random().below(3) != 0) {  // otherwise it comes once more
            reports_.erase(reports_.begin() + static_cast<std::ptrdiff_t>(index));
        }
        world_.report(effect, body);
    }

    Watched world_;
    Source source_;
    Target target_;
    std::deque<Effect> under_way_;
    std::deque<std::pair<EffectId, ReportBody>> reports_;
};

}  // namespace

TEST_CASE("never two writers, replay equals live: whatever anybody says, in any order") {
    std::map<Phase, unsigned> visited;
    for (std::uint64_t seed = 1; seed <= hostile_runs; ++seed) {
        INFO("seed " << seed);
        Watched world(seed);
        begin(world, seed);
        for (unsigned step = 0; step < steps_per_run; ++step) {
            hostile_step(world);
            ++visited[world.job().phase];
        }
    }
    // A walk that never gets anywhere proves nothing.
    for (unsigned i = 0; i < phase_count; ++i) {
        INFO(name_of(static_cast<Phase>(i)));
        REQUIRE(visited[static_cast<Phase>(i)] >= 5);
    }
}

TEST_CASE("replay equals live on command sequences that rapidcheck makes and shrinks") {
    const bool holds = rc::check([](const std::vector<std::uint8_t>& bytes) {
        auto choices = std::make_unique<ListedChoices>(bytes);
        const ListedChoices& listed = *choices;
        Watched world(std::move(choices));
        begin(world, bytes.size());
        while (!listed.is_used_up()) hostile_step(world);
    });
    REQUIRE(holds);
}

TEST_CASE(
    "never two writers: honest agents over a network that delays, repeats, reorders and loses") {
    std::map<Phase, unsigned> visited;
    unsigned activations = 0;
    for (std::uint64_t seed = 1; seed <= honest_runs; ++seed) {
        INFO("seed " << seed);
        HonestWorld world(seed);
        bool was_active = false;
        for (unsigned step = 0; step < 3 * steps_per_run; ++step) {
            world.step();
            ++visited[world.phase()];
            if (world.target_active() && !was_active) ++activations;
            was_active = world.target_active();
        }
    }
    REQUIRE(activations >= 40);
    REQUIRE(visited[Phase::rolled_back] >= 4000);
    REQUIRE(visited[Phase::holding] >= 1000);
}

}  // namespace drover::statemachine::testing
