// The evidence pack and the table: everything from the records, nothing that a browser would run.
#include "history/evidence.h"

#include "eventlog/memory_log.h"
#include "history/export_file.h"
#include "history/export_table.h"
#include "statemachine/codec.h"
#include "tests/history/audit_lab.h"
#include "tests/statemachine/samples.h"

namespace {

using namespace drover;
using namespace drover::history;
using namespace drover::history::testing;

constexpr const char* hostile = "</pre><!-- end of drover-export --><script>alert('1')</script>\"&";

/// A job in whose history every kind of event stands, and words that want to be markup.
struct Lab {
    Lab()
        : log(eventlog::testing::uuid(9)) {
        auto events = statemachine::testing::sample_events();
        events.push_back(statemachine::Paused{hostile, hostile});
        events.push_back(statemachine::RollbackStarted{statemachine::RollbackMode::discard,
                                                       "operator:kim", "operator",
                                                       "=all of \"it\"\n<b>"});
        eventlog::Append append;
        append.stream = eventlog::testing::job(1);
        for (const statemachine::Event& event : events) {
            eventlog::NewEvent out;
            out.kind = static_cast<std::uint16_t>(kind_of(event));
            out.kind_version = statemachine::event_version;
            out.actor = std::string("operator:") + hostile;
            out.actor.resize(std::min<std::size_t>(out.actor.size(), eventlog::actor_bytes_max));
            out.payload = statemachine::encode_event(event);
            append.events.push_back(std::move(out));
        }
        const auto done = log.append(std::span(&append, 1), 0, 1'700'000'000'000'000);
        REQUIRE(done.outcome == eventlog::AppendOutcome::ok);
        ExportOrder order;
        order.job = append.stream.id;
        order.job_name = hostile;
        order.software = hostile;
        auto made = LogExport::start(log, anchors_of(log, 16), seed(), order);
        REQUIRE(made);
        lines = lines_of(*made);
    }

    [[nodiscard]] std::filesystem::path write(const std::string& text) const {
        const auto path = directory.path() / "file";
        REQUIRE(write_file_durably(path, as_bytes(text)));
        return path;
    }

    [[nodiscard]] std::string table(const Lines& of) const {
        std::string csv;
        REQUIRE(render_csv(write(text_of(of)), [&](std::string_view text) -> Result<> {
            csv += text;
            return {};
        }));
        return csv;
    }

    eventlog::MemoryLog log;
    Lines lines;
    eventlog::testing::TemporaryDirectory directory{eventlog::testing::fast_directory()};
};

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++found;
    return found;
}

}  // namespace

TEST_CASE("evidence: hostile words are shown and never become markup") {
    const Lab lab;
    const auto page = evidence_page(lab.lines);
    REQUIRE(page);
    CHECK(page->find("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;") != page->npos);
    for (const char* forbidden : {"<script", "<b>", "<img", "<iframe", "<link",
                                  "href=", "src=", "url(", "@import", "onload="})
        CHECK(page->find(forbidden) == page->npos);
    CHECK(count(*page, std::string(pack_export_end)) == 1);
    CHECK(count(*page, std::string(pack_export_begin)) == 1);
}

TEST_CASE("evidence: every event stands in the timeline, and what matters in its own table") {
    const Lab lab;
    const std::string page = *evidence_page(lab.lines);
    for (const statemachine::Event& event : statemachine::testing::sample_events())
        CHECK(page.find(std::string(statemachine::name_of(kind_of(event)))) != page.npos);
    for (const char* heading :
         {"Downtime", "Who did what, when and why",
          "Approvals, confirmations and acknowledged losses",
          "Comparison of both disks, and checks", "Findings of the preflights", "Every event",
          "The chain and its anchors", "The export itself"})
        CHECK(page.find("<h2>" + std::string(heading) + "</h2>") != page.npos);
    CHECK(page.find("acknowledged_loss: =all of &quot;it&quot;&#xfffd;&lt;b&gt;") != page.npos);
}

TEST_CASE("evidence: the pack proves itself, and its text is compared with its records") {
    const Lab lab;
    const std::string page = *evidence_page(lab.lines);
    const auto whole = verify_export(lab.write(page), {});
    REQUIRE(whole);
    CHECK(whole->findings.empty());

    std::string text = page;
    text.replace(text.find("Who did what"), 3, "Wha");
    CHECK(has(verify_export(lab.write(text), {})->findings, "pack_text_differs"));

    text = page;
    const std::size_t record = text.find("\"record\":\"", text.find(pack_export_begin));
    text[record + 300] = text[record + 300] == 'A' ? 'B' : 'A';
    CHECK_FALSE(verify_export(lab.write(text), {})->whole());

    CHECK_FALSE(verify_export(lab.write(page.substr(0, page.size() / 2)), {})->whole());
}

TEST_CASE("evidence: a pack is made of one job") {
    const Lab lab;
    const auto lines = export_of(lab.log, anchors_of(lab.log, 16), 0);
    CHECK(evidence_page(lines).error().id() == "not_a_job_export");
}

TEST_CASE("evidence: bytes that are no printable text are replaced") {
    CHECK(html_text("a\x01"
                    "b\xff\xc3\xa4\xe2\x80\xae<") ==
          "a&#xfffd;b&#xfffd;\xc3\xa4&#xfffd;&#xfffd;&#xfffd;&lt;");
}

TEST_CASE("table: one line an event, cells quoted") {
    const Lab lab;
    const std::string csv = lab.table(lab.lines);
    CHECK(csv.starts_with("seq,stream,stream_seq,time,event,by,why,"));
    CHECK(count(csv, "\r\n") == event_lines(lab.lines).size() + 1);
    CHECK(csv.find("acknowledged_loss: =all of \"\"it\"\"") != csv.npos);
}

TEST_CASE("table: what a spreadsheet would take for a formula is text") {
    const Lab lab;
    for (const char* formula : {"=1+1", "+1", "-1", "@sum"}) {
        eventlog::MemoryLog log(eventlog::testing::uuid(9));
        auto append = eventlog::testing::append_to(eventlog::testing::job(1), 0);
        append.events[0].actor = formula;
        REQUIRE(log.append(std::span(&append, 1), 0, 1).outcome == eventlog::AppendOutcome::ok);
        const std::string csv = lab.table(export_of(log, anchors_of(log, 16), 1));
        CHECK(csv.find(std::string(",\"'") + formula + "\",") != csv.npos);
    }
}

TEST_CASE("table: an event of a later version is called by its number") {
    eventlog::MemoryLog log(eventlog::testing::uuid(9));
    auto append = eventlog::testing::append_to(eventlog::testing::job(1), 0);
    append.events[0].kind = 900;
    REQUIRE(log.append(std::span(&append, 1), 0, 1).outcome == eventlog::AppendOutcome::ok);
    const auto lines = export_of(log, anchors_of(log, 16), 1);
    CHECK(verified(lines).whole());
    CHECK(exported_fact(event_in(lines.at(event_lines(lines).front())))->name == "kind 900");
}
