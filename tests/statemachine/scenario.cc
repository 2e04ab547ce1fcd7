#include "scenario.h"

#include "base/sha256.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

const Effect* find(const std::vector<Effect>& effects, EffectKind kind, Side side) {
    const auto found = std::find_if(effects.rbegin(), effects.rend(), [&](const Effect& effect) {
        return effect.id.kind == kind && effect.id.side == side;
    });
    return found == effects.rend() ? nullptr : &*found;
}

std::string_view agent_of_side(Side side) {
    return side == Side::source ? "web-old" : "web-new";
}

std::string listing(const std::vector<Event>& events) {
    std::string out;
    for (const Event& event : events) out += event_json(event) + "\n";
    return out;
}

std::string listing(const std::vector<Work>& work) {
    std::string out;
    for (const auto& [kind, side] : work) {
        out += std::string(name_of(kind)) + " on " + std::string(name_of(side)) + "\n";
    }
    return out;
}

std::vector<Event> armed_to_fencing(const Scenario& scenario) {
    return {CutoverArmed{"operator:ann", 0, scenario.job().plan_hash, 600, false},
            CutoverStarted{"operator:ann", scenario.job().run + 1, scenario.next_token(),
                           scenario.now_micros() + 600 * second_micros}};
}

Scenario synced(bool capable) {
    Scenario scenario;
    const auto half = capable ? capable_half : preflight_half;
    scenario.given({JobPlanned{web_spec(), "operator:ann"}, AgentBack{Side::source},
                    AgentBack{Side::target}, PreflightChecked{Side::source, half(Side::source)},
                    PreflightChecked{Side::target, half(Side::target)},
                    PreflightPassed{bytes_of<Hash>(7)}, MirrorStarted{"operator:ann"},
                    MirrorCompleted{bytes_of(8)},
                    DataStateChanged{DataState::in_sync, bytes_of(8), 4096}});
    return scenario;
}

Scenario fenced(bool capable) {
    Scenario scenario = synced(capable);
    scenario.given(armed_to_fencing(scenario));
    scenario.given({SourceFenced{proof_for(scenario.job())}});
    return scenario;
}

Scenario held(bool capable) {
    Scenario scenario = fenced(capable);
    scenario.given({DeltaDrained{5, 512}, TargetVerified{equal_disks().disks},
                    TargetActivated{start_micros}, TargetValidated{"hook"}});
    return scenario;
}

Scenario reversing() {
    Scenario scenario = held(true);
    scenario.given({RollbackStarted{RollbackMode::keep, "operator:ann", "operator", ""},
                    TargetDeactivated{true, 4096}, TargetFenced{}});
    return scenario;
}

Scenario rolled_back() {
    Scenario scenario = held(false);
    scenario.given({RollbackStarted{RollbackMode::discard, "operator:ann", "operator", "lost"},
                    TargetDeactivated{true, 4096}, SourceReleased{start_micros}});
    return scenario;
}

Scenario before_syncing(Phase phase) {
    Scenario scenario;
    scenario.given({JobPlanned{web_spec(), "operator:ann"}});
    if (phase == Phase::planned) return scenario;
    scenario.given({AgentBack{Side::source}, AgentBack{Side::target},
                    PreflightChecked{Side::source, preflight_half(Side::source)},
                    PreflightChecked{Side::target, preflight_half(Side::target)}});
    if (phase == Phase::blocked) {
        const Finding finding{Severity::critical, "target_too_small", "/dev/vdb", "why", "what"};
        return scenario.given({PreflightFailed{{finding}}});
    }
    scenario.given({PreflightPassed{bytes_of<Hash>(7)}});
    if (phase == Phase::mirroring) scenario.given({MirrorStarted{"operator:ann"}});
    return scenario;
}

}  // namespace

JobSpec web_spec() {
    JobSpec spec;
    spec.name = "web-01";
    spec.source_agent = "web-old";
    spec.target_agent = "web-new";
    spec.disks = {{"/dev/vda", "/dev/vdb"}, {"/dev/vdc", "/dev/vdd"}};
    spec.hooks = {{HookStep::pre_fence, "stop-web"}, {HookStep::post_activate, "start-web"}};
    return spec;
}

