#include "base/sha256.h"
#include "scenario.h"
#include "schemas/codec.h"

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

void check_refused(const JobSpec& spec, std::string_view words) {
    Scenario().when(Plan{spec}).rejects("plan_invalid", words);
}

}  // namespace

TEST_CASE("plan: a good plan makes a job whose preflight is wanted on both sides") {
    Scenario()
        .when(Plan{web_spec()})
        .then({JobPlanned{web_spec(), "operator:ann"}})
        .in(Phase::planned)
        .outstanding(
            {{EffectKind::preflight, Side::source}, {EffectKind::preflight, Side::target}});
}

TEST_CASE("plan: each side is asked about its own disks and hooks") {
    const Scenario scenario = at(Phase::planned);
    const auto& source =
        std::get<PreflightWork>(scenario.newest(EffectKind::preflight, Side::source).work);
    const auto& target =
        std::get<PreflightWork>(scenario.newest(EffectKind::preflight, Side::target).work);
    REQUIRE(source.disks == std::vector<std::string>{"/dev/vda", "/dev/vdc"});
    REQUIRE((source.hooks == std::map<HookStep, std::string>{{HookStep::pre_fence, "stop-web"}}));
    REQUIRE(target.disks == std::vector<std::string>{"/dev/vdb", "/dev/vdd"});
    REQUIRE(
        (target.hooks == std::map<HookStep, std::string>{{HookStep::post_activate, "start-web"}}));
}

TEST_CASE("plan: what cannot work is refused at once") {
    JobSpec spec = web_spec();
    spec.name = "Web 01";
    check_refused(spec, "not a name");
    spec = web_spec();
    spec.target_agent = spec.source_agent;
    check_refused(spec, "same agent");
    spec = web_spec();
    spec.disks.clear();
    check_refused(spec, "no disk");
    spec = web_spec();
    spec.disks.assign(disks_max + 1, {"/dev/vda", "/dev/vdb"});
    check_refused(spec, "more than 32");
    spec = web_spec();
    spec.disks[1].target = spec.disks[0].target;
    check_refused(spec, "/dev/vdb twice");
    spec = web_spec();
    spec.disks[0].source = "vda";
    check_refused(spec, "absolute");
    spec = web_spec();
    spec.hooks[HookStep::validate] = "../../bin/sh";
    check_refused(spec, "hook");
    spec = web_spec();
    spec.outage_max_s = 0;
    check_refused(spec, "outage");
    spec = web_spec();
    spec.hold_s = 0;
    check_refused(spec, "hold");
    at(Phase::planned).when(Plan{web_spec()}).rejects("job_exists");
    Scenario().when(Start{}).rejects("no_such_job");
}

TEST_CASE("preflight: the second half concludes, and the plan hash covers spec and hooks") {
    Scenario scenario = at(Phase::planned);
    scenario.when_reported(EffectKind::preflight, Side::target, preflight_half(Side::target))
        .then({PreflightChecked{Side::target, preflight_half(Side::target)}})
        .in(Phase::planned)
        .outstanding({{EffectKind::preflight, Side::source}});
    scenario.when_reported(EffectKind::preflight, Side::source, preflight_half(Side::source))
        .then_kinds({EventKind::preflight_checked, EventKind::preflight_passed})
        .in(Phase::ready)
        .outstanding({});

    Bytes message;
    put_bytes(message, as_bytes("drover-plan1"));
    const Bytes spec = encode_spec(web_spec());
    put_u32(message, static_cast<std::uint32_t>(spec.size()));
    put_bytes(message, spec);
    put_u32(message, 1);
    message.push_back(0);
    put_bytes(message, bytes_of<Hash>(1).view());
    put_u32(message, 1);
    message.push_back(2);
    put_bytes(message, bytes_of<Hash>(2).view());
    REQUIRE(scenario.job().plan_hash == sha256(message));
}

