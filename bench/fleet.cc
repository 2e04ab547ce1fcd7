#include "bench/fleet.h"

#include "base/sha256.h"
#include "bench/measure.h"
#include "schemas/codec.h"
#include "wire/pki.h"

#include <algorithm>

namespace drover::bench {
namespace {

using orchestrator::ConnectionId;

constexpr std::uint64_t disk_bytes = std::uint64_t{40} << 30;
/// How often the copy of a job falls behind in its life: links and hosts restart now and then.
constexpr int wavers = 6;

template <class Fixed>
Fixed filled(std::uint8_t value) {
    Fixed out;
    out.data.fill(value);
    return out;
}

PreflightDone preflight_done(const PreflightWork& work, Side side) {
    PreflightDone done;
    for (const std::string& disk : work.disks)
        done.disks.push_back({disk, "virtio-" + disk, disk_bytes, 512, ""});
    for (const auto& [step, name] : work.hooks) done.hook_digests[step] = filled<Hash>(5);
    if (side == Side::source) {
        for (DiskFacts& disk : done.disks) disk.tracker = "ebpf";
    } else {
        done.endpoint = {"192.0.2.20", 6325, 6326};
        done.journal_mode = "direct";
    }
    return done;
}

FenceProof fence_proof(const Effect& effect) {
    const auto& work = std::get<FenceWork>(effect.work);
    FenceProof proof;
    proof.token = work.token;
    proof.job = effect.id.job;
    proof.run = work.run;
    proof.tracker_seq = 9;
    proof.fenced_micros = 1;
    return proof;
}

/// What an agent reports when the effect succeeded.
std::vector<ReportBody> success_of(const Effect& effect) {
    const auto generation = filled<Generation>(8);
    switch (effect.id.kind) {
        case EffectKind::preflight:
            return {preflight_done(std::get<PreflightWork>(effect.work), effect.id.side)};
        case EffectKind::replicate:
            if (effect.id.side == Side::target) return {};
            if (std::get<ReplicateWork>(effect.work).mode != ReplicateMode::transfer) return {};
            return {MirrorDone{generation}, DataStateNow{DataState::in_sync, generation, 0}};
        case EffectKind::fence:
            return {FenceDone{fence_proof(effect)}};
        case EffectKind::drain:
            return {DrainDone{4, 0}};
        case EffectKind::verify:
            return {VerifyDone{{{filled<Hash>(3), filled<Hash>(3), disk_bytes}}, {}}};
        case EffectKind::activate:
            return {ActivateDone{1}};
        case EffectKind::validate:
            return {ValidateDone{"hook"}};
        case EffectKind::cleanup:
            return {CleanupDone{}};
        case EffectKind::deactivate:
        case EffectKind::release:
        case EffectKind::delete_data:
        case EffectKind::hold_fence:
        case EffectKind::wake_at:
        case EffectKind::seal_point:
        case EffectKind::start_test:
        case EffectKind::revert_test:
        case EffectKind::hold_test:
        case EffectKind::reverse_drain:
        case EffectKind::reverse_verify:
        case EffectKind::compare:
            return {};  // none of them comes up in these lives
    }
    return {};
}

orchestrator::TicketSigner signer(bool signs) {
    if (!signs) {
        return [](ByteView message) -> Result<Bytes> {
            const Hash hash = sha256(message);
            return Bytes(hash.data.begin(), hash.data.end());
        };
    }
    auto key = wire::make_signing_key();
    if (!key) fail(key.error().text());
    return [pem = key->key_pem](ByteView message) { return wire::sign(pem, message); };
}

void must(const Result<orchestrator::Answer>& answer) {
    if (!answer) fail("a command failed: " + answer.error().text());
    if (answer->rejected) fail("a command was refused: " + answer->rejected->detail);
}

}  // namespace

Fleet::Fleet(eventlog::EventLog& log, const FleetOptions& options, std::uint64_t seed)
    : random_(seed) {
    auto core = orchestrator::Core::start({log, random_, signer(options.signs), {}, {}}, now());
    if (!core) fail(core.error().text());
    core_ = std::move(*core);
    agents_.resize(options.agents);
    for (std::size_t i = 0; i < agents_.size(); ++i) {
        agents_[i].name = (i % 2 == 0 ? "old-" : "new-") + std::to_string(i / 2);
        enrol(agents_[i].name);
        connect(i);
        settle();
    }
}

orchestrator::Moment Fleet::now() {
    return {clock_.wall_micros(), clock_.steady_ms()};
}

void Fleet::enrol(const std::string& agent) {
    if (core_->state().registry.agents.contains(agent)) return;
    const Hash token = sha256(as_bytes(agent));
    for (orchestrator::RegistryWish wish :
         {orchestrator::RegistryWish(orchestrator::CreateToken{agent, token, 900}),
          orchestrator::RegistryWish(orchestrator::Enrol{agent, token, filled<Hash>(2), {}})}) {
        core_->engine().submit(
            {orchestrator::RegistryCommand{random_.uuid(), "operator:ann", std::move(wish)},
             filled<Hash>(1)},
            must);
        settle();
    }
}

void Fleet::connect(std::size_t index) {
    const ConnectionId connection = index + 1;
    core_->sessions().opened(connection, agents_[index].name, "192.0.2.9", now());
    Hello hello;
    hello.agent = agents_[index].name;
    hello.incarnation = filled<Uuid>(6);
    hello.host_identity = "host of " + agents_[index].name;
    hello.software = "drover";
    hello.roles = {"source", "target"};
    say(connection, hello);
}

void Fleet::plan(const std::string& name, std::size_t number) {
    const std::size_t pair = number % (agents_.size() / 2);
    JobSpec spec;
    spec.name = name;
    spec.source_agent = agents_[2 * pair].name;
    spec.target_agent = agents_[2 * pair + 1].name;
    spec.disks = {{"/dev/disk/by-id/" + name + "-a", "/dev/disk/by-id/" + name + "-b"}};
    submit(name, statemachine::Plan{spec});
}

void Fleet::submit(const std::string& name, statemachine::Wish wish) {
    orchestrator::JobCommand command;
    command.job = name;
    command.command = {random_.uuid(), "operator:ann", "", std::move(wish)};
    core_->engine().submit({std::move(command), filled<Hash>(1)},
                           [this, submitted = now_us()](const Result<orchestrator::Answer>& a) {
                               must(a);
                               counters_.command_us.push_back(now_us() - submitted);
                           });
}

void Fleet::waver(const std::string& name) {
    const auto* entry = core_->state().find(name);
    if (!entry) fail("there is no job " + name);
    const auto source = std::find_if(agents_.begin(), agents_.end(), [&](const Agent& agent) {
        return agent.name == entry->job.spec.source_agent;
    });
    const auto connection = static_cast<ConnectionId>(source - agents_.begin()) + 1;
    const EffectId effect = source->transfers.at(entry->job.id);
    const Generation generation = entry->job.generation;
    report(connection, effect, DataStateNow{DataState::catching_up, generation, 64U << 20});
    report(connection, effect, DataStateNow{DataState::in_sync, generation, 0});
}

void Fleet::settle() {
    for (;;) {
        const double started = now_us();
        const auto turned = core_->turn(now());
        if (!turned) fail(turned.error().text());
        counters_.turn_us.push_back(now_us() - started);
        const orchestrator::Outbox outbox = core_->sessions().take_outbox();
        if (!outbox.close.empty()) fail("a session was closed: " + outbox.close[0].why.text());
        for (const auto& outgoing : outbox.send) deliver(outgoing);
        if (outbox.send.empty() && !core_->engine().has_work()) return;
    }
}

void Fleet::deliver(const orchestrator::Outgoing& outgoing) {
    const auto message = decode_orchestrator_message(encode(outgoing.message));
    if (!message) fail(message.error().text());
    if (const auto* wanted = std::get_if<EffectWanted>(&*message)) {
        ++counters_.effects;
        obey(agents_[outgoing.connection - 1], outgoing.connection, wanted->effect);
    }
}

void Fleet::obey(Agent& agent, ConnectionId connection, const Effect& effect) {
    say(connection, EffectTaken{effect.id});
    if (effect.id.kind == EffectKind::replicate) agent.transfers[effect.id.job] = effect.id;
    for (ReportBody& body : success_of(effect)) report(connection, effect.id, std::move(body));
}

void Fleet::report(ConnectionId connection, const EffectId& effect, ReportBody body) {
    ++counters_.reports;
    say(connection, ReportMade{{random_.uuid(), effect, std::move(body)}});
}

void Fleet::say(ConnectionId connection, const AgentMessage& message) {
    const auto heard = decode_agent_message(encode(message));
    if (!heard) fail(heard.error().text());
    core_->sessions().received(connection, *heard, now());
}

std::size_t Fleet::count(statemachine::Phase phase) const {
    const auto& jobs = core_->state().jobs;
    return static_cast<std::size_t>(
        std::count_if(jobs.begin(), jobs.end(),
                      [phase](const auto& job) { return job.second.job.phase == phase; }));
}

void live(Fleet& fleet, eventlog::Seq events, std::size_t jobs) {
    for (std::size_t round = 0; fleet.core().state().seq < events; ++round) {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < jobs; ++i)
            names.push_back("vm-" + std::to_string(round) + "-" + std::to_string(i));
        for (std::size_t i = 0; i < jobs; ++i) fleet.plan(names[i], i);
        fleet.settle();
        for (const auto& name : names) fleet.submit(name, statemachine::Start{});
        fleet.settle();
        for (int i = 0; i < wavers; ++i) {
            for (const auto& name : names) fleet.waver(name);
            fleet.settle();
        }
        for (const auto& name : names) fleet.submit(name, statemachine::Cutover{});
        fleet.settle();
        for (const auto& name : names) fleet.submit(name, statemachine::Commit{name});
        fleet.settle();
        // A life that ended anywhere else is not the one to measure.
        if (fleet.count(statemachine::Phase::committed) != (round + 1) * jobs)
            fail("not every job was committed");
    }
}

}  // namespace drover::bench