PreflightDone preflight_half(Side side) {
    PreflightDone half;
    const bool source = side == Side::source;
    for (const DiskPair& disk : web_spec().disks) {
        half.disks.push_back(
            {source ? disk.source : disk.target, "serial", 1U << 20, 512, source ? "ebpf" : ""});
    }
    half.capabilities = {"track.scan"};
    if (source) {
        half.hook_digests = {{HookStep::pre_fence, bytes_of<Hash>(1)}};
    } else {
        half.hook_digests = {{HookStep::post_activate, bytes_of<Hash>(2)}};
        half.endpoint = {"127.0.0.7", 6325, 6326};
        half.journal_mode = "direct";
    }
    return half;
}

PreflightDone capable_half(Side side) {
    PreflightDone half = preflight_half(side);
    half.capabilities = {"reverse.sync", "test.overlay"};
    return half;
}

FenceProof proof_for(const Job& job) {
    FenceProof proof;
    proof.token = job.token.value_or(FenceToken{});
    proof.job = job.id;
    proof.run = job.run;
    proof.tracker_seq = 99;
    proof.fenced_micros = start_micros;
    proof.certificate_pem = "certificate\n";
    proof.signature = Bytes(64, 3);
    return proof;
}

VerifyDone equal_disks() {
    const DiskProof proof{bytes_of<Hash>(4), bytes_of<Hash>(4), 1U << 20};
    return {{proof, proof}, {}};
}

Scenario::Scenario() {
    job_.id = bytes_of(1);
    job_.lineage = bytes_of(2);
    replayed_ = job_;
}

void Scenario::happens(const Event& event) {
    const EventPosition position{++seq_, sha256(as_bytes(std::to_string(seq_))), now_micros_};
    INFO(event_json(event) << " in " << name_of(job_.phase));
    const auto evolved = evolve(job_, event, position);
    REQUIRE(evolved.has_value());
    const auto stored =
        decode_event(static_cast<std::uint16_t>(kind_of(event)), 1, encode_event(event));
    REQUIRE(stored.has_value());
    REQUIRE(evolve(replayed_, *stored, position).has_value());
    REQUIRE(replayed_ == job_);
    REQUIRE(digest_of(replayed_) == digest_of(job_));
}

void Scenario::notice_work() {
    for (Effect& effect : statemachine::outstanding(job_)) {
        const auto known = std::find_if(seen_.begin(), seen_.end(),
                                        [&](const Effect& other) { return other.id == effect.id; });
        if (known == seen_.end()) {
            seen_.push_back(std::move(effect));
        } else if (!is_standing(effect.id.kind)) {
            INFO(effect_text(effect.id) << " must mean the same for ever");
            REQUIRE(known->work == effect.work);
        }
    }
}

Scenario& Scenario::given(const std::vector<Event>& events) {
    for (const Event& event : events) {
        happens(event);
        // Facts of one decision become visible together; those given here are single decisions,
        // except for a pause that comes with the verification.
        notice_work();
    }
    return *this;
}

Scenario& Scenario::after_s(std::int64_t seconds) {
    now_micros_ += seconds * second_micros;
    return *this;
}

Scenario& Scenario::when_command(const Command& command) {
    decision_ = decide(job_, command, {now_micros_, next_token()});
    if (const auto* accepted = std::get_if<Accepted>(&decision_)) {
        for (const Event& event : accepted->events) happens(event);
        if (job_.exists) notice_work();
    }
    return *this;
}

Scenario& Scenario::when(Wish wish, std::string reason) {
    return when_command({Uuid{}, "operator:ann", std::move(reason), std::move(wish)});
}

Scenario& Scenario::when_reported(const EffectId& effect, ReportBody body) {
    Report report{bytes_of(9), effect, std::move(body)};
    return when_command({report.report_id, "agent:" + std::string(agent_of_side(effect.side)), "",
                         ReportReceived{std::move(report)}});
}

Scenario& Scenario::when_reported(EffectKind kind, Side side, ReportBody body) {
    return when_reported(newest(kind, side).id, std::move(body));
}

Scenario& Scenario::when_timer_fires() {
    return when_command(
        {Uuid{}, "timer", "", TimerElapsed{newest(EffectKind::wake_at, Side::source).id}});
}

Scenario& Scenario::when_link(Side side, bool connected) {
    return when_command({Uuid{}, "system", "", LinkChanged{side, connected}});
}

Scenario& Scenario::then(const std::vector<Event>& events) {
    const auto* rejected = std::get_if<Rejected>(&decision_);
    INFO((rejected != nullptr ? "refused: " + rejected->id + ": " + rejected->detail : ""));
    REQUIRE(rejected == nullptr);
    const auto& got = std::get<Accepted>(decision_).events;
    INFO("wanted\n" << listing(events) << "got\n" << listing(got));
    REQUIRE((got == events));
    return *this;
}

