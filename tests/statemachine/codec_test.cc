#include "base/file.h"
#include "samples.h"
#include "scenario.h"

#include <cstdio>
#include <sstream>

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

constexpr const char* golden_path = DROVER_SOURCE_DIR "/tests/golden/events/version-1.txt";

std::uint16_t number_of(const Event& event) {
    return static_cast<std::uint16_t>(kind_of(event));
}

Phase first_phase_of(EventKind kind) {
    unsigned phase = 0;
    while (!next_phase(static_cast<Phase>(phase), kind)) ++phase;
    return static_cast<Phase>(phase);
}

/// The state after `event` happened to the usual job in `phase`; the flags are up before, so that a
/// fact that ends one changes something.
Hash digest_after(const Event& event, Phase phase) {
    Job job;
    job.id = bytes_of(1);
    job.lineage = bytes_of(2);
    if (kind_of(event) != EventKind::job_planned) {
        Scenario scenario = at(phase);
        scenario.given({AgentBack{Side::source}, Parked{}, Quarantined{"why"}});
        if (!is_final(phase)) scenario.given({Paused{"ann", "why"}});
        job = scenario.job();
    }
    REQUIRE(evolve(job, event, {77, bytes_of<Hash>(6), start_micros + second_micros}).has_value());
    return digest_of(job);
}

std::string golden_line(const Event& event, Phase phase) {
    return std::to_string(number_of(event)) + " 1 " + to_hex(encode_event(event)) + " " +
           std::string(name_of(phase)) + " " + digest_after(event, phase).hex() + " " +
           event_json(event);
}

/// The phase that a golden line names: its fourth word.
Phase phase_of(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    for (int i = 0; i < 4; ++i) words >> word;
    unsigned phase = 0;
    while (phase + 1 < phase_count && name_of(static_cast<Phase>(phase)) != word) ++phase;
    return static_cast<Phase>(phase);
}

}  // namespace

TEST_CASE("codec: every fact comes back as it was, and has one encoding") {
    const std::vector<Event> samples = sample_events();
    REQUIRE(samples.size() == event_kind_count);
    for (std::size_t i = 0; i < samples.size(); ++i) {
        INFO(event_json(samples[i]));
        REQUIRE(number_of(samples[i]) == i + 1);
        const Bytes bytes = encode_event(samples[i]);
        const auto back = decode_event(number_of(samples[i]), 1, bytes);
        REQUIRE(back.has_value());
        REQUIRE((*back == samples[i]));
        REQUIRE(encode_event(*back) == bytes);
    }
}

// Each line: kind, kind version, payload in hex, a phase, digest of the state after the fact
// happened in it, JSON. Released lines are never edited: a new kind, or a new version of one, gets
// a new line. To print the lines of the present code: statemachine_test "[print-golden]"
TEST_CASE("codec: released facts keep their bytes, their effect on the state and their JSON") {
    const auto golden = read_text(golden_path, 1U << 20);
    REQUIRE(golden.has_value());
    std::istringstream lines(*golden);
    std::string line;
    for (const Event& event : sample_events()) {
        REQUIRE(std::getline(lines, line));
        const std::string present = golden_line(event, phase_of(line));
        INFO("was: " << line << "\nnow: " << present);
        const bool kept = line == present;
        REQUIRE(kept);
    }
    REQUIRE_FALSE(std::getline(lines, line));
}

TEST_CASE("codec: what a drain read back comes back, and takes no room where it is not known") {
    const Event told = DeltaDrained{12, 345'678, 1 << 30, 4096, 8};
    const auto back = decode_event(number_of(told), 1, encode_event(told));
    REQUIRE(back.has_value());
    CHECK((*back == told));
    CHECK(event_json(told) ==
          R"({"event":"DeltaDrained","batch":12,"bytes":345678,"bytes_read_back":1073741824,)"
          R"("bytes_differed":4096,"bytes_unverified":8})");
    CHECK(encode_event(DeltaDrained{12, 345'678}).size() < encode_event(told).size());
}

TEST_CASE("print the golden lines of the present code", "[.][print-golden]") {
    for (const Event& event : sample_events()) {
        std::puts(golden_line(event, first_phase_of(kind_of(event))).c_str());
    }
}

TEST_CASE("codec: an unknown kind or version is refused, never skipped") {
    const Bytes bytes = encode_event(TestReverted{});
    for (const auto& [kind, version] :
         {std::pair{0, 1}, std::pair{63, 1}, std::pair{7, 0}, std::pair{7, 2}}) {
        const auto event = decode_event(static_cast<std::uint16_t>(kind),
                                        static_cast<std::uint16_t>(version), bytes);
        REQUIRE(event.has_error());
        REQUIRE(event.error().code() == Errc::unsupported);
        REQUIRE(event.error().id() == "unknown_event");
    }
}

TEST_CASE("codec: a payload of another kind, cut short or damaged is corrupt and never crashes") {
    REQUIRE(decode_event(8, 1, encode_event(TestReverted{})).error().code() == Errc::corrupt);
    REQUIRE(decode_event(7, 1, {}).error().id() == "event_unreadable");
    for (const Event& event : sample_events()) {
        const Bytes bytes = encode_event(event);
        for (std::size_t size = 0; size < bytes.size(); size += 8) {
            const auto cut = decode_event(number_of(event), 1, ByteView(bytes).first(size));
            REQUIRE(cut.has_error());
            REQUIRE(cut.error().code() == Errc::corrupt);
        }
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            Bytes damaged = bytes;
            damaged[i] ^= 0x10;
            const auto read = decode_event(number_of(event), 1, damaged);
            if (read.has_error()) REQUIRE(read.error().code() == Errc::corrupt);
        }
    }
}

TEST_CASE("codec: JSON for people escapes what a peer may have written") {
    REQUIRE(event_json(TestReverted{}) == R"({"event":"TestReverted"})");
    const std::string evil = "a\"b\\c\n\x01<\x7f \xc3\xa4 \xff\xc3";
    REQUIRE(
        event_json(GenerationLost{3, evil}) ==
        "{\"event\":\"GenerationLost\",\"disk\":3,\"cause\":\"a\\\"b\\\\c\\u000a\\u0001<\\u007f "
        "\xc3\xa4 \\ufffd\\ufffd\"}");
    REQUIRE(event_json(LimitsChanged{"ann", Limits{5}}) ==
            R"({"event":"LimitsChanged","by":"ann","limits":{"rate_bytes_per_s":5}})");
}

TEST_CASE(
    "decide: texts are kept as a replay will read them, and none can make the log unreadable") {
    Scenario scenario = at(Phase::syncing);
    scenario.when(Pause{}, std::string(5000, 'x'));  // the scenario compares with a replay
    REQUIRE(scenario.job().pause_reason == std::string(4096, 'x'));
    scenario.when(Resume{}).when(Pause{}, std::string("a\0b", 3));
    REQUIRE(scenario.job().pause_reason == "a b");
}

}  // namespace drover::statemachine::testing