TEST_CASE("preflight: decide itself compares the disks of both sides") {
    PreflightDone target = preflight_half(Side::target);
    target.disks[1].size_bytes -= 512;
    target.disks[0].sector_bytes = 4096;
    Scenario scenario = at(Phase::planned);
    scenario.when_reported(EffectKind::preflight, Side::source, preflight_half(Side::source))
        .when_reported(EffectKind::preflight, Side::target, target)
        .then_kinds({EventKind::preflight_checked, EventKind::preflight_failed})
        .in(Phase::blocked);
    REQUIRE(scenario.job().findings.size() == 2);
    REQUIRE(scenario.job().findings[0].id == "sector_size_mismatch");
    REQUIRE(scenario.job().findings[1].id == "target_too_small");
    REQUIRE(scenario.job().findings[1].object == "/dev/vdd");
    scenario.when(Start{}).rejects("wrong_phase", "blocked");
}

TEST_CASE("preflight: a critical finding blocks, a warning does not") {
    PreflightDone source = preflight_half(Side::source);
    source.findings = {{Severity::warning, "slow_disk", "/dev/vda", "slow", "wait"}};
    Scenario warned = at(Phase::planned);
    warned.when_reported(EffectKind::preflight, Side::source, source)
        .when_reported(EffectKind::preflight, Side::target, preflight_half(Side::target))
        .in(Phase::ready);

    source.findings.push_back({Severity::critical, "root_disk", "/dev/vda", "root", "choose"});
    Scenario blocked = at(Phase::planned);
    blocked.when_reported(EffectKind::preflight, Side::source, source)
        .when_reported(EffectKind::preflight, Side::target, preflight_half(Side::target))
        .in(Phase::blocked);
    REQUIRE(blocked.job().findings.front().id == "root_disk");  // the critical one comes first
}

TEST_CASE("preflight: a hook without digest, or a disk without description, blocks") {
    PreflightDone source = preflight_half(Side::source);
    source.hook_digests.clear();
    Scenario hook = at(Phase::planned);
    hook.when_reported(EffectKind::preflight, Side::source, source)
        .when_reported(EffectKind::preflight, Side::target, preflight_half(Side::target))
        .in(Phase::blocked);
    REQUIRE(hook.job().findings.front().id == "hook_not_found");

    source = preflight_half(Side::source);
    source.disks.pop_back();
    Scenario disk = at(Phase::planned);
    disk.when_reported(EffectKind::preflight, Side::source, source)
        .when_reported(EffectKind::preflight, Side::target, preflight_half(Side::target))
        .in(Phase::blocked);
    REQUIRE(disk.job().findings.front().id == "disk_facts_missing");
}

TEST_CASE("preflight: it may be repeated until the job is started, and start waits for it") {
    for (const Phase phase : {Phase::planned, Phase::blocked, Phase::ready}) {
        at(phase)
            .when(Preflight{})
            .then({RetryStarted{"operator:ann", 1}})
            .in(phase)
            .outstanding(
                {{EffectKind::preflight, Side::source}, {EffectKind::preflight, Side::target}});
    }
    Scenario scenario = at(Phase::ready);
    scenario.when(Preflight{}).when(Start{}).rejects("preflight_running");
    PreflightDone target = preflight_half(Side::target);
    target.disks[0].size_bytes = 1;
    scenario.when_reported(EffectKind::preflight, Side::source, preflight_half(Side::source))
        .when_reported(EffectKind::preflight, Side::target, target)
        .in(Phase::blocked);
    at(Phase::mirroring).when(Preflight{}).rejects("wrong_phase");
}

TEST_CASE("preflight: an answer to an older attempt, or a second answer, is no fact") {
    Scenario scenario = at(Phase::planned);
    const EffectId old = scenario.newest(EffectKind::preflight, Side::source).id;
    scenario.when(Preflight{}).when_reported(old, preflight_half(Side::source)).then_nothing();
    scenario.when_reported(EffectKind::preflight, Side::source, preflight_half(Side::source))
        .then_kinds({EventKind::preflight_checked})
        .when_reported(EffectKind::preflight, Side::source, preflight_half(Side::source))
        .then_nothing();
}