Scenario& Scenario::then_kinds(const std::vector<EventKind>& kinds) {
    const auto* rejected = std::get_if<Rejected>(&decision_);
    INFO((rejected != nullptr ? "refused: " + rejected->id + ": " + rejected->detail : ""));
    REQUIRE(rejected == nullptr);
    std::vector<std::string_view> wanted;
    std::vector<std::string_view> got;
    for (const EventKind kind : kinds) wanted.push_back(name_of(kind));
    for (const Event& event : std::get<Accepted>(decision_).events) {
        got.push_back(name_of(kind_of(event)));
    }
    REQUIRE(got == wanted);
    return *this;
}

Scenario& Scenario::rejects(std::string_view id) {
    return rejects(id, "");
}

Scenario& Scenario::rejects(std::string_view id, std::string_view words) {
    const auto* rejected = std::get_if<Rejected>(&decision_);
    REQUIRE(rejected != nullptr);
    REQUIRE(rejected->id == id);
    INFO(rejected->detail);
    REQUIRE(rejected->detail.find(words) != std::string::npos);
    REQUIRE_FALSE(rejected->next.empty());
    return *this;
}

Scenario& Scenario::in(Phase phase) {
    REQUIRE(name_of(job_.phase) == name_of(phase));
    return *this;
}

Scenario& Scenario::outstanding(const std::vector<Work>& work) {
    std::vector<Work> got;
    for (const Effect& effect : statemachine::outstanding(job_)) {
        got.emplace_back(effect.id.kind, effect.id.side);
    }
    INFO("wanted\n" << listing(work) << "got\n" << listing(got));
    REQUIRE((got == work));
    return *this;
}

Scenario& Scenario::wants(EffectKind kind, Side side) {
    INFO(name_of(kind));
    REQUIRE(find(statemachine::outstanding(job_), kind, side) != nullptr);
    return *this;
}

Scenario& Scenario::does_not_want(EffectKind kind, Side side) {
    INFO(name_of(kind));
    REQUIRE(find(statemachine::outstanding(job_), kind, side) == nullptr);
    return *this;
}

Scenario& Scenario::does_not_want(EffectKind kind) {
    return does_not_want(kind, Side::source).does_not_want(kind, Side::target);
}

const Effect& Scenario::newest(EffectKind kind, Side side) const {
    const Effect* effect = find(seen_, kind, side);
    INFO(name_of(kind));
    REQUIRE(effect != nullptr);
    return *effect;
}

FenceToken Scenario::next_token() const {
    return bytes_of(static_cast<std::uint8_t>(0x40 + job_.run));
}

Scenario at(Phase phase) {
    switch (phase) {
        case Phase::planned:
        case Phase::blocked:
        case Phase::ready:
        case Phase::mirroring:
            return before_syncing(phase);
        case Phase::syncing:
            return synced(false);
        case Phase::testing:
            return synced(true).given({TestStarted{"operator:ann"}});
        case Phase::armed: {
            Scenario scenario = synced(false);
            return scenario.given({armed_to_fencing(scenario).front()});
        }
        case Phase::fencing: {
            Scenario scenario = synced(false);
            return scenario.given(armed_to_fencing(scenario));
        }
        case Phase::draining:
            return fenced(false);
        case Phase::verifying:
            return fenced(false).given({DeltaDrained{5, 512}});
        case Phase::activating:
            return fenced(false).given({DeltaDrained{5, 512}, TargetVerified{equal_disks().disks}});
        case Phase::validating:
            return fenced(false).given({DeltaDrained{5, 512}, TargetVerified{equal_disks().disks},
                                        TargetActivated{start_micros}});
        case Phase::holding:
            return held(false);
        case Phase::committed:
            return held(false).given({Committed{"operator:ann"}});
        case Phase::rolling_back:
            return held(false).given(
                {RollbackStarted{RollbackMode::discard, "operator:ann", "operator", "lost"}});
        case Phase::reverse_draining:
            return reversing();
        case Phase::reverse_verifying:
            return reversing().given({ReverseDrained{4096}});
        case Phase::rolled_back:
            return rolled_back();
        case Phase::cancelled:
            return synced(false).given({Cancelled{"operator:ann"}});
    }
    return {};
}

Scenario rolled_back_early() {
    Scenario scenario = fenced(false);
    return scenario.given({RollbackStarted{RollbackMode::discard, "operator:ann", "operator", ""},
                           SourceReleased{start_micros}});
}

}  // namespace drover::statemachine::testing
