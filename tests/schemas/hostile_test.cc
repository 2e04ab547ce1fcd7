#include "schemas/codec.h"
#include "schemas/convert.h"
#include "tests/schemas/samples.h"

#include <algorithm>

#include <catch2/catch.hpp>

namespace drover {
namespace {

/// Feeds bytes to every decoder: they may refuse, they must not crash.
void feed(ByteView bytes) {
    (void)decode_agent_message(bytes);
    (void)decode_orchestrator_message(bytes);
    (void)decode_spec(bytes);
    (void)decode_effect(bytes);
    (void)decode_report(bytes);
    (void)decode_ticket(bytes);
}

std::vector<Bytes> all_samples() {
    std::vector<Bytes> out{encode_spec(samples::spec()), encode_ticket(samples::ticket())};
    for (const auto& message : samples::agent_messages()) out.push_back(encode(message));
    for (const auto& message : samples::orchestrator_messages()) out.push_back(encode(message));
    return out;
}

std::string refusal(const Result<AgentMessage>& result) {
    if (result) return "accepted";
    CHECK(result.error().code() == Errc::invalid);
    CHECK(result.error().id() == "bad_message");
    return result.error().detail();
}

/// The bytes of an agent message made by `fill`, which may break every rule.
template <class Fill>
Bytes crafted(Fill fill) {
    capnp::MallocMessageBuilder message(message_bytes_max / 8);  // One segment.
    fill(message.initRoot<schema::AgentMessage>());
    const auto words = capnp::messageToFlatArray(message);
    const auto bytes = words.asBytes();
    return {bytes.begin(), bytes.end()};
}

TEST_CASE("hostile: every truncation of a message is refused") {
    for (const Bytes& sample : all_samples()) {
        for (std::size_t size = 0; size < sample.size(); ++size) {
            const ByteView cut = ByteView(sample).first(size);
            CHECK_FALSE(decode_agent_message(cut).has_value());
            CHECK_FALSE(decode_orchestrator_message(cut).has_value());
        }
    }
}

TEST_CASE("hostile: no flipped bit of a message crashes a decoder") {
    for (Bytes& sample : all_samples()) {
        for (std::size_t at = 0; at < sample.size(); ++at) {
            for (const int mask : {0x01, 0x10, 0x80, 0xff}) {
                sample[at] = static_cast<std::uint8_t>(sample[at] ^ mask);
                feed(sample);
                sample[at] = static_cast<std::uint8_t>(sample[at] ^ mask);
            }
        }
    }
}

TEST_CASE("hostile: bytes after the message are refused") {
    Bytes bytes = encode(AgentMessage(Heartbeat{}));
    bytes.resize(bytes.size() + 8);
    CHECK(refusal(decode_agent_message(bytes)).find("after the message") != std::string::npos);
}

TEST_CASE("hostile: an oversized input is refused unread") {
    const Bytes bytes(message_bytes_max + 8);
    CHECK(refusal(decode_agent_message(bytes)).find("larger") != std::string::npos);
}

TEST_CASE("hostile: a table of too many segments is refused") {
    Bytes bytes;
    put_u32(bytes, 64);  // 65 segments
    bytes.resize(1024);
    CHECK(refusal(decode_agent_message(bytes)).find("segments") != std::string::npos);
}

TEST_CASE("hostile: a message as large as the limit decodes") {
    const std::string text(4096, 'z');
    const Bytes bytes = crafted([&](schema::AgentMessage::Builder root) {
        auto report = root.initReport();
        flat::write(report.initEffect(), samples::effect_id(EffectKind::preflight));
        const Bytes id(16, 1);
        report.setReportId(flat::blob(id));
        auto findings = report.initPreflightDone().initFindings(84);
        for (auto finding : findings) {
            finding.setObject(text);
            finding.setDetail(text);
            finding.setNext(text);
        }
    });
    CHECK(bytes.size() > message_bytes_max - 20'000);
    REQUIRE(bytes.size() <= message_bytes_max);
    CHECK(refusal(decode_agent_message(bytes)) == "accepted");
}

TEST_CASE("hostile: lists longer than their bound are refused") {
    const Bytes roles = crafted([](schema::AgentMessage::Builder root) {
        const Bytes uuid(16, 1);
        auto hello = root.initHello();
        hello.setAgent("source");
        hello.setIncarnation(flat::blob(uuid));
        hello.initRoles(9);
    });
    CHECK(refusal(decode_agent_message(roles)).find("roles") != std::string::npos);
    const Bytes disks = crafted([](schema::AgentMessage::Builder root) {
        const Bytes uuid(16, 1);
        auto progress = root.initProgress();
        progress.setJob(flat::blob(uuid));
        progress.initDisks(33);
    });
    CHECK(refusal(decode_agent_message(disks)).find("disks") != std::string::npos);
    const Bytes worlds = crafted([](schema::AgentMessage::Builder root) {
        root.initWorldFound().initJobs(world_jobs_max + 1);
    });
    CHECK(refusal(decode_agent_message(worlds)).find("jobs") != std::string::npos);
}

/// A Progress whose disk list claims `count` elements without content.
Bytes amplified(std::uint32_t count) {
    Bytes bytes = crafted([](schema::AgentMessage::Builder root) {
        const Bytes uuid(16, 1);
        auto progress = root.initProgress();
        progress.setJob(flat::blob(uuid));
        progress.initDisks(1);
    });
    // The tag of the list: one element (1 << 2), three data words, no pointers.
    const Bytes tag{4, 0, 0, 0, 3, 0, 0, 0};
    const auto found = std::search(bytes.begin(), bytes.end(), tag.begin(), tag.end());
    REQUIRE(found != bytes.end());
    Bytes forged;
    put_u32(forged, count << 2);
    put_u32(forged, 0);
    std::copy(forged.begin(), forged.end(), found);
    return bytes;
}

TEST_CASE("hostile: a short list that claims a billion empty elements is refused") {
    CHECK(refusal(decode_agent_message(amplified(20))) == "accepted");
    CHECK(refusal(decode_agent_message(amplified(0x1fffffff))) != "accepted");
    CHECK(refusal(decode_agent_message(amplified(2000))) != "accepted");
}

TEST_CASE("hostile: many pointers to the same text are refused") {
    // 256 findings of which each has its own 4 KiB would be 3 MiB; here they share one text.
    Bytes bytes = crafted([](schema::AgentMessage::Builder root) {
        auto report = root.initReport();
        flat::write(report.initEffect(), samples::effect_id(EffectKind::preflight));
        const Bytes id(16, 1);
        report.setReportId(flat::blob(id));
        auto findings = report.initPreflightDone().initFindings(200);
        for (auto finding : findings) finding.setDetail("small");
        findings[199].setObject(std::string(4000, 'z'));
    });
    // The structs lie one after the other, each {severity; id, object, detail, next}; the texts
    // follow in the order in which they were set. Point every detail at the large text behind them.
    const Bytes small{'s', 'm', 'a', 'l', 'l', 0, 0, 0};
    const auto first = std::search(bytes.begin(), bytes.end(), small.begin(), small.end());
    REQUIRE(first != bytes.end());
    const auto texts = static_cast<std::size_t>(first - bytes.begin()) / 8;
    const std::size_t structs = texts - 200 * 5;
    const std::size_t large = texts + 200;
    for (std::size_t i = 0; i < 200; ++i) {
        const std::size_t pointer = structs + i * 5 + 3;
        Bytes forged;
        put_u32(forged, static_cast<std::uint32_t>((large - pointer - 1) << 2 | 1));
        put_u32(forged, 4001U << 3 | 2);
        std::copy(forged.begin(), forged.end(),
                  bytes.begin() + static_cast<std::ptrdiff_t>(pointer * 8));
    }
    CHECK(refusal(decode_agent_message(bytes)).find("traversal limit") != std::string::npos);
}

TEST_CASE("hostile: unknown numbers, bad names and wrong lengths are refused by name") {
    const auto refuse = [](auto fill) { return refusal(decode_agent_message(crafted(fill))); };
    const Bytes uuid(16, 1);
    CHECK(refuse([](schema::AgentMessage::Builder root) {
              root.initRefused().setCode(static_cast<schema::ErrorCode>(11));
          }).find("error code") != std::string::npos);
    CHECK(refuse([&](schema::AgentMessage::Builder root) {
              auto progress = root.initProgress();
              progress.setJob(flat::blob(uuid));
              progress.setState(static_cast<schema::DataState>(10));
          }).find("progress state") != std::string::npos);
    CHECK(refuse([&](schema::AgentMessage::Builder root) {
              auto progress = root.initProgress();
              progress.setJob(flat::blob(ByteView(uuid).first(15)));
          }).find("progress job") != std::string::npos);
    for (const char* name : {"", "../etc", "UPPER", "-x", "a b"}) {
        CHECK(refuse([&](schema::AgentMessage::Builder root) {
                  root.initHello().setAgent(name);
              }).find("agent: not a name") != std::string::npos);
    }
    CHECK(refuse([&](schema::AgentMessage::Builder root) {
              root.initRefused().setDetail(std::string(4097, 'x'));
          }).find("error detail") != std::string::npos);
}

TEST_CASE("hostile: an effect whose work is of another kind than its id is refused") {
    Effect effect = samples::effects()[2];
    effect.id.kind = EffectKind::release;
    CHECK_FALSE(decode_effect(encode_effect(effect)).has_value());
}

TEST_CASE("hostile: only work of the orchestrator itself may name no agent") {
    Effect effect = samples::effects()[2];
    effect.agent.clear();
    CHECK_FALSE(decode_effect(encode_effect(effect)).has_value());
}

TEST_CASE("hostile: a ticket must have a size for each disk") {
    Ticket ticket = samples::ticket();
    ticket.sizes_bytes.pop_back();
    CHECK_FALSE(decode_ticket(encode_ticket(ticket)).has_value());
}

TEST_CASE("hostile: paths with control characters are refused") {
    JobSpec spec = samples::spec();
    spec.disks[0].source = "/dev/vda\n/dev/vdb";
    CHECK_FALSE(decode_spec(encode_spec(spec)).has_value());
}

TEST_CASE("hostile: an anchor must be one printable line of bounded length") {
    const auto decodes = [](std::string line) {
        const OrchestratorMessage message = AnchorMade{samples::uuid(1), 5, std::move(line)};
        return decode_orchestrator_message(encode(message)).has_value();
    };
    CHECK(decodes(std::string(anchor_line_bytes_max, 'x')));
    CHECK_FALSE(decodes(std::string(anchor_line_bytes_max + 1, 'x')));
    for (const char* line : {"two\nlines", "tab\t", "\x7f", "\xc3\xa4"}) CHECK_FALSE(decodes(line));
}

TEST_CASE("hostile: a range that overflows is refused") {
    Effect effect = samples::effects()[4];
    std::get<DrainWork>(effect.work).repair = {{0, ~std::uint64_t{0}, 2}};
    CHECK_FALSE(decode_effect(encode_effect(effect)).has_value());
}

}  // namespace

TEST_CASE("hostile: what a host claims to hold has tokens of their length and known words") {
    const Bytes id(16, 1);
    const auto refuse_world = [&](const auto& spoil) {
        return refusal(decode_agent_message(crafted([&](schema::AgentMessage::Builder root) {
            auto world = root.initWorldFound().initJobs(1)[0];
            world.setJob(flat::blob(id));
            world.setFence(flat::blob(id));
            world.setHandoverToken(flat::blob(id));
            spoil(world);
        })));
    };
    CHECK(refuse_world([](schema::JobWorld::Builder) {}) == "accepted");
    const Bytes short_id(15, 1);
    CHECK(refuse_world([&](schema::JobWorld::Builder world) {
              world.setJob(flat::blob(short_id));
          }).find("job") != std::string::npos);
    CHECK(refuse_world([](schema::JobWorld::Builder world) { world.setFence({}); }).find("fence") !=
          std::string::npos);
    CHECK(refuse_world([](schema::JobWorld::Builder world) {
              world.setHandover(static_cast<schema::Handover>(4));
          }).find("handover") != std::string::npos);
    CHECK(refuse_world([](schema::JobWorld::Builder world) {
              world.setJobName("../etc");
          }).find("job name") != std::string::npos);
}

TEST_CASE("hostile: a reset with texts beyond their bound is refused") {
    Welcome welcome = samples::welcome();
    welcome.resets = {samples::lineage_reset(samples::uuid(1), samples::uuid(9))};
    const auto accepted = decode_orchestrator_message(encode(OrchestratorMessage(welcome)));
    REQUIRE(accepted.has_value());
    CHECK(std::get<Welcome>(*accepted) == welcome);
    welcome.resets[0].reason = std::string(reset_text_bytes_max + 1, 'x');
    CHECK_FALSE(decode_orchestrator_message(encode(OrchestratorMessage(welcome))).has_value());
}

}  // namespace drover
