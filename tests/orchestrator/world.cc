#include "world.h"

#include "base/assert.h"
#include "base/sha256.h"

#include <algorithm>

namespace drover::orchestrator::testing {

namespace {

constexpr int turns_max = 1000;

Uuid lineage_of_tests() {
    Uuid lineage;
    lineage.data.fill(0x11);
    return lineage;
}

template <class Fixed>
Fixed filled(std::uint8_t value) {
    Fixed out;
    out.data.fill(value);
    return out;
}

PreflightDone preflight_done(const PreflightWork& work, Side side) {
    PreflightDone done;
    for (const std::string& disk : work.disks)
        done.disks.push_back({disk, "id", 1U << 20, 512, ""});
    for (const auto& [step, name] : work.hooks) done.hook_digests[step] = filled<Hash>(5);
    if (side == Side::source) {
        done.disks.front().tracker = "scan";
    } else {
        done.endpoint = {"127.0.0.3", 6325, 6326};
        done.journal_mode = "direct";
    }
    return done;
}

/// Signs by hashing: enough to see that the bytes of a ticket were signed, and always the same.
Result<Bytes> test_signature(ByteView message) {
    const Hash hash = sha256(message);
    return Bytes(hash.data.begin(), hash.data.end());
}

}  // namespace

std::vector<ReportBody> success_of(const Effect& effect) {
    switch (effect.id.kind) {
        case EffectKind::preflight:
            return {preflight_done(std::get<PreflightWork>(effect.work), effect.id.side)};
        case EffectKind::replicate:
            if (effect.id.side == Side::target) return {};
            if (std::get<ReplicateWork>(effect.work).mode != ReplicateMode::transfer) return {};
            return {MirrorDone{filled<Generation>(8)},
                    DataStateNow{DataState::in_sync, filled<Generation>(8), 0}};
        case EffectKind::fence: {
            const auto& work = std::get<FenceWork>(effect.work);
            FenceProof proof;
            proof.token = work.token;
            proof.job = effect.id.job;
            proof.run = work.run;
            proof.tracker_seq = 9;
            proof.fenced_micros = start_micros;
            return {FenceDone{proof}};
        }
        case EffectKind::drain:
            return {DrainDone{4, 0}};
        case EffectKind::verify: {
            const DiskProof proof{filled<Hash>(3), filled<Hash>(3), 1U << 20};
            return {VerifyDone{{proof}, {}}};
        }
        case EffectKind::activate:
            return {ActivateDone{start_micros + 1}};
        case EffectKind::validate:
            return {ValidateDone{"hook"}};
        case EffectKind::deactivate:
            return {DeactivateDone{true, 4096}};
        case EffectKind::release:
            return {ReleaseDone{start_micros + 2}};
        case EffectKind::cleanup:
            return {CleanupDone{}};
        case EffectKind::delete_data:
            return {DataDeleted{}};
        case EffectKind::start_test:
            return {StartTestDone{3, PointKind::crash, start_micros, "reflink", {"/run/a"}}};
        case EffectKind::revert_test:
            return {RevertTestDone{}};
        case EffectKind::hold_fence:
        case EffectKind::wake_at:
        case EffectKind::seal_point:
        case EffectKind::hold_test:
        case EffectKind::reverse_drain:
        case EffectKind::reverse_verify:
        case EffectKind::compare:
            return {};
    }
    return {};
}

const EffectWanted* FakeAgent::find(EffectKind kind) const {
    const auto found = std::find_if(wanted.rbegin(), wanted.rend(), [kind](const EffectWanted& w) {
        return w.effect.id.kind == kind;
    });
    return found == wanted.rend() ? nullptr : &*found;
}

std::size_t FakeAgent::count(EffectKind kind) const {
    return static_cast<std::size_t>(
        std::count_if(wanted.begin(), wanted.end(),
                      [kind](const EffectWanted& w) { return w.effect.id.kind == kind; }));
}

World::World()
    : log(lineage_of_tests()),
      random(42),
      clock(start_micros) {
    start();
}

void World::start() {
    log.restart();
    auto started = Core::start({log, random, test_signature, options}, now());
    core = std::move(started).value();
}

void World::kill() {
    core.reset();
    for (auto& [key, agent] : agents_) agent.connection = 0;
}

Moment World::now() const {
    return {clock.wall_micros(), clock.steady_ms()};
}

void World::pass_ms(std::int64_t ms) {
    while (ms > 0) {
        const std::int64_t step = std::min<std::int64_t>(ms, 5000);
        ms -= step;
        clock.advance_micros(step * 1000);
        for (auto& [key, agent] : agents_) {
            if (agent.connection == 0) continue;
            core->sessions().received(agent.connection, Heartbeat{}, now());
        }
        static_cast<void>(core->tick(now()).has_value());
    }
}

std::optional<Error> World::settle() {
    for (int i = 0; i < turns_max; ++i) {
        const auto turned = core->turn(now());
        if (!turned) return turned.error();
        const Outbox outbox = core->sessions().take_outbox();
        const bool is_quiet = outbox.send.empty() && outbox.close.empty();
        deliver(outbox);
        if (is_quiet && !turned->more && !core->engine().has_work()) return std::nullopt;
    }
    return Error(Errc::timed_out, "no_rest", "the world does not come to rest");
}

void World::turn_unheard() {
    static_cast<void>(core->turn(now()).has_value());
}

World::Slot World::submit(Submission submission) {
    auto slot = std::make_shared<std::optional<Result<Answer>>>();
    core->engine().submit(std::move(submission),
                          [slot](const Result<Answer>& answer) { *slot = answer; });
    return slot;
}

World::Slot World::submit(const std::string& job, statemachine::Wish wish) {
    JobCommand command;
    command.job = job;
    command.command = {random.uuid(), "operator:ann", "because", std::move(wish)};
    return submit({std::move(command), filled<Hash>(1)});
}

Result<Answer> World::command(const std::string& job, statemachine::Wish wish) {
    const Slot slot = submit(job, std::move(wish));
    if (const auto fatal = settle()) return *fatal;
    return slot->value();
}

Result<Answer> World::registry(RegistryWish wish) {
    const Slot slot =
        submit({RegistryCommand{random.uuid(), "operator:ann", std::move(wish)}, filled<Hash>(1)});
    if (const auto fatal = settle()) return *fatal;
    return slot->value();
}

FakeAgent& World::add_agent(const std::string& name) {
    const Hash token = sha256(as_bytes(name));
    static_cast<void>(registry(CreateToken{name, token, 900}).has_value());
    static_cast<void>(registry(Enrol{name, token, filled<Hash>(2), {}}).has_value());
    FakeAgent& agent = agents_[name];
    agent.name = name;
    connect(agent);
    static_cast<void>(settle());
    return agent;
}

FakeAgent& World::add_twin(const std::string& key, const std::string& name,
                           const std::string& host_identity) {
    FakeAgent& agent = agents_[key];
    agent.name = name;
    agent.host_identity = host_identity;
    connect(agent);
    static_cast<void>(settle());
    return agent;
}

void World::connect(FakeAgent& agent) {
    agent.connection = next_connection_++;
    agent.is_closed = false;
    agent.wanted.clear();
    agent.withdrawn.clear();
    agent.welcome.reset();
    core->sessions().opened(agent.connection, agent.name, "127.0.0.9", now());
    Hello hello;
    hello.agent = agent.name;
    hello.incarnation = filled<Uuid>(6);
    hello.host_identity = agent.host_identity;
    hello.software = "drover test";
    hello.roles = {"source", "target"};
    hello.capabilities = agent.capabilities;
    hello.witness = agent.witness;
    core->sessions().received(agent.connection, hello, now());
}

void World::disconnect(FakeAgent& agent) {
    core->sessions().closed(agent.connection, now());
    agent.connection = 0;
}

void World::report(FakeAgent& agent, const Report& report) {
    core->sessions().received(agent.connection, ReportMade{report}, now());
}

FakeAgent* World::at(ConnectionId id) {
    for (auto& [key, agent] : agents_) {
        if (agent.connection == id) return &agent;
    }
    return nullptr;
}

void World::deliver(const Outbox& outbox) {
    for (const Outgoing& outgoing : outbox.send) {
        if (FakeAgent* agent = at(outgoing.connection)) hear(*agent, outgoing.message);
    }
    for (const Closing& closing : outbox.close) {
        FakeAgent* agent = at(closing.connection);
        if (!agent) continue;
        agent->is_closed = true;
        agent->connection = 0;
    }
}

void World::hear(FakeAgent& agent, const OrchestratorMessage& message) {
    if (const auto* welcome = std::get_if<Welcome>(&message)) agent.welcome = *welcome;
    if (const auto* refused = std::get_if<Refused>(&message))
        agent.refused.push_back(refused->error);
    if (const auto* made = std::get_if<AnchorMade>(&message)) agent.anchors.push_back(*made);
    if (const auto* ack = std::get_if<ReportAck>(&message)) {
        agent.acknowledged.push_back(ack->report_id);
    }
    if (const auto* withdrawn = std::get_if<EffectWithdrawn>(&message)) {
        agent.withdrawn.push_back(*withdrawn);
    }
    if (const auto* wanted = std::get_if<EffectWanted>(&message)) {
        agent.wanted.push_back(*wanted);
        answer(agent, *wanted);
    }
}

void World::answer(FakeAgent& agent, const EffectWanted& wanted) {
    if (!agent.answers || agent.silent_on.contains(wanted.effect.id.kind)) return;
    core->sessions().received(agent.connection, EffectTaken{wanted.effect.id}, now());
    for (const ReportBody& body : success_of(wanted.effect)) {
        report(agent, {random.uuid(), wanted.effect.id, body});
    }
}

JobSpec World::spec(const std::string& name) const {
    JobSpec spec;
    spec.name = name;
    spec.source_agent = "old";
    spec.target_agent = "new";
    spec.disks = {{"/dev/" + name + "-a", "/dev/" + name + "-b"}};
    return spec;
}

void World::plan(const std::string& name) {
    static_cast<void>(command(name, statemachine::Plan{spec(name)}).has_value());
}

void World::sync(const std::string& name) {
    plan(name);
    static_cast<void>(command(name, statemachine::Start{}).has_value());
}

const statemachine::Job& World::job(const std::string& name) const {
    const JobEntry* entry = core->state().find(name);
    DROVER_ASSERT(entry);
    return entry->job;
}

}  // namespace drover::orchestrator::testing
