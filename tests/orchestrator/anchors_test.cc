// Anchors: when they are made, what a crash leaves of them, and what a log must never contradict.
#include "orchestrator/anchors.h"

#include "eventlog/memory_log.h"
#include "history/anchor_file.h"
#include "tests/history/audit_lab.h"

#include <filesystem>

namespace {

namespace fs = std::filesystem;

using namespace drover;
using namespace drover::orchestrator;
using drover::eventlog::MemoryLog;
using drover::history::testing::fill;
using drover::history::testing::seed;

struct Lab {
    MemoryLog log{eventlog::testing::uuid(9)};
    eventlog::testing::TemporaryDirectory directory{eventlog::testing::fast_directory()};
    SteadyMillis now_ms = 1'000;

    [[nodiscard]] fs::path own() const { return directory.path() / "anchors.jsonl"; }

    [[nodiscard]] Moment now() const { return {now_ms * 1000, now_ms}; }

    [[nodiscard]] Result<std::unique_ptr<Anchors>> open(const fs::path& copy = {}) const {
        return Anchors::open(log, seed(), {own(), copy}, now());
    }

    [[nodiscard]] std::vector<eventlog::Anchor> stored() const {
        const auto file = history::read_anchor_file(own());
        REQUIRE(file);
        REQUIRE_FALSE(file->is_torn);
        return file->anchors;
    }

    [[nodiscard]] std::string text() const { return read_text(own()).value(); }

    void write(const std::string& contents) const {
        REQUIRE(write_file_durably(own(), as_bytes(contents)));
    }
};

}  // namespace

TEST_CASE("anchors: one is made when 1,024 events wait, and after ten minutes of any") {
    Lab lab;
    const auto anchors = lab.open();
    REQUIRE(anchors);
    fill(lab.log, 341);  // 1,023 events
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().empty());
    fill(lab.log, 1);
    (*anchors)->tick(lab.now());
    REQUIRE(lab.stored().size() == 1);
    CHECK(lab.stored()[0].last_seq == 1024);
    lab.now_ms += anchor_every_ms - 1;
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().size() == 1);
    lab.now_ms += 1;
    (*anchors)->tick(lab.now());
    REQUIRE(lab.stored().size() == 2);
    CHECK(lab.stored()[1].first_seq == 1025);
    CHECK(lab.stored()[1].last_seq == 1026);
    CHECK(check_anchor_link(lab.stored()[0], lab.stored()[1]));
    lab.now_ms += 10 * anchor_every_ms;
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().size() == 2);  // nothing is new
}

TEST_CASE("anchors: the ten minutes begin with the first event that waits") {
    Lab lab;
    const auto anchors = lab.open();
    lab.now_ms += 3 * anchor_every_ms;
    (*anchors)->tick(lab.now());
    fill(lab.log, 1);
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().empty());
    lab.now_ms += anchor_every_ms;
    (*anchors)->tick(lab.now());
    CHECK(lab.stored().size() == 1);
}

