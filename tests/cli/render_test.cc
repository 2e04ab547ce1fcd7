#include "cli/render.h"

#include <catch2/catch.hpp>

using namespace drover;
using namespace drover::cli;

namespace {

Json json(std::string_view text) {
    auto parsed = Json::parse(text);
    REQUIRE(parsed.has_value());
    return *parsed;
}

constexpr const char* holding_job = R"({
  "name":"web-01","id":"6f1c","phase":"holding","data_state":"in_sync","data_state_since":"2026-11-22T20:40:00Z",
  "backlog_bytes":0,"paused":false,"parked":null,"quarantined":null,"version":21,"plan_hash":"ab12","run":1,
  "source_agent":"old","target_agent":"new",
  "disks":[{"source":"/dev/sdb","target":"/dev/vdb","size_bytes":1073741824,"tracker":"ebpf"},
           {"source":"/dev/sdc","target":"/dev/vdc","size_bytes":1048576,"tracker":"scan"}],
  "hooks":{"pre-fence":"stop-app","validate":"check-app"},"limits":{"rate_bytes_per_s":0},
  "phase_since":"2026-11-22T20:41:07Z","armed_at":null,"outage_deadline":null,
  "hold_deadline":"2026-11-27T20:41:07Z","decision_overdue":false,"activated_at":"2026-11-22T20:41:05Z",
  "target_bytes_written":4096,
  "certificate":{"comparison":"during_hold","complete":true,"waived":false,"differs":false,"disks":[
    {"compared_bytes":1073741824,"induction_bytes":0,"skipped_bytes":0,"source_root":"aa","target_root":"aa"},
    {"compared_bytes":1048576,"induction_bytes":4096,"skipped_bytes":8192,"source_root":"bb","target_root":"cc"}]},
  "fence":{"token":"5e","tracker_seq":99,"fenced_at":"2026-11-22T20:41:00Z"},"rollback":null,
  "agents":{"source":{"connected":true},"target":{"connected":false}},
  "allowed_actions":["commit","rollback"],
  "waiting_for":[{"on":"operator","for":"commit or rollback","since":"2026-11-22T20:41:07Z",
                  "deadline":"2026-11-27T20:41:07Z"}],"as_of_seq":81})";

constexpr const char* parked_job = R"({
  "name":"db-02","phase":"ready","data_state":"idle","backlog_bytes":0,"paused":false,"version":3,
  "parked":{"step":"preflight","id":"target_not_blank","detail":"/dev/vdb has an ext4 signature",
            "kept":"nothing was written","next":"drover-agent expose --override-not-blank","since":"T1"},
  "source_agent":"old","target_agent":"new","disks":[],"limits":{"rate_bytes_per_s":1048576},"as_of_seq":9})";

}  // namespace

TEST_CASE("render: job show names the two axes, the proof and what the job waits for") {
    CHECK(render_job(json(holding_job)) ==
          "web-01  holding\n"
          "  phase         holding since 2026-11-22T20:41:07Z\n"
          "  data          in_sync since 2026-11-22T20:40:00Z, backlog 0 B\n"
          "  source        old (connected)\n"
          "  target        new (not connected)\n"
          "  disk          /dev/sdb -> /dev/vdb  1.0 GiB  tracked by ebpf\n"
          "  disk          /dev/sdc -> /dev/vdc  1.0 MiB  tracked by scan\n"
          "  hooks         pre-fence=stop-app, validate=check-app\n"
          "  rate limit    none\n"
          "  run           1\n"
          "  fence         5e at 2026-11-22T20:41:00Z, tracker seq 99\n"
          "  proof         disk 0: 1.0 GiB equal, SHA-256 root aa; 0 B by induction alone\n"
          "  proof         disk 1: 1.0 MiB DIFFERENT, source root bb; 4.0 KiB by induction alone, "
          "8.0 KiB free and not copied\n"
          "  comparison    during_hold\n"
          "  activated     2026-11-22T20:41:05Z\n"
          "  target wrote  4.0 KiB since activation; a rollback in mode discard loses it\n"
          "  hold until    2026-11-27T20:41:07Z\n"
          "  waiting       on operator for commit or rollback since 2026-11-22T20:41:07Z, until "
          "2026-11-27T20:41:07Z\n"
          "  allowed       commit, rollback\n"
          "  plan hash     ab12\n"
          "  version       21, as of seq 81\n");
}

TEST_CASE("render: a parked job says what is kept and what to do") {
    CHECK(
        render_job(json(parked_job)) ==
        "db-02  ready, parked\n"
        "  phase         ready\n"
        "  data          idle, backlog 0 B\n"
        "  source        old\n"
        "  target        new\n"
        "  rate limit    1.0 MiB/s\n"
        "  parked        at preflight since T1: target_not_blank: /dev/vdb has an ext4 signature\n"
        "    kept        nothing was written\n"
        "    next        drover-agent expose --override-not-blank\n"
        "  version       3, as of seq 9\n");
}

TEST_CASE("render: job list is one line a job") {
    CHECK(render_jobs(json(std::string(R"({"items":[)") + holding_job + "," + parked_job + "]}")) ==
          "NAME    PHASE    DATA     BACKLOG  SOURCE  TARGET  FLAGS\n"
          "web-01  holding  in_sync  0 B      old     new     -\n"
          "db-02   ready    idle     0 B      old     new     parked:target_not_blank\n");
    CHECK(render_jobs(json(R"({"items":[]})")).empty());
}

