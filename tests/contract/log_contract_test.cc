/// One suite over every EventLog. A new implementation adds a fixture type to `Logs`: make it,
/// get() the log, reopen() it as a new process would.
#include "eventlog/audit.h"
#include "eventlog/memory_log.h"
#include "eventlog/rocksdb_log.h"
#include "tests/eventlog/log_testing.h"

#include <tuple>

#include <catch2/catch.hpp>

namespace drover::eventlog {
namespace {

using namespace testing;

class InMemory {
  public:
    EventLog& get() { return log_; }

    void reopen() { log_.restart(); }

  private:
    MemoryLog log_{uuid(1)};
};

class OnRocksDb {
  public:
    OnRocksDb() {
        REQUIRE(create_rocksdb_log(directory_.path(), uuid(1)));
        reopen();
    }

    EventLog& get() { return *log_; }

    void reopen() {
        log_.reset();
        auto opened = open_rocksdb_log(directory_.path(), OpenOptions{.ballast_bytes = 0});
        REQUIRE(opened);
        log_ = std::move(*opened);
    }

  private:
    TemporaryDirectory directory_;
    std::unique_ptr<EventLog> log_;
};

using Logs = std::tuple<InMemory, OnRocksDb>;

constexpr WallMicros noon = 1'700'000'000'000'000;

AppendResult append_one(EventLog& log, const Append& append, WallMicros now = noon) {
    return log.append(std::span(&append, 1), log.head().epoch, now);
}

/// Three events of job 1 and two of job 2, in turn, in epoch 1.
void fill(EventLog& log) {
    REQUIRE(log.raise_epoch(noon));
    const std::vector<Append> batch = {append_to(job(1), 0), append_to(job(2), 0),
                                       append_to(job(1), 1, 2), append_to(job(2), 1)};
    REQUIRE(log.append(batch, 1, noon).outcome == AppendOutcome::ok);
}

TEMPLATE_LIST_TEST_CASE("log: a new log is at position 0 of its lineage", "[log]", Logs) {
    TestType fixture;
    const Head head = fixture.get().head();
    CHECK(head.lineage == uuid(1));
    CHECK(head.seq == 0);
    CHECK(head.hash.is_zero());
    CHECK(head.epoch == 0);
    CHECK(all_events(fixture.get()).empty());
    CHECK(fixture.get().stream_head(job(1)).seq == 0);
    CHECK(fixture.get().free_bytes() > 0);
}

TEMPLATE_LIST_TEST_CASE("log: an appended event is read back as it was given, also after a restart",
                        "[log]", Logs) {
    TestType fixture;
    REQUIRE(fixture.get().raise_epoch(noon));
    Append append = append_to(job(1), 0);
    append.events[0].cause = 5;
    const AppendResult result = append_one(fixture.get(), append);
    REQUIRE(result.outcome == AppendOutcome::ok);
    fixture.reopen();
    const auto records = all_events(fixture.get());
    REQUIRE(records == result.records);
    const Record& record = records.at(0);
    CHECK(record.seq == 1);
    CHECK(record.stream == job(1));
    CHECK(record.stream_seq == 1);
    CHECK(record.kind == 7);
    CHECK(record.kind_version == 2);
    CHECK(record.wall_micros == noon);
    CHECK_FALSE(record.clock_stepped);
    CHECK(record.epoch == 1);
    CHECK(record.command_id == uuid(200));
    CHECK(record.actor == "operator:kim");
    CHECK(record.cause == 5);
    CHECK(as_text(record.payload) == "payload 1");
}

TEMPLATE_LIST_TEST_CASE("log: an append at another position is a conflict and writes nothing",
                        "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    const Head before = fixture.get().head();
    for (const StreamSeq wrong : {0U, 2U, 4U, 0xffffffffU}) {
        const AppendResult result = append_one(fixture.get(), append_to(job(1), wrong));
        CHECK(result.outcome == AppendOutcome::conflict);
        CHECK(result.error.code() == Errc::conflict);
        CHECK(result.records.empty());
    }
    CHECK(fixture.get().head() == before);
    CHECK(append_one(fixture.get(), append_to(job(1), 3)).outcome == AppendOutcome::ok);
}

TEMPLATE_LIST_TEST_CASE("log: a batch over several streams is written whole or not at all", "[log]",
                        Logs) {
    TestType fixture;
    fill(fixture.get());
    const Head before = fixture.get().head();
    const std::vector<Append> one_wrong = {append_to(job(1), 3), append_to(job(2), 9),
                                           append_to(job(3), 0)};
    CHECK(fixture.get().append(one_wrong, 1, noon).outcome == AppendOutcome::conflict);
    fixture.reopen();
    CHECK(fixture.get().head() == before);
    CHECK(fixture.get().stream_head(job(1)).seq == 3);
    CHECK(fixture.get().stream_head(job(3)).seq == 0);
}

TEMPLATE_LIST_TEST_CASE("log: a stream may come twice in a batch and goes on where it was", "[log]",
                        Logs) {
    TestType fixture;
    fill(fixture.get());
    CHECK(fixture.get().stream_head(job(1)).seq == 3);
    CHECK(fixture.get().stream_head(job(2)).seq == 2);
    const std::vector<Append> stale = {append_to(job(1), 3), append_to(job(1), 3)};
    CHECK(fixture.get().append(stale, 1, noon).outcome == AppendOutcome::conflict);
}

TEMPLATE_LIST_TEST_CASE("log: a writer of another epoch is fenced", "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    const auto raised = fixture.get().raise_epoch(noon);
    REQUIRE(raised);
    CHECK(*raised == 2);
    const Append append = append_to(job(1), 3);
    for (const Epoch wrong : {0U, 1U, 3U}) {
        const auto result = fixture.get().append(std::span(&append, 1), wrong, noon);
        CHECK(result.outcome == AppendOutcome::fenced);
        CHECK(result.error.code() == Errc::denied);
    }
    fixture.reopen();
    CHECK(fixture.get().head().epoch == 2);
    CHECK(fixture.get().head().seq == 5);
    CHECK(fixture.get().append(std::span(&append, 1), 2, noon).outcome == AppendOutcome::ok);
}

TEMPLATE_LIST_TEST_CASE("log: every event carries the hash of the one before it", "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    Hash before;
    for (const Record& record : all_events(fixture.get())) {
        CHECK(record.prev_hash == before);
        CHECK(record.hash == record_hash(record));
        before = record.hash;
    }
    CHECK(fixture.get().head().hash == before);
}

TEMPLATE_LIST_TEST_CASE("log: every stream is a chain of its own", "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    fixture.reopen();
    for (const StreamId& stream : {job(1), job(2)}) {
        StreamHead before;
        for (const Record& record : stream_events(fixture.get(), stream)) {
            CHECK(record.stream == stream);
            CHECK(record.stream_seq == before.seq + 1);
            CHECK(record.prev_stream_hash == before.hash);
            before = {record.stream_seq, record.hash};
        }
        CHECK(fixture.get().stream_head(stream).seq == before.seq);
        CHECK(fixture.get().stream_head(stream).hash == before.hash);
    }
    CHECK(stream_events(fixture.get(), job(9)).empty());
}

TEMPLATE_LIST_TEST_CASE("log: streams of another kind with the same id are other streams", "[log]",
                        Logs) {
    TestType fixture;
    fill(fixture.get());
    const StreamId wave{StreamKind::wave, job(1).id};
    CHECK(append_one(fixture.get(), append_to(wave, 0)).outcome == AppendOutcome::ok);
    CHECK(fixture.get().stream_head(wave).seq == 1);
    CHECK(fixture.get().stream_head(job(1)).seq == 3);
}

TEMPLATE_LIST_TEST_CASE("log: reading starts in the middle and stops when told", "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    const auto all = all_events(fixture.get());
    const auto tail = all_events(fixture.get(), 4);
    REQUIRE(tail.size() == 2);
    CHECK(tail[0] == all[3]);
    CHECK(all_events(fixture.get(), 6).empty());
    CHECK(all_events(fixture.get(), 1'000'000).empty());
    CHECK(stream_events(fixture.get(), job(1), 2).size() == 2);
    CHECK(stream_events(fixture.get(), job(1), 4).empty());
    std::size_t seen = 0;
    const auto stop_at_two = [&](const Record&) { return ++seen < 2; };
    REQUIRE(fixture.get().read(1, stop_at_two));
    CHECK(seen == 2);
    seen = 0;
    REQUIRE(fixture.get().read_stream(job(1), 1, stop_at_two));
    CHECK(seen == 2);
    CHECK(fixture.get().read(0, stop_at_two).error().code() == Errc::invalid);
    CHECK(fixture.get().read_stream(job(1), 0, stop_at_two).error().code() == Errc::invalid);
}

TEMPLATE_LIST_TEST_CASE("log: a clock that goes back is held and the event says so", "[log]",
                        Logs) {
    TestType fixture;
    fill(fixture.get());
    const auto back = append_one(fixture.get(), append_to(job(1), 3), noon - 3'600'000'000);
    REQUIRE(back.outcome == AppendOutcome::ok);
    CHECK(back.records[0].wall_micros == noon);
    CHECK(back.records[0].clock_stepped);
    CHECK(fixture.get().head().wall_micros == noon);
    fixture.reopen();
    const auto on = append_one(fixture.get(), append_to(job(1), 4), noon + 1);
    CHECK(on.records[0].wall_micros == noon + 1);
    CHECK_FALSE(on.records[0].clock_stepped);
}

TEMPLATE_LIST_TEST_CASE("log: the answer to a command is kept with its events, once", "[log]",
                        Logs) {
    TestType fixture;
    fill(fixture.get());
    Append append = append_to(job(1), 3);
    append.answer = CommandAnswer{uuid(77), digest(3), {1, 2, 3}};
    REQUIRE(append_one(fixture.get(), append).outcome == AppendOutcome::ok);
    fixture.reopen();
    const auto found = fixture.get().find_answer(uuid(77));
    REQUIRE(found);
    REQUIRE(found->has_value());
    CHECK(**found == *append.answer);
    const auto absent = fixture.get().find_answer(uuid(78));
    REQUIRE(absent);
    CHECK_FALSE(absent->has_value());

    append.expected_stream_seq = 4;
    const auto again = append_one(fixture.get(), append);
    CHECK(again.outcome == AppendOutcome::conflict);
    CHECK(again.error.id() == "command_answered");
    std::vector<Append> twice = {append_to(job(1), 4), append_to(job(1), 5)};
    twice[0].answer = twice[1].answer = CommandAnswer{uuid(79), digest(3), {}};
    CHECK(fixture.get().append(twice, 1, noon).outcome == AppendOutcome::conflict);
    CHECK(fixture.get().head().seq == 6);
}

TEMPLATE_LIST_TEST_CASE("log: hash_at answers a witness for every position", "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    CHECK(fixture.get().hash_at(0)->is_zero());
    for (const Record& record : all_events(fixture.get()))
        CHECK(*fixture.get().hash_at(record.seq) == record.hash);
    CHECK(fixture.get().hash_at(6).error().code() == Errc::not_found);
}

TEMPLATE_LIST_TEST_CASE("log: what breaks a limit is refused and writes nothing", "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    const Head before = fixture.get().head();
    Append big_payload = append_to(job(1), 3);
    big_payload.events[0].payload.resize(payload_bytes_max + 1);
    Append long_actor = append_to(job(1), 3);
    long_actor.events[0].actor.assign(actor_bytes_max + 1, 'a');
    Append no_event = append_to(job(1), 3, 0);
    Append many_events = append_to(job(1), 3, events_per_append_max + 1);
    Append big_answer = append_to(job(1), 3);
    big_answer.answer = CommandAnswer{uuid(77), digest(3), Bytes(payload_bytes_max + 1)};
    Append answer_to_nothing = append_to(job(1), 3);
    answer_to_nothing.answer = CommandAnswer{};
    for (const Append& append :
         {big_payload, long_actor, no_event, many_events, big_answer, answer_to_nothing}) {
        const auto result = append_one(fixture.get(), append);
        CHECK(result.outcome == AppendOutcome::invalid);
        CHECK(result.error.code() == Errc::invalid);
    }
    CHECK(fixture.get().append({}, 1, noon).outcome == AppendOutcome::invalid);
    CHECK(fixture.get().head() == before);
}

TEMPLATE_LIST_TEST_CASE("log: the greatest payload, actor and batch that are allowed fit", "[log]",
                        Logs) {
    TestType fixture;
    fill(fixture.get());
    Append append = append_to(job(1), 3);
    append.events[0].payload.resize(payload_bytes_max, 0x5a);
    append.events[0].actor.assign(actor_bytes_max, 'a');
    const auto big = append_one(fixture.get(), append);
    REQUIRE(big.outcome == AppendOutcome::ok);
    const Append many = append_to(job(5), 0, events_per_append_max);
    REQUIRE(append_one(fixture.get(), many).outcome == AppendOutcome::ok);
    fixture.reopen();
    CHECK(all_events(fixture.get(), 6).at(0) == big.records[0]);
    CHECK(fixture.get().stream_head(job(5)).seq == events_per_append_max);
}

TEMPLATE_LIST_TEST_CASE("log: it goes on after restarts as if there had been none", "[log]", Logs) {
    TestType fixture;
    fill(fixture.get());
    for (StreamSeq at = 3; at < 8; ++at) {
        const Head before = fixture.get().head();
        REQUIRE(fixture.get().sync_head());
        fixture.reopen();
        CHECK(fixture.get().head() == before);
        REQUIRE(append_one(fixture.get(), append_to(job(1), at)).outcome == AppendOutcome::ok);
    }
    const auto report = verify(fixture.get());
    REQUIRE(report);
    CHECK(report->whole());
    CHECK(report->events == 10);
    CHECK(report->streams == 2);
    CHECK(report->head_hash == fixture.get().head().hash);
}

TEST_CASE("memory log: an append can be made to fail like a broken disk", "[log]") {
    MemoryLog log(uuid(1));
    fill(log);
    log.fail_next_append(AppendFault::conflict);
    CHECK(append_one(log, append_to(job(1), 3)).outcome == AppendOutcome::conflict);
    CHECK(append_one(log, append_to(job(1), 3)).outcome == AppendOutcome::ok);
    for (const bool kept : {false, true}) {
        const Seq before = log.head().seq;
        const StreamSeq at = log.stream_head(job(1)).seq;
        log.fail_next_append(kept ? AppendFault::indeterminate_kept
                                  : AppendFault::indeterminate_lost);
        CHECK(append_one(log, append_to(job(1), at)).outcome == AppendOutcome::indeterminate);
        CHECK(append_one(log, append_to(job(1), at)).outcome == AppendOutcome::indeterminate);
        CHECK(log.read(1, [](const Record&) { return true; }).error().id() == "log_stopped");
        CHECK(log.sync_head().error().id() == "log_stopped");
        CHECK(log.raise_epoch(noon).error().id() == "log_stopped");
        log.restart();
        CHECK(log.head().seq == before + (kept ? 1 : 0));
        CHECK(verify(log)->whole());
    }
}

}  // namespace
}  // namespace drover::eventlog
