// What agents are told, and when: only durable facts, the head first, everything again after a
// reconnect.
#include "schemas/codec.h"
#include "world.h"

#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

using statemachine::Phase;

/// A log that remembers where its head file stands, and says so.
class WatchedLog final : public eventlog::EventLog {
  public:
    explicit WatchedLog(eventlog::EventLog& inner)
        : inner_(inner) {}

    [[nodiscard]] eventlog::AppendResult append(std::span<const eventlog::Append> batch,
                                                eventlog::Epoch epoch, WallMicros now) override {
        return inner_.append(batch, epoch, now);
    }

    [[nodiscard]] Result<> read(eventlog::Seq from,
                                const eventlog::RecordVisitor& visit) const override {
        return inner_.read(from, visit);
    }

    [[nodiscard]] Result<> read_stream(eventlog::StreamId stream, eventlog::StreamSeq from,
                                       const eventlog::RecordVisitor& visit) const override {
        return inner_.read_stream(stream, from, visit);
    }

    [[nodiscard]] eventlog::Head head() const override { return inner_.head(); }

    [[nodiscard]] eventlog::StreamHead stream_head(eventlog::StreamId stream) const override {
        return inner_.stream_head(stream);
    }

    [[nodiscard]] Result<Hash> hash_at(eventlog::Seq seq) const override {
        return inner_.hash_at(seq);
    }

    [[nodiscard]] Result<std::optional<eventlog::CommandAnswer>> find_answer(
        const Uuid& id) const override {
        return inner_.find_answer(id);
    }

    [[nodiscard]] Result<eventlog::Epoch> raise_epoch(WallMicros now) override {
        return inner_.raise_epoch(now);
    }

    [[nodiscard]] Result<> sync_head() override {
        if (fails) return Error(Errc::io, "head_sync_failed", "the head file cannot be written");
        synced = inner_.head().seq;
        return inner_.sync_head();
    }

    [[nodiscard]] std::uint64_t free_bytes() const override { return inner_.free_bytes(); }

    eventlog::Seq synced = 0;
    bool fails = false;

  private:
    eventlog::EventLog& inner_;
};

/// Moves the world onto a log that is watched.
std::unique_ptr<WatchedLog> watch(World& world) {
    world.kill();
    world.log.restart();
    auto watched = std::make_unique<WatchedLog>(world.log);
    const auto sign = [](ByteView) -> Result<Bytes> { return Bytes(64, 1); };
    world.core = std::move(Core::start({*watched, world.random, sign, {}}, world.now())).value();
    world.connect(world.agent("old"));
    world.connect(world.agent("new"));
    REQUIRE_FALSE(world.settle());
    return watched;
}

}  // namespace

TEST_CASE("dispatcher: an effect leaves only after its fact is durable") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    agent.answers = false;
    const auto slot = world.submit("web", statemachine::Plan{world.spec("web")});
    CHECK(agent.wanted.empty());
    REQUIRE_FALSE(world.settle());
    REQUIRE(agent.count(EffectKind::preflight) == 1);
    const EffectWanted& wanted = agent.wanted.front();
    CHECK(wanted.effect.id.seq <= world.log.head().seq);
    CHECK(wanted.head.seq >= wanted.effect.id.seq);
    CHECK(world.log.hash_at(wanted.head.seq).value() == wanted.head.hash);
    CHECK(wanted.digest == effect_digest(wanted.effect));
    CHECK(wanted.epoch == world.core->engine().epoch());
}

TEST_CASE("dispatcher: the head is synced before an effect that changes who may write") {
    World world;
    world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    const auto watched = watch(world);
    world.agent("old").silent_on = {EffectKind::fence};
    watched->synced = 0;
    REQUIRE(world.command("web", statemachine::Cutover{}));
    const EffectWanted* fence = world.agent("old").find(EffectKind::fence);
    REQUIRE(fence);
    CHECK(watched->synced >= fence->effect.id.seq);
    world.core.reset();
}

