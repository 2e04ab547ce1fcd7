#include "schemas/codec.h"

#include "tests/schemas/samples.h"

#include <set>

#include <catch2/catch.hpp>

namespace drover {
namespace {

/// encode(decode(encode(x))) == encode(x), and decode(encode(x)) == x.
template <class Value, class Encode, class Decode>
void check_round_trip(const Value& value, Encode encode_value, Decode decode_value) {
    const Bytes bytes = encode_value(value);
    const auto back = decode_value(bytes);
    INFO((back ? std::string("decoded") : back.error().text()));
    REQUIRE(back.has_value());
    CHECK(*back == value);
    CHECK(encode_value(*back) == bytes);
}

TEST_CASE("codec: every agent message comes back as it was sent, byte for byte") {
    std::set<std::size_t> seen;
    for (const AgentMessage& message : samples::agent_messages()) {
        seen.insert(message.index());
        check_round_trip(
            message, [](const AgentMessage& value) { return encode(value); }, decode_agent_message);
    }
    CHECK(seen.size() == std::variant_size_v<AgentMessage>);
    CHECK(samples::bodies().size() == std::variant_size_v<ReportBody>);
}

TEST_CASE("codec: every orchestrator message comes back as it was sent, byte for byte") {
    std::set<std::size_t> seen;
    for (const OrchestratorMessage& message : samples::orchestrator_messages()) {
        seen.insert(message.index());
        check_round_trip(
            message, [](const OrchestratorMessage& value) { return encode(value); },
            decode_orchestrator_message);
    }
    CHECK(seen.size() == std::variant_size_v<OrchestratorMessage>);
    CHECK(samples::works().size() == std::variant_size_v<EffectWork>);
}

TEST_CASE("codec: stored forms come back as they were written, byte for byte") {
    check_round_trip(samples::spec(), encode_spec, decode_spec);
    check_round_trip(samples::ticket(), encode_ticket, decode_ticket);
    for (const Effect& effect : samples::effects()) {
        check_round_trip(effect, encode_effect, decode_effect);
    }
    for (const Report& report : samples::reports()) {
        check_round_trip(report, encode_report, decode_report);
    }
}

TEST_CASE("codec: zero values survive, as they are trimmed in the canonical form") {
    Welcome welcome;
    welcome.lineage = samples::uuid(0);
    check_round_trip(
        OrchestratorMessage(welcome),
        [](const OrchestratorMessage& value) { return encode(value); },
        decode_orchestrator_message);
    Progress progress;
    progress.disks.resize(disks_max);
    check_round_trip(
        AgentMessage(ProgressMade{progress}),
        [](const AgentMessage& value) { return encode(value); }, decode_agent_message);
}

TEST_CASE("codec: the effect digest depends on the work and on nothing else") {
    Effect effect = samples::effects()[2];
    const Hash digest = effect_digest(effect);
    effect.id.seq += 1;
    effect.job_name = "web-02";
    CHECK(effect_digest(effect) == digest);
    std::get<FenceWork>(effect.work).backlog_bytes_max += 1;
    CHECK(effect_digest(effect) != digest);
}

TEST_CASE("codec: free text is cut to what a decoder accepts, and not inside a character") {
    std::string detail(4095, 'x');
    detail += "\xc3\xa9 and more";  // The two bytes of the character stand at 4095 and 4096.
    const StepFailed failed{Error(Errc::io, "hook_failed", detail)};
    const auto back = decode_report(
        encode_report({samples::uuid(1), samples::effect_id(EffectKind::fence), failed}));
    REQUIRE(back.has_value());
    CHECK(std::get<StepFailed>(back->body).error.detail() == std::string(4095, 'x'));
}

TEST_CASE("codec: what a host says of itself cannot make a report undeliverable") {
    PreflightDone done;
    done.disks = {{"/dev/sda", "WD-\x01\n42", 1, 512, "scan"}};
    const auto back = decode_report(
        encode_report({samples::uuid(1), samples::effect_id(EffectKind::preflight), done}));
    REQUIRE(back.has_value());
    Hello hello = samples::hello();
    hello.host_identity = "no\tid\n";
    CHECK(decode_agent_message(encode(AgentMessage(hello))).has_value());
}

TEST_CASE("codec: a report with as many and as long findings as there may be fits a message") {
    PreflightDone done;
    const std::string text(5000, 'y');
    for (int i = 0; i < 256; ++i) done.findings.push_back({Severity::info, "id", text, text, text});
    for (std::size_t i = 0; i < disks_max; ++i) done.disks.push_back({"/dev/x", "id", 1, 512, ""});
    const Report report{samples::uuid(1), samples::effect_id(EffectKind::preflight), done};
    const Bytes bytes = encode(AgentMessage(ReportMade{report}));
    CHECK(bytes.size() <= message_bytes_max);
    CHECK(decode_agent_message(bytes).has_value());
}

TEST_CASE("model: the signed bytes of a ticket change with every field but the signature") {
    const Ticket base = samples::ticket();
    std::vector<Ticket> variants(9, base);
    variants[0].lineage = samples::uuid(99);
    variants[1].job = samples::uuid(99);
    variants[2].job_name = "web-02";
    variants[3].serial += 1;
    variants[4].source_agent = "other";
    variants[5].target_agent = "other";
    variants[6].disks[1].target = "/c.img";
    variants[7].sizes_bytes[0] += 1;
    variants[8].not_after_micros += 1;
    std::set<Bytes> messages{ticket_message(base)};
    for (const Ticket& ticket : variants) messages.insert(ticket_message(ticket));
    CHECK(messages.size() == variants.size() + 1);
    Ticket unsigned_ticket = base;
    unsigned_ticket.signature.clear();
    CHECK(ticket_message(unsigned_ticket) == ticket_message(base));
    // A boundary between two texts cannot move unnoticed.
    Ticket moved = base;
    moved.source_agent = "sourcet";
    moved.target_agent = "arget";
    CHECK(ticket_message(moved) != ticket_message(base));
}

TEST_CASE("model: the signed bytes of a fence proof change with every field but the signature") {
    const FenceProof base = samples::proof();
    std::vector<FenceProof> variants(6, base);
    variants[0].token = samples::uuid(99);
    variants[1].job = samples::uuid(99);
    variants[2].run += 1;
    variants[3].tracker_seq += 1;
    variants[4].fenced_micros += 1;
    variants[5].certificate_pem += "x";
    std::set<Bytes> messages{fence_proof_message(base)};
    for (const FenceProof& proof : variants) messages.insert(fence_proof_message(proof));
    CHECK(messages.size() == variants.size() + 1);
}

TEST_CASE("model: names go both ways") {
    for (int i = 0; i < 5; ++i) {
        const auto step = static_cast<HookStep>(i);
        CHECK(hook_step_from(name_of(step)) == step);
    }
    CHECK(hook_step_from("pre-fence") == HookStep::pre_fence);
    CHECK_FALSE(hook_step_from("no_such_step").has_value());
    CHECK(effect_text(samples::effect_id(EffectKind::hold_fence)) ==
          samples::uuid(2).hex() + "/77/hold_fence/target");
}

}  // namespace
}  // namespace drover
