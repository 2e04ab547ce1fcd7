// Whom an agent obeys after a restore: nobody but the holder of the recovery key, and only for the
// log that the agent itself has obeyed.
#include "tests/schemas/samples.h"
#include "wire/agent_session.h"
#include "wire/orchestrator_session.h"
#include "wire/pki.h"

#include <catch2/catch.hpp>

namespace drover::wire {
namespace {

using samples::hash;
using samples::uuid;

/// The agent has obeyed 70 of log 1 in epoch 4; a backup of log 1 at 60 goes on as log 9.
struct World {
    SigningKey recovery = *make_signing_key();
    SigningKey foreign = *make_signing_key();

    [[nodiscard]] LineageReset reset(const Uuid& from, const Uuid& to,
                                     std::uint32_t new_epoch = 1004) const {
        LineageReset made = samples::lineage_reset(from, to);
        made.new_epoch = new_epoch;
        made.signature = *sign(recovery.key_pem, lineage_reset_message(made));
        return made;
    }

    [[nodiscard]] static Welcome welcome(std::vector<LineageReset> resets) {
        Welcome made = samples::welcome();
        made.lineage = resets.back().new_lineage;
        made.epoch = resets.back().new_epoch + 1;
        made.head_seq = 64;
        made.head_hash = hash(14);
        made.hash_at_witness.reset();
        made.resets = std::move(resets);
        made.wants_world = true;
        return made;
    }

    [[nodiscard]] AgentStep answer(const Welcome& given, const Witness& witness) const {
        Hello hello = samples::hello();
        hello.witness = witness;
        AgentSession session(hello, {}, recovery.public_pem);
        (void)session.connected(0);
        return session.received(given, 1);
    }