TEST_CASE("anchors: on demand everything is covered, in pieces of 1,024, and it verifies") {
    Lab lab;
    fill(lab.log, 1'000);
    const auto anchors = lab.open();
    std::vector<std::string> handed_on;
    (*anchors)->on_made([&](const eventlog::Anchor&, const std::string& line) {
        // Durable before anybody else hears of it.
        CHECK(lab.text().find(line + "\n") != std::string::npos);
        handed_on.push_back(line);
    });
    REQUIRE((*anchors)->make_now(lab.now()));
    CHECK(handed_on.size() == 3);
    CHECK((*anchors)->anchored_seq() == 3'000);
    const auto report = eventlog::verify(lab.log, {{{"own", lab.stored()}}, {}});
    REQUIRE(report);
    CHECK(report->whole());
    CHECK(report->anchors.covered_to == 3'000);
}

TEST_CASE("anchors: a start goes on where the file ends, and cuts off a torn line") {
    Lab lab;
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    const std::string whole = lab.text();
    lab.write(whole + whole.substr(0, 100));
    fill(lab.log, 10);
    const auto again = lab.open();
    REQUIRE(again);
    CHECK(lab.text() == whole);
    REQUIRE((*again)->make_now(lab.now()));
    REQUIRE(lab.stored().size() == 2);
    CHECK(check_anchor_link(lab.stored()[0], lab.stored()[1]));
}

TEST_CASE("anchors: a log that contradicts the last one is not served") {
    Lab lab;
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    Lab shorter;
    fill(shorter.log, 5);
    shorter.write(lab.text());
    CHECK(shorter.open().error().id() == "log_contradicts_anchor");
    Lab rewritten;
    fill(rewritten.log, 10, 8);
    rewritten.write(lab.text());
    CHECK(rewritten.open().error().id() == "log_contradicts_anchor");
}

TEST_CASE("anchors: a damaged file stops a start") {
    Lab lab;
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    const std::string whole = lab.text();
    lab.write("{}\n" + whole);
    CHECK(lab.open().error().id() == "anchor_file_damaged");
    lab.write(whole.substr(whole.find('\n') + 1) + whole.substr(0, whole.find('\n') + 1));
    CHECK(lab.open().error().id() == "anchor_chain_broken");
    std::string changed = whole;
    changed[changed.rfind("\"epoch\":") + 8] = '9';
    lab.write(changed);
    CHECK(lab.open().error().id() == "anchor_damaged");
}

TEST_CASE("anchor copy: it is caught up, and never touched where it differs") {
    Lab lab;
    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    const fs::path away = lab.directory.path() / "away";
    const fs::path copy = away / "anchors.jsonl";
    CHECK(bring_up_to_date(lab.own(), copy).error().code() == Errc::not_found);
    fs::create_directory(away);
    REQUIRE(bring_up_to_date(lab.own(), copy));
    CHECK(read_text(copy).value() == lab.text());

    fill(lab.log, 10);
    REQUIRE((*lab.open())->make_now(lab.now()));
    const std::string torn = lab.text().substr(0, lab.text().size() - 30);
    REQUIRE(write_file_durably(copy, as_bytes(torn)));
    REQUIRE(bring_up_to_date(lab.own(), copy));
    CHECK(read_text(copy).value() == lab.text());

    std::string changed = lab.text();
    changed[20] ^= 1;
    for (const std::string& other : {changed, lab.text() + "more", std::string("x")}) {
        REQUIRE(write_file_durably(copy, as_bytes(other)));
        CHECK(bring_up_to_date(lab.own(), copy).error().id() == "anchor_copy_differs");
        CHECK(read_text(copy).value() == other);
    }
}

TEST_CASE("anchor copy: files of many pieces are compared and continued piece by piece") {
    Lab lab;
    std::string text;
    for (int i = 0; i < 40'000; ++i) text += std::to_string(i) + "\n";
    lab.write(text);
    const fs::path copy = lab.directory.path() / "copy";
    for (const std::size_t there : {std::size_t{0}, std::size_t{65'536}, std::size_t{65'537},
                                    std::size_t{131'071}, text.size()}) {
        REQUIRE(write_file_durably(copy, as_bytes(text.substr(0, there))));
        REQUIRE(bring_up_to_date(lab.own(), copy));
        CHECK(read_text(copy).value() == text);
    }
}

TEST_CASE("anchor copy: a second path that is away is an alarm and stops nothing") {
    Lab lab;
    fill(lab.log, 10);
    const fs::path away = lab.directory.path() / "away";
    const auto anchors = lab.open(away / "anchors.jsonl");
    REQUIRE(anchors);
    REQUIRE((*anchors)->make_now(lab.now()));
    const AnchorCopy& copy = *(*anchors)->copy();
    while (!copy.status().alarm) sleep_ms(1);
    CHECK_FALSE(copy.status().is_current);
    CHECK((*anchors)->anchored_seq() == 30);
    fs::create_directory(away);
    fill(lab.log, 1);
    REQUIRE((*anchors)->make_now(lab.now()));
    while (!copy.status().is_current) sleep_ms(1);
    CHECK_FALSE(copy.status().alarm);
    CHECK(read_text(away / "anchors.jsonl").value() == lab.text());
}
