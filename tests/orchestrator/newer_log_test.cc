// A log that a newer drover wrote: the real droverd refuses to start on it and says what to do,
// and its bytes can still be verified by a program that knows nothing of what they mean.
#include "base/random.h"
#include "droverd_process.h"
#include "eventlog/audit.h"
#include "eventlog/rocksdb_log.h"
#include "history/system_fact.h"
#include "show_results.h"

#include <csignal>

#include <catch2/catch.hpp>

namespace drover::orchestrator::testing {

namespace {

using namespace history;

struct Newer {
    std::string what;
    eventlog::StreamId stream;
    eventlog::NewEvent event;
    std::string error;
    std::string detail;
};

eventlog::NewEvent event_of(std::uint16_t kind, std::uint16_t kind_version, Bytes payload) {
    eventlog::NewEvent event;
    event.kind = kind;
    event.kind_version = kind_version;
    event.actor = "system";
    event.payload = std::move(payload);
    return event;
}

std::vector<Newer> newer_events() {
    const eventlog::StreamId job{eventlog::StreamKind::job, SeededRandom(1).uuid()};
    const auto barrier = new_event(FormatBarrier{reader_version + 1, "waves have plans"});
    const auto started = encode_fact(OrchestratorStarted{1, "drover 9", {}});
    return {{"a barrier", {}, barrier, "format_too_new", "waves have plans"},
            {"a system fact", {}, event_of(1999, 1, {1}), "unknown_event", "kind 1999"},
            {"a job's fact", job, event_of(900, 1, {1}), "unknown_event", "kind 900"},
            {"a version of a system fact",
             {},
             event_of(1000, 9, started),
             "unknown_event",
             "version 9"},
            {"a version of a job's fact", job, event_of(1, 9, {1}), "unknown_event", "version 9"}};
}

/// Writes `event` behind what the log has, as a newer droverd would.
void append(const std::filesystem::path& directory, const Newer& newer) {
    auto log = eventlog::open_rocksdb_log(directory, {0});
    REQUIRE(log);
    const auto epoch = (*log)->raise_epoch(1);
    REQUIRE(epoch);
    const eventlog::Append append{
        newer.stream, (*log)->stream_head(newer.stream).seq, {newer.event}, {}};
    REQUIRE((*log)->append({&append, 1}, *epoch, 1).outcome == eventlog::AppendOutcome::ok);
    REQUIRE((*log)->sync_head());
}

}  // namespace

TEST_CASE("droverd: it refuses a log with what it cannot read, and changes nothing in it") {
    for (const Newer& newer : newer_events()) {
        INFO(newer.what);
        DroverdProcess server;
        REQUIRE(server.init().code == 0);
        REQUIRE(server.start());
        CHECK(server.stop(SIGTERM).code == 0);
        const auto directory = server.state() / "log";
        append(directory, newer);
        const auto before = eventlog::verify_log_directory(directory);
        REQUIRE(before);

        const Exit refused = server.run_another();
        INFO(refused.output);
        CHECK(refused.code == 1);
        CHECK(refused.output.find(newer.error) != std::string::npos);
        CHECK(refused.output.find(newer.detail) != std::string::npos);
        CHECK(refused.output.find("event " + std::to_string(before->last_seq)) !=
              std::string::npos);
        CHECK(refused.output.find("kept: ") != std::string::npos);
        CHECK(refused.output.find("next: start the ") != std::string::npos);

        const auto after = eventlog::verify_log_directory(directory);
        REQUIRE(after);
        CHECK(after->whole());
        CHECK(after->last_seq == before->last_seq);
        CHECK(after->head_hash == before->head_hash);
        CHECK(after->epoch == before->epoch);
    }
}

}  // namespace drover::orchestrator::testing