    [[nodiscard]] std::string refusal(const Welcome& given) const {
        const AgentStep step = answer(given, samples::hello().witness);
        CHECK_FALSE((step.close && step.persist));
        return step.close ? step.close->id() : "";
    }
};

}  // namespace

TEST_CASE("restore: a signed reset of the log that was obeyed replaces it, durably") {
    const World world;
    const Welcome welcome = World::welcome({world.reset(uuid(1), uuid(9))});
    const AgentStep step = world.answer(welcome, samples::hello().witness);
    REQUIRE_FALSE(step.close.has_value());
    REQUIRE(step.persist.has_value());
    CHECK(*step.persist == Witness{uuid(9), 1005, 64, hash(14)});
    CHECK(step.wants_world);
}

TEST_CASE("restore: a chain of resets is followed from the log that was obeyed") {
    const World world;
    CHECK(world.refusal(World::welcome(
              {world.reset(uuid(1), uuid(9)), world.reset(uuid(9), uuid(10), 2004)})) == "");
    CHECK(world.refusal(World::welcome(
              {world.reset(uuid(8), uuid(1), 3), world.reset(uuid(1), uuid(9))})) == "");
    CHECK(world.refusal(World::welcome({world.reset(uuid(1), uuid(9)),
                                        world.reset(uuid(7), uuid(10), 2004)})) == "other_lineage");
}

TEST_CASE("restore: a forged, foreign or missing signature is refused") {
    const World world;
    Welcome forged = World::welcome({world.reset(uuid(1), uuid(9))});
    forged.resets[0].signature[5] ^= 1;
    CHECK(world.refusal(forged) == "other_lineage");
    Welcome foreign = World::welcome({world.reset(uuid(1), uuid(9))});
    foreign.resets[0].signature =
        *sign(world.foreign.key_pem, lineage_reset_message(foreign.resets[0]));
    CHECK(world.refusal(foreign) == "other_lineage");
    Welcome unsigned_one = World::welcome({world.reset(uuid(1), uuid(9))});
    unsigned_one.resets[0].signature.clear();
    CHECK(world.refusal(unsigned_one) == "other_lineage");
    // The last of a chain as well as the first.
    Welcome chain =
        World::welcome({world.reset(uuid(1), uuid(9)), world.reset(uuid(9), uuid(10), 2004)});
    chain.resets[1].signature.clear();
    CHECK(world.refusal(chain) == "other_lineage");
}

TEST_CASE("restore: no field of a signed reset can be changed") {
    const World world;
    const LineageReset good = world.reset(uuid(1), uuid(9));
    std::vector<LineageReset> changed(7, good);
    changed[0].old_head_seq += 1;
    changed[1].old_head_hash = hash(77);
    changed[2].old_epoch += 1;
    changed[3].new_epoch += 1;
    changed[4].at_micros += 1;
    changed[5].by = "operator:eve";
    changed[6].reason += ".";
    for (const LineageReset& reset : changed)
        CHECK(world.refusal(World::welcome({reset})) == "other_lineage");
    LineageReset renamed = good;
    renamed.new_lineage = uuid(50);
    CHECK(world.refusal(World::welcome({renamed})) == "other_lineage");
}

TEST_CASE("restore: a reset of another log, or to another log than this, is refused") {
    const World world;
    CHECK(world.refusal(World::welcome({world.reset(uuid(2), uuid(9))})) == "other_lineage");
    Welcome elsewhere = World::welcome({world.reset(uuid(1), uuid(9))});
    elsewhere.lineage = uuid(50);
    CHECK(world.refusal(elsewhere) == "other_lineage");
}

TEST_CASE("restore: an epoch that is not above the highest seen is refused") {
    const World world;
    CHECK(world.refusal(World::welcome({world.reset(uuid(1), uuid(9), 4)})) ==
          "restore_epoch_too_low");
    CHECK(world.refusal(World::welcome({world.reset(uuid(1), uuid(9), 3)})) ==
          "restore_epoch_too_low");
    CHECK(world.refusal(World::welcome({world.reset(uuid(1), uuid(9), 5)})) == "");
}

TEST_CASE("restore: a reset that was followed already cannot be replayed") {
    const World world;
    const Welcome first = World::welcome({world.reset(uuid(1), uuid(9))});
    const Welcome second =
        World::welcome({world.reset(uuid(1), uuid(9)), world.reset(uuid(9), uuid(10), 2004)});
    const AgentStep moved = world.answer(second, samples::hello().witness);
    REQUIRE(moved.persist.has_value());
    const AgentStep replayed = world.answer(first, *moved.persist);
    REQUIRE(replayed.close.has_value());
    CHECK(replayed.close->id() == "other_lineage");
    // Nor can another restore of the same backup take over what the first one has.
    const Welcome twin = World::welcome({world.reset(uuid(1), uuid(11), 5000)});
    const AgentStep refused =
        world.answer(twin, *world.answer(first, samples::hello().witness).persist);
    REQUIRE(refused.close.has_value());
    CHECK(refused.close->id() == "other_lineage");
}

TEST_CASE("restore: an agent without a recovery key believes no reset") {
    const World world;
    AgentSession session(samples::hello(), {});
    (void)session.connected(0);
    const AgentStep step = session.received(World::welcome({world.reset(uuid(1), uuid(9))}), 1);
    REQUIRE(step.close.has_value());
    CHECK(step.close->id() == "other_lineage");
}

TEST_CASE("restore: after it, an older copy of the new log is refused like any other") {
    const World world;
    const Welcome welcome = World::welcome({world.reset(uuid(1), uuid(9))});
    const Witness now = *world.answer(welcome, samples::hello().witness).persist;
    Welcome older = welcome;
    older.head_seq = now.seq - 1;
    const AgentStep step = world.answer(older, now);
    REQUIRE(step.close.has_value());
    CHECK(step.close->id() == "witness_mismatch");
}

TEST_CASE("restore: work of a job that was planned before it keeps the name of its log") {
    const World world;
    AgentSession session(samples::hello(), {}, world.recovery.public_pem);
    (void)session.connected(0);
    (void)session.received(World::welcome({world.reset(uuid(1), uuid(9))}), 1);
    const auto send = [&](const Uuid& lineage) {
        Effect effect = samples::effects()[0];
        effect.agent = samples::hello().agent;
        effect.id.lineage = lineage;
        EffectWanted wanted = samples::wanted(effect);
        wanted.epoch = 1005;
        wanted.head = {uuid(9), 1005, 66, hash(15)};
        return session.received(wanted, 2);
    };
    CHECK(send(uuid(1)).effects.size() == 1);
    CHECK(send(uuid(9)).effects.size() == 1);
    CHECK(send(uuid(50)).close.has_value());
}

TEST_CASE("restore: the orchestrator shows its resets to whom they may concern, and asks") {
    const World world;
    const std::vector<LineageReset> resets{world.reset(uuid(1), uuid(9))};
    const LogView log{{uuid(9), 1005, 64, hash(14)},
                      [](std::uint64_t) -> std::optional<Hash> { return hash(99); },
                      resets,
                      true};
    OrchestratorSession session(samples::hello().agent);
    (void)session.connected(0);
    const OrchestratorStep step = session.received(samples::hello(), log, 1);
    REQUIRE(step.send.size() == 1);
    const auto* welcome = std::get_if<Welcome>(&step.send[0]);
    REQUIRE(welcome != nullptr);
    CHECK(welcome->resets == resets);
    CHECK(welcome->wants_world);
    CHECK(world.answer(*welcome, samples::hello().witness).welcomed);
    // Of a log that is none of its predecessors, an agent is refused as before.
    OrchestratorSession other(samples::hello().agent);
    (void)other.connected(0);
    Hello stranger = samples::hello();
    stranger.witness.lineage = uuid(50);
    const OrchestratorStep refused = other.received(stranger, log, 1);
    CHECK(refused.close->id() == "other_lineage");
    CHECK(refused.is_older_copy);
}

TEST_CASE("restore: an agent that obeyed another event before the loss shows a fork") {
    const World world;
    LineageReset reset = world.reset(uuid(1), uuid(9));
    const std::vector<LineageReset> resets{reset};
    const LogView log{{uuid(9), 1005, 64, hash(14)},
                      [](std::uint64_t) -> std::optional<Hash> { return hash(99); },
                      resets,
                      true};
    const auto answer_to = [&](std::uint64_t seq, const Hash& seen) {
        Hello hello = samples::hello();
        hello.witness.seq = seq;
        hello.witness.hash = seen;
        OrchestratorSession session(hello.agent);
        (void)session.connected(0);
        const OrchestratorStep step = session.received(hello, log, 1);
        CHECK(step.is_older_copy == step.close.has_value());
        return step.close ? step.close->id() : std::string("welcome");
    };
    REQUIRE(samples::hello().witness.lineage == reset.old_lineage);
    CHECK(answer_to(reset.old_head_seq, hash(99)) == "welcome");
    CHECK(answer_to(reset.old_head_seq, hash(98)) == "log_differs");
    CHECK(answer_to(reset.old_head_seq + 1, hash(98)) == "welcome");  // that one was given up
}

}  // namespace drover::wire