TEST_CASE("dispatcher: when the head cannot be synced nothing leaves and the process stops") {
    World world;
    world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    const auto watched = watch(world);
    watched->fails = true;
    world.agent("old").wanted.clear();
    const auto slot = world.submit("web", statemachine::Cutover{});
    const auto fatal = world.settle();
    REQUIRE(fatal);
    CHECK(fatal->id() == "head_sync_failed");
    CHECK(world.agent("old").count(EffectKind::fence) == 0);
    world.core.reset();
}

TEST_CASE("dispatcher: everything outstanding is sent again after a reconnect, with the same ids") {
    World world;
    FakeAgent& agent = world.add_agent("old");
    agent.answers = false;
    world.plan("web");
    REQUIRE(agent.wanted.size() == 1);
    const EffectWanted first = agent.wanted.front();
    REQUIRE_FALSE(world.settle());
    CHECK(agent.wanted.size() == 1);  // told once in one connection

    world.disconnect(agent);
    world.connect(agent);
    REQUIRE_FALSE(world.settle());
    REQUIRE(agent.wanted.size() == 1);
    CHECK(agent.wanted.front().effect == first.effect);
    CHECK(agent.wanted.front().digest == first.digest);
}

TEST_CASE(
    "dispatcher: a standing effect is sent again when its content changes, and withdrawn at the "
    "end") {
    World world;
    FakeAgent& source = world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    const std::size_t before = source.count(EffectKind::replicate);
    REQUIRE(before >= 1);
    const EffectId id = source.find(EffectKind::replicate)->effect.id;

    REQUIRE(world.command("web", statemachine::Throttle{Limits{4096}}));
    CHECK(source.count(EffectKind::replicate) == before + 1);
    const EffectWanted* changed = source.find(EffectKind::replicate);
    CHECK(changed->effect.id == id);
    CHECK(std::get<ReplicateWork>(changed->effect.work).limits.rate_bytes_per_s == 4096);

    REQUIRE(world.command("web", statemachine::Cancel{}));
    REQUIRE_FALSE(source.withdrawn.empty());
    CHECK(source.withdrawn.back().id == id);
    CHECK(world.phase("web") == Phase::cancelled);
}

TEST_CASE("dispatcher: a ticket is signed, and signed the same again by the next process") {
    World world;
    FakeAgent& source = world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    const auto ticket_of = [&source] {
        return std::get<ReplicateWork>(source.find(EffectKind::replicate)->effect.work).ticket;
    };
    const Ticket first = ticket_of();
    CHECK_FALSE(first.signature.empty());
    const Hash digest = source.find(EffectKind::replicate)->digest;
    world.kill();
    world.start();
    world.connect(source);
    REQUIRE_FALSE(world.settle());
    CHECK(ticket_of() == first);
    CHECK(source.find(EffectKind::replicate)->digest == digest);
}

TEST_CASE("dispatcher: a cutover armed for a time starts at that time, once") {
    World world;
    world.add_agent("old");
    world.add_agent("new");
    world.sync("web");
    statemachine::Arm arm;
    arm.at_micros = world.clock.wall_micros() + 60'000'000;
    const auto armed = world.command("web", arm);
    REQUIRE(armed);
    REQUIRE_FALSE(armed->rejected);
    world.pass_ms(59'000);
    REQUIRE_FALSE(world.settle());
    CHECK(world.phase("web") == Phase::armed);
    world.pass_ms(1'000);
    REQUIRE_FALSE(world.settle());
    CHECK(world.phase("web") == Phase::holding);
    CHECK(world.job("web").run == 1);
}

TEST_CASE("dispatcher: an outage that lasts too long rolls back by itself, also in a new process") {
    World world;
    world.add_agent("old").silent_on = {EffectKind::drain};
    world.add_agent("new");
    world.sync("web");
    REQUIRE(world.command("web", statemachine::Cutover{}));
    REQUIRE(world.phase("web") == Phase::draining);
    world.kill();
    world.clock.advance_micros(601'000'000);
    world.start();
    world.connect(world.agent("old"));
    world.connect(world.agent("new"));
    REQUIRE_FALSE(world.settle());
    CHECK(world.phase("web") == Phase::rolled_back);
}

}  // namespace drover::orchestrator::testing