TEST_CASE("preflight: a failed one parks, and a new one unparks") {
    const Error error(Errc::io, "disk_unreadable", "vda", "everything", "look at the disk");
    at(Phase::planned)
        .when_reported(EffectKind::preflight, Side::source, StepFailed{error})
        .then({Parked{EffectKind::preflight, error}})
        .outstanding({})
        .when(Preflight{})
        .then({Unparked{"operator:ann"}, RetryStarted{"operator:ann", 1}})
        .wants(EffectKind::preflight, Side::source);
}

TEST_CASE("start: both ends copy under a ticket that names the start") {
    Scenario scenario = at(Phase::ready);
    scenario.when(Start{})
        .then({MirrorStarted{"operator:ann"}})
        .in(Phase::mirroring)
        .outstanding(
            {{EffectKind::replicate, Side::source}, {EffectKind::replicate, Side::target}});
    const Effect& effect = scenario.newest(EffectKind::replicate, Side::source);
    const auto& work = std::get<ReplicateWork>(effect.work);
    REQUIRE(work.ticket.serial == effect.id.seq);
    REQUIRE(work.ticket.not_after_micros == start_micros + 30LL * 86400 * second_micros);
    REQUIRE(work.ticket.sizes_bytes == std::vector<std::uint64_t>{1U << 20, 1U << 20});
    REQUIRE(work.peer.host == "127.0.0.7");
    REQUIRE(work.mode == ReplicateMode::transfer);
    const auto& target =
        std::get<ReplicateWork>(scenario.newest(EffectKind::replicate, Side::target).work);
    REQUIRE(target.peer.host.empty());
    REQUIRE(target.ticket == work.ticket);
}

TEST_CASE("start: only a ready job") {
    at(Phase::planned).when(Start{}).rejects("wrong_phase");
    at(Phase::mirroring).when(Start{}).rejects("wrong_phase", "mirroring");
}

TEST_CASE("copy: the mirror's end and changes of the data state are facts, repeats are not") {
    Scenario scenario = at(Phase::mirroring);
    scenario.when_reported(EffectKind::replicate, Side::source, MirrorDone{bytes_of(5)})
        .then({MirrorCompleted{bytes_of(5)}})
        .in(Phase::syncing);
    REQUIRE(scenario.job().data_state == DataState::catching_up);
    const DataStateNow in_sync{DataState::in_sync, bytes_of(5), 100};
    scenario.when_reported(EffectKind::replicate, Side::source, in_sync)
        .then({DataStateChanged{DataState::in_sync, bytes_of(5), 100}})
        .when_reported(EffectKind::replicate, Side::source, in_sync)
        .then_nothing()
        .when_reported(EffectKind::replicate, Side::source,
                       DataStateNow{DataState::in_sync, bytes_of(5), 200})
        .then_nothing();  // a backlog alone is telemetry
    scenario.when_reported(EffectKind::replicate, Side::target, GenerationGone{1, "new map"})
        .then({GenerationLost{1, "new map"}});
    REQUIRE(scenario.job().data_state == DataState::rescanning);
    REQUIRE(scenario.job().generation_lost == "new map");
    scenario.when(Cutover{}).rejects("cutover_lagging", "rescanning");
}

TEST_CASE("reports: an agent speaks only for itself, and only about what it was asked") {
    Scenario scenario = at(Phase::mirroring);
    const EffectId effect = scenario.newest(EffectKind::replicate, Side::source).id;
    const Report report{bytes_of(9), effect, MirrorDone{bytes_of(5)}};
    scenario.when_command({Uuid{}, "agent:other", "", ReportReceived{report}})
        .rejects("wrong_agent", "agent:other");
    scenario.when_reported(effect, DrainDone{1, 1}).rejects("invalid_report");
    EffectId foreign = effect;
    foreign.job = bytes_of(0x77);
    scenario.when_reported(foreign, MirrorDone{bytes_of(5)}).rejects("invalid_report");
    foreign = effect;
    foreign.lineage = bytes_of(0x77);
    scenario.when_reported(foreign, MirrorDone{bytes_of(5)}).then_nothing();
}

}  // namespace drover::statemachine::testing
