#include "tests/agent/world.h"

#include <cstdlib>

#include <catch2/catch.hpp>

#include <unistd.h>

namespace drover::agent::testing {

namespace {

// Certificates are also shown to real TLS, which looks at the real clock.
const WallMicros now_micros = SystemClock().wall_micros();

template <class T>
T value(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().text());
    return std::move(*result);
}

}  // namespace

TempDir::TempDir() {
    std::string form =
        (std::filesystem::temp_directory_path() / "drover-agent-test-XXXXXX").native();
    if (::mkdtemp(form.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = form;
}

TempDir::~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

const Pki& Pki::shared() {
    static const Pki pki{value(wire::create_authority("test", now_micros))};
    return pki;
}

AgentIdentity Pki::agent(const std::string& name) const {
    const auto request = value(wire::make_agent_request(name));
    AgentIdentity identity;
    identity.name = name;
    identity.tls.authority_pem = authority.certificate_pem;
    identity.tls.key_pem = request.key_pem;
    identity.tls.certificate_pem =
        value(wire::issue_agent(authority, request.request_pem, name, {}, now_micros));
    return identity;
}

World::World()
    : clock(now_micros) {
    paths.root = dir.path() / "state";
    identity = Pki::shared().agent("web-01");
    config.name = "web-01";
    config.state = paths.root;
    config.is_source = true;
    config.is_target = true;
    config.listen = ListenConfig{"127.0.0.1", "127.0.0.1", 1, 2};
    job.data[0] = 1;
    token.data[0] = 7;
    host.disks["/dev/s"].mounted = true;
    host.disks["/dev/t"].identity = "wwid:target";
    REQUIRE(make_state_directories(paths));
}

AgentParts World::parts() {
    Process& p = *process;
    return {config,
            paths,
            identity,
            host,
            *p.journal,
            *p.fences,
            *p.exposures,
            clock,
            [this](std::string_view step) {
                if (step != crash_at) return;
                crash_at.clear();
                throw Crash{std::string(step)};
            }};
}

void World::launch() {
    process = std::make_unique<Process>();
    Process& p = *process;
    p.journal = value(Journal::open(paths.journal()));
    p.fences = std::make_unique<FenceStore>(paths.fences(), host.id);
    p.exposures = std::make_unique<ExposureStore>(paths.exposures());
    p.replicas = std::make_unique<FakeReplicas>(replica_world);
    p.executor =
        std::make_unique<Executor>(parts(), *p.replicas, p.peers, p.workers, random, p.output);
    REQUIRE(p.executor->start());
}

void World::boot() {
    launch();
    settle();
}

void World::want(const Effect& effect) {
    EffectWanted wanted;
    wanted.effect = effect;
    wanted.digest = effect_digest(effect);
    process->executor->wanted(wanted);
}

void World::want_and_die_at(const Effect& effect, const std::string& step) {
    crash_at = step;
    want(effect);
    REQUIRE_THROWS_AS(settle(), Crash);
    die();
}

Effect World::effect(std::uint64_t seq, EffectKind kind, Side side, EffectWork work) const {
    Effect out;
    out.id.job = job;
    out.id.seq = seq;
    out.id.kind = kind;
    out.id.side = side;
    out.agent = "web-01";
    out.job_name = "move-web";
    out.work = std::move(work);
    return out;
}

Effect World::replicate(std::uint64_t seq, Side side, ReplicateMode mode) const {
    ReplicateWork work;
    work.ticket.job = job;
    work.ticket.job_name = "move-web";
    work.ticket.serial = seq;
    work.ticket.source_agent = "web-01";
    work.ticket.target_agent = "web-01";
    work.ticket.disks = {{"/dev/s", "/dev/t"}};
    work.ticket.sizes_bytes = {1U << 20};
    work.mode = mode;
    return effect(seq, EffectKind::replicate, side, work);
}

Effect World::fence(std::uint64_t seq) const {
    return effect(seq, EffectKind::fence, Side::source,
                  FenceWork{token, 1, {"/dev/s"}, 4096, {"stop-app", {}}, {"start-app", {}}});
}

Effect World::release(std::uint64_t seq) const {
    return effect(seq, EffectKind::release, Side::source, ReleaseWork{token, {"start-app", {}}});
}

Effect World::drain(std::uint64_t seq) const {
    return effect(seq, EffectKind::drain, Side::source, DrainWork{token, {}});
}

FenceProof World::proof(const AgentIdentity& signer) const {
    FenceProof out;
    out.token = token;
    out.job = job;
    out.run = 1;
    out.certificate_pem = signer.tls.certificate_pem;
    out.signature = value(wire::sign(signer.tls.key_pem, fence_proof_message(out)));
    return out;
}

Effect World::activate(std::uint64_t seq) const {
    static const AgentIdentity source = Pki::shared().agent("old-01");
    return effect(seq, EffectKind::activate, Side::target,
                  ActivateWork{token, proof(source), "old-01", {"start-app", {}}});
}

Effect World::deactivate(std::uint64_t seq) const {
    return effect(seq, EffectKind::deactivate, Side::target,
                  DeactivateWork{token, {"stop-app", {}}});
}

void World::expose(const std::string& path) {
    REQUIRE(expose_disk(*process->exposures, host, path, {}).has_value());
}

void World::serve_from_target() {
    boot();
    expose("/dev/t");
    want(replicate(40, Side::target));
    want(activate(50));
    settle();
    (void)last<ActivateDone>();
}

bool World::is_fenced() const {
    const FakeDisk& disk = host.disks.at("/dev/s");
    return disk.read_only && !disk.mounted && disk.hidden && host.guarded(job, Side::source) &&
           value(process->fences->of_job(job)).has_value();
}

bool World::in_service() const {
    const FakeDisk& disk = host.disks.at("/dev/s");
    return !disk.read_only && disk.mounted && !disk.hidden && !host.guarded(job, Side::source) &&
           !value(process->fences->of_job(job)).has_value();
}

}  // namespace drover::agent::testing