TEST_CASE("render: job history is one line a fact, its plain members as key=value") {
    CHECK(
        render_history(json(
            R"({"items":[{"seq":5,"stream_seq":1,"time":"T1","event":"JobPlanned","by":"operator:ann",
                            "epoch":1,"data":{"spec":{"name":"x"}}},
                           {"seq":11,"stream_seq":2,"time":"T2","event":"SourceFenced","by":"agent:old",
                            "epoch":1,"data":{"token":"5e","tracker_seq":99,"note":""}}]})")) ==
        "SEQ  TIME  EVENT         CAUSE  BY            DETAILS\n"
        "5    T1    JobPlanned    -      operator:ann  -\n"
        "11   T2    SourceFenced  -      agent:old     token=5e tracker_seq=99\n");
}

TEST_CASE("render: job points has one line a point, or says why there is none") {
    CHECK(render_points(json(
              R"({"job":"web-01","items":[{"point":7,"taken_at":"T1","kind":"crash-consistent"},
                           {"point":12,"taken_at":"T2","kind":"application-consistent"}],
                  "journal_lag_bytes":4096,"as_of":"T3"})")) ==
          "POINT  TAKEN  KIND\n"
          "7      T1     crash-consistent\n"
          "12     T2     application-consistent\n"
          "as of T3, 4.0 KiB not on the disks yet\n");
    CHECK(render_points(json(R"({"job":"web-01","items":[]})")).find("no points") == 0);
}

TEST_CASE("render: job why gives every refusal with its next step") {
    CHECK(render_why(json(
              R"({"job":"web-01","phase":"syncing",
                  "waiting_for":[{"on":"agent old","for":"replicate","since":"T1","deadline":null}],
                  "outstanding":[{"kind":"replicate","side":"source","agent":"old","id":"i","taken":true},
                                 {"kind":"replicate","side":"target","agent":"new","id":"j","taken":false}],
                  "last_rejection":{"action":"cutover","id":"cutover_lagging","detail":"backlog 9.0 MiB"},
                  "why_not":[{"action":"commit","id":"not_holding","detail":"only a held job",
                              "next":"cut over first"}],"as_of_seq":12})")) ==
          "web-01  syncing\n"
          "  waiting       on agent old for replicate since T1\n"
          "  outstanding   replicate at old (source), taken\n"
          "  outstanding   replicate at new (target), not taken yet\n"
          "  last refusal  cutover: cutover_lagging: backlog 9.0 MiB\n"
          "  not allowed   commit: not_holding: only a held job\n"
          "    next        cut over first\n"
          "  as of seq     12\n");
}

TEST_CASE("render: progress sums the disks and rounds down") {
    CHECK(render_progress(json(
              R"({"progress":{"source":{"disks":[
                    {"size_bytes":1073741824,"mirrored_bytes":1073741823,"backlog_bytes":4096},
                    {"size_bytes":1073741824,"mirrored_bytes":1073741824,"backlog_bytes":0}],
                  "rate_bytes_per_s":52428800,"passes":3,"bytes_sent_mirror":1048576,"bytes_sent_sync":8192,
                  "bytes_changed":8192,"detail":""}}})")) ==
          "99% of 2.0 GiB, backlog 4.0 KiB, 50.0 MiB/s, pass 3, sent 1.0 MiB mirror + 8.0 KiB sync "
          "for 8.0 "
          "KiB changed");
    CHECK(render_progress(json(holding_job)).empty());
}

TEST_CASE("render: audit and replay name the mismatch") {
    CHECK(
        render_audit(json(
            R"({"ok":false,"events":10,"streams":2,"head":{"seq":10,"hash":"h","epoch":3,"lineage":"l"},
                  "first_bad":{"seq":4,"detail":"hash differs"}})")) ==
        "MISMATCH: the record is not what was written\n"
        "  events   10 in 2 streams\n"
        "  head     seq 10, epoch 3, hash h\n"
        "  lineage  l\n"
        "  first bad  seq=4 detail=hash differs\n");
    CHECK(render_replay(json(R"({"ok":true,"jobs":2,"events":40,"differences":[]})")) ==
          "ok: the replayed state equals the live one\n"
          "  40 events, 2 jobs\n");
}

TEST_CASE("render: text from the server cannot drive the terminal") {
    const auto list =
        json("{\"items\":[{\"name\":\"\\u001b[31mred\\u0007\",\"phase\":\"ready\"}]}");
    CHECK(render_jobs(list).find('\033') == std::string::npos);
    CHECK(render_jobs(list).find('\a') == std::string::npos);
}

TEST_CASE("render: the next step follows the state") {
    CHECK(next_step(json(R"({"name":"a","phase":"planned"})")) ==
          "drover job watch a --until ready");
    CHECK(next_step(json(R"({"name":"a","phase":"syncing","data_state":"catching_up"})")) ==
          "drover job watch a --until in_sync");
    CHECK(next_step(json(R"({"name":"a","phase":"syncing","data_state":"in_sync"})")) ==
          "drover job cutover a");
    CHECK(next_step(json(R"({"name":"a","phase":"syncing","paused":true})")) ==
          "drover job resume a");
    CHECK(next_step(json(holding_job)) ==
          "drover job commit web-01 --confirm web-01, or drover job rollback web-01");
    CHECK(next_step(json(parked_job)) == "drover-agent expose --override-not-blank");
    CHECK(next_step(json(R"({"name":"a","phase":"committed"})")).empty());
}
