// Small values with a form of their own: times, stored facts, answers, configuration.
#include "base/file.h"
#include "history/system_fact.h"
#include "history/time_text.h"
#include "orchestrator/answer.h"
#include "orchestrator/config.h"
#include "orchestrator/enrolment.h"
#include "orchestrator/problem.h"
#include "show_results.h"
#include "statemachine/state_digest.h"

#include <catch2/catch.hpp>

#include <unistd.h>

namespace drover::orchestrator::testing {

using namespace history;

namespace {

template <class Fixed>
Fixed filled(std::uint8_t value) {
    Fixed out;
    out.data.fill(value);
    return out;
}

std::vector<SystemFact> one_of_each() {
    return {
        OrchestratorStarted{7, "drover 0.1.0", filled<Uuid>(9)},
        AgentTokenCreated{"web", filled<Hash>(1), 1'700'000'000'000'000, "operator:ann"},
        AgentEnrolled{"web", filled<Hash>(1), filled<Hash>(2), {"10.0.0.1", "web.example"}},
        AgentDescribed{"web", filled<Uuid>(3), "machine", "drover 0.1.0", {"source"}, {"a", "b"}},
        FormatBarrier{reader_version, "waves"},
        StateDigest{filled<Uuid>(4), 64, 1, filled<Hash>(5)}};
}

}  // namespace

TEST_CASE("time: what is written is read back, and a time without a zone is refused") {
    CHECK(rfc3339(1'700'000'000'123'456) == "2023-11-14T22:13:20.123456Z");
    CHECK(micros_from_rfc3339("2023-11-14T22:13:20.123456Z") == 1'700'000'000'123'456);
    CHECK(micros_from_rfc3339("2023-11-15T00:13:20+02:00") == 1'700'000'000'000'000);
    CHECK(micros_from_rfc3339("2023-11-14T20:13:20.5-02:00") == 1'700'000'000'500'000);
    for (const char* bad : {"", "2023-11-14", "2023-11-14T22:13:20", "2023-02-30T00:00:00Z",
                            "2023-11-14T24:00:00Z", "2023-11-14T22:13:20.Z", "2023-11-14 22:13:20Z",
                            "2023-11-14T22:13:20.1234567Z", "2023-11-14T22:13:20Zx"}) {
        INFO(bad);
        CHECK_FALSE(micros_from_rfc3339(bad));
    }
}

TEST_CASE("system facts: each is read back as it was stored, and nothing else is") {
    for (const SystemFact& fact : one_of_each()) {
        const auto kind = static_cast<std::uint16_t>(kind_of(fact));
        const std::uint16_t version = kind_version_of(fact);
        Bytes stored = encode_fact(fact);
        CHECK(decode_fact(kind, version, stored).value() == fact);
        CHECK(decode_fact(kind, static_cast<std::uint16_t>(version + 1), stored).error().id() ==
              "unknown_event");
        CHECK(decode_fact(kind, 0, stored).error().id() == "unknown_event");
        for (std::size_t size = 0; size < stored.size(); ++size) {
            CHECK_FALSE(decode_fact(kind, version, ByteView(stored).first(size)));
        }
        stored.push_back(0);
        CHECK(decode_fact(kind, version, stored).error().code() == Errc::corrupt);
    }
    CHECK(decode_fact(1999, 1, {}).error().id() == "unknown_event");
}

TEST_CASE("system facts: what a newer program wrote is refused, with what to do") {
    const FormatBarrier barrier{reader_version + 1, "plans of waves"};
    const auto refused = decode_fact(1004, 1, encode_fact(barrier));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().id() == "format_too_new");
    CHECK(refused.error().detail().find("plans of waves") != std::string::npos);
    CHECK_FALSE(refused.error().kept().empty());
    CHECK_FALSE(refused.error().next().empty());
    const StateDigest digest{Uuid{}, 32, statemachine::digest_version + 1, Hash{}};
    CHECK(decode_fact(1008, 1, encode_fact(digest)).error().id() == "unknown_event");
}

TEST_CASE("system facts: the stored bytes of the first release do not change") {
    // Version 1 of OrchestratorStarted is read for ever and no longer written.
    const auto first = from_hex("0800000007000000000000000100000064");
    CHECK(decode_fact(1000, 1, *first).value() == SystemFact(OrchestratorStarted{7, "d", {}}));
    CHECK(to_hex(encode_fact(OrchestratorStarted{7, "d", filled<Uuid>(9)})) ==
          "0800000007000000000000000100000064"
          "1000000009090909090909090909090909090909");
    CHECK(to_hex(encode_fact(FormatBarrier{2, "w"})) == "0800000002000000000000000100000077");
    CHECK(to_hex(encode_fact(StateDigest{filled<Uuid>(4), 64, 1, filled<Hash>(5)})) ==
          "1000000004040404040404040404040404040404"
          "080000004000000000000000"
          "080000000100000000000000"
          "20000000" +
              filled<Hash>(5).hex());
    CHECK(to_hex(encode_fact(AgentEnrolled{"w", filled<Hash>(1), filled<Hash>(2), {"h"}})) ==
          "0100000077"
          "20000000" +
              filled<Hash>(1).hex() + "20000000" + filled<Hash>(2).hex() +
              "080000000100000000000000"
              "0100000068");
}

TEST_CASE("answers: each is read back as it was stored") {
    Answer answer;
    answer.job = filled<JobId>(4);
    answer.first_seq = 12;
    answer.event_count = 2;
    CHECK(decode_answer(encode_answer(answer)).value() == answer);
    answer.rejected = statemachine::Rejected{"id", "detail", "next"};
    CHECK(decode_answer(encode_answer(answer)).value() == answer);
    CHECK_FALSE(decode_answer(Bytes{1, 2, 3}));
}

TEST_CASE("secrets: equal ones are equal, and one bit makes them different") {
    const Hash one = filled<Hash>(1);
    Hash other = one;
    CHECK(equal_secret(one, other));
    other.data[31] ^= 0x80;
    CHECK_FALSE(equal_secret(one, other));
}

TEST_CASE("problems: every class of error has a status") {
    CHECK(status_of(Error(Errc::invalid, "x", "")) == 400);
    CHECK(status_of(Error(Errc::denied, "x", "")) == 403);
    CHECK(status_of(Error(Errc::denied, "token_wrong", "")) == 401);
    CHECK(status_of(Error(Errc::conflict, "version_mismatch", "")) == 412);
    CHECK(status_of(Error(Errc::unavailable, "x", "")) == 503);
    CHECK(status_of(Error(Errc::corrupt, "x", "")) == 500);
    CHECK(title_of("job_not_found") == "Job not found");
}

TEST_CASE("config: known keys are read, anything else is an error with its line") {
    const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                       ("droverd-config-test-" + std::to_string(getpid()));
    const auto read = [&path](const std::string& text) {
        REQUIRE(write_file_durably(path, as_bytes(text)));
        return read_config(path);
    };
    const auto config = read("[listen]\nhttp = \"[::1]:9443\"\n[log]\nreserve_bytes = 1\n");
    REQUIRE(config);
    CHECK(config->http == ListenAddress{"::1", 9443});
    CHECK(config->reserve_bytes == 1);
    CHECK(config->agents == Config{}.agents);
    CHECK(read("\n[listen]\nhtpp = \"x\"\n").error().detail().find("line 3") != std::string::npos);
    CHECK(read("[listen]\nhttp = \"nowhere\"\n").error().id() == "config_invalid");
    CHECK(read("[log]\nreserve_bytes = -1\n").error().id() == "config_invalid");
    CHECK(read("log_level = \"loud\"\n").error().id() == "config_invalid");
    CHECK(read("= 3").error().id() == "config_invalid");
    std::filesystem::remove(path);
}

}  // namespace drover::orchestrator::testing
