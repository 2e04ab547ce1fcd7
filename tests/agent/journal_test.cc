#include "agent/journal.h"

#include "schemas/codec.h"
#include "tests/agent/world.h"

#include <catch2/catch.hpp>

namespace drover::agent {
namespace {

using testing::World;

std::unique_ptr<Journal> open_journal(const std::filesystem::path& path) {
    auto journal = Journal::open(path);
    if (!journal) FAIL(journal.error().text());
    return std::move(*journal);
}

Report report_of(const Effect& effect, std::uint8_t number, ReportBody body = CleanupDone{}) {
    Report report;
    report.report_id.data[0] = number;
    report.effect = effect.id;
    report.body = std::move(body);
    return report;
}

TEST_CASE("journal: what was appended is there after reopening") {
    World w;
    const auto path = w.paths.journal();
    const Effect fence = w.fence(50);
    {
        auto journal = open_journal(path);
        REQUIRE(journal->start(fence, effect_digest(fence)));
        REQUIRE(journal->finish(report_of(fence, 1)));
        REQUIRE(journal->start(w.release(60), effect_digest(w.release(60))));
        REQUIRE(journal->tombstone(w.token));
        REQUIRE(journal->close(w.job, Side::target, 70));
    }
    for (int reopened = 0; reopened < 3; ++reopened) {
        auto journal = open_journal(path);
        REQUIRE(journal->find(fence.id));
        CHECK(journal->find(fence.id)->effect == fence);
        CHECK(journal->find(fence.id)->report == report_of(fence, 1));
        REQUIRE(journal->unfinished().size() == 1);
        CHECK(journal->unfinished()[0].effect.id.kind == EffectKind::release);
        CHECK(journal->unacknowledged() == std::vector{report_of(fence, 1)});
        CHECK(journal->is_tombstoned(w.token));
        CHECK(journal->ownership_seq(w.job, Side::source) == 60);
        CHECK(journal->closed_seq(w.job, Side::target) == 70);
        CHECK(journal->closed_seq(w.job, Side::source) == 0);
    }
}

TEST_CASE("journal: an acknowledged report is not sent again, its outcome stays known") {
    World w;
    const Effect fence = w.fence(50);
    {
        auto journal = open_journal(w.paths.journal());
        REQUIRE(journal->start(fence, effect_digest(fence)));
        REQUIRE(journal->finish(report_of(fence, 1)));
        REQUIRE(journal->acknowledge(report_of(fence, 1).report_id));
    }
    auto journal = open_journal(w.paths.journal());
    CHECK(journal->unacknowledged().empty());
    CHECK(journal->find(fence.id)->report == report_of(fence, 1));
}

TEST_CASE("journal: a torn tail of every length is dropped, nothing before it") {
    World w;
    const auto path = w.paths.journal();
    const Effect fence = w.fence(50);
    std::size_t before = 0;
    {
        auto journal = open_journal(path);
        REQUIRE(journal->start(fence, effect_digest(fence)));
        before = std::filesystem::file_size(path);
        REQUIRE(journal->finish(report_of(fence, 1)));
    }
    const Bytes whole = *read_file(path);
    for (std::size_t length = before; length < whole.size(); ++length) {
        REQUIRE(write_file_durably(path, ByteView(whole).first(length)));
        auto journal = open_journal(path);
        REQUIRE(journal->unfinished().size() == 1);
    }
    Bytes zeroes = whole;
    zeroes.resize(before);
    zeroes.resize(before + 4096);
    REQUIRE(write_file_durably(path, zeroes));
    CHECK(open_journal(path)->unfinished().size() == 1);
}

TEST_CASE("journal: a flipped byte before the last record refuses the start") {
    World w;
    const auto path = w.paths.journal();
    const Effect fence = w.fence(50);
    std::size_t before = 0;
    {
        auto journal = open_journal(path);
        REQUIRE(journal->start(fence, effect_digest(fence)));
        before = std::filesystem::file_size(path);
        REQUIRE(journal->finish(report_of(fence, 1)));
    }
    const Bytes whole = *read_file(path);
    for (std::size_t at = 0; at < before; ++at) {
        Bytes damaged = whole;
        damaged[at] ^= 0x40;
        REQUIRE(write_file_durably(path, damaged));
        auto journal = Journal::open(path);
        INFO(at);
        REQUIRE_FALSE(journal.has_value());
        CHECK(journal.error().id() == "journal_damaged");
    }
}

TEST_CASE("journal: only the newest data state waits, other observations all do") {
    World w;
    auto journal = open_journal(w.paths.journal());
    const Effect replicate = w.replicate(40, Side::source);
    REQUIRE(journal->observe(report_of(replicate, 1, DataStateNow{DataState::mirroring, {}, 1})));
    REQUIRE(journal->observe(report_of(replicate, 2, MirrorDone{})));
    REQUIRE(journal->observe(report_of(replicate, 3, DataStateNow{DataState::in_sync, {}, 0})));
    const auto waiting = journal->unacknowledged();
    REQUIRE(waiting.size() == 2);
    CHECK(waiting[0].report_id.data[0] == 2);
    CHECK(waiting[1].report_id.data[0] == 3);
}

TEST_CASE("journal: finished and acknowledged entries are bounded per job and side") {
    World w;
    {
        auto journal = open_journal(w.paths.journal());
        for (std::uint8_t i = 1; i <= 100; ++i) {
            const Effect drain = w.drain(i);
            REQUIRE(journal->start(drain, effect_digest(drain)));
            REQUIRE(journal->finish(report_of(drain, i)));
            REQUIRE(journal->acknowledge(report_of(drain, i).report_id));
        }
    }
    auto journal = open_journal(w.paths.journal());
    CHECK_FALSE(journal->find(w.drain(36).id));
    CHECK(journal->find(w.drain(37).id));
    CHECK(journal->find(w.drain(100).id));
}

}  // namespace
}  // namespace drover::agent
