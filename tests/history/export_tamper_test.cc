// An export proves itself: whatever is changed in it is found, and the first bad event is named.
#include "eventlog/memory_log.h"
#include "tests/history/audit_lab.h"

namespace {

using namespace drover;
using namespace drover::history;
using namespace drover::history::testing;
using eventlog::MemoryLog;

struct Lab {
    explicit Lab(Seq changed = 0)
        : log(eventlog::testing::uuid(9)) {
        fill(log, 20, changed);
        anchors = anchors_of(log, 16);
    }

    MemoryLog log;
    std::vector<Anchor> anchors;
};

eventlog::KnownAnchors known(const std::vector<Anchor>& anchors) {
    return {{{"elsewhere", anchors}}, std::nullopt};
}

eventlog::KnownAnchors trusting(const SigningSeed& key) {
    return {{}, key_fingerprint(key.public_key())};
}

/// The record on a line of an export, changed and with a hash that fits it again.
std::string forged(const std::string& line) {
    ExportEvent event = event_in(line);
    auto record = eventlog::decode_record(event.stored);
    record->payload.back() ^= 1;
    record->hash = eventlog::record_hash(*record);
    event.stored = eventlog::encode_record(*record);
    return line_of(event);
}

}  // namespace

TEST_CASE("export: a whole log and a single job prove themselves") {
    const Lab lab;
    const ExportReport whole = verified(export_of(lab.log, lab.anchors, 0), known(lab.anchors));
    CHECK(whole.findings.empty());
    CHECK(whole.events == 60);
    CHECK(whole.confirmed == lab.anchors.size());
    for (const auto& cover : whole.covers) CHECK(cover.holds);

    const ExportReport job = verified(export_of(lab.log, lab.anchors, 2), trusting(seed()));
    CHECK(job.findings.empty());
    CHECK(job.events == 20);
    CHECK(job.first_seq == 2);
    CHECK(job.last_seq == 59);
}

TEST_CASE("export: a changed record is found, with and without its hash made to fit") {
    const Lab lab;
    for (const std::uint8_t job : {std::uint8_t{0}, std::uint8_t{2}}) {
        Lines lines = export_of(lab.log, lab.anchors, job);
        const std::size_t at = event_lines(lines).at(7);
        const Seq seq = eventlog::decode_record(event_in(lines[at]).stored)->seq;
        Lines changed = lines;
        ExportEvent event = event_in(lines[at]);
        event.stored[event.stored.size() - 65] ^= 1;  // the last byte of the payload
        changed[at] = line_of(event);
        CHECK(first_bad_seq(verified(changed).findings) == seq);
        CHECK(has(verified(changed).findings, "event_damaged"));

        changed[at] = forged(lines[at]);
        const ExportReport report = verified(changed);
        CHECK(first_bad_seq(report.findings) == seq);
        CHECK(has(report.findings, "event_not_anchored"));
        CHECK(has(report.findings, "stream_chain_broken"));
    }
}

TEST_CASE("export: an event that was dropped from a job is missed") {
    const Lab lab;
    Lines lines = export_of(lab.log, lab.anchors, 1);
    const auto events = event_lines(lines);
    Lines middle = lines;
    middle.erase(middle.begin() + static_cast<std::ptrdiff_t>(events[5]));
    CHECK(has(verified(middle).findings, "stream_chain_broken"));
    CHECK(first_bad_seq(verified(middle).findings) == 19);  // the one that followed it

    Lines first = lines;
    first.erase(first.begin() + static_cast<std::ptrdiff_t>(events.front()));
    CHECK(has(verified(first).findings, "stream_chain_broken"));

    Lines last = lines;
    last.erase(last.begin() + static_cast<std::ptrdiff_t>(events.back()));
    CHECK(has(verified(last).findings, "export_cut"));
}

TEST_CASE("export: a shortened export whose counts were made to fit lacks a signature") {
    const Lab lab;
    Lines lines = export_of(lab.log, lab.anchors, 1);
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(event_lines(lines).back()));
    auto header = std::get<ExportHeader>(*parse_export_line(lines.front()));
    --header.events;
    lines.front() = line_of(header);
    auto end = std::get<ExportEnd>(*parse_export_line(lines.back()));
    --end.events;
    lines.pop_back();
    end.digest = sha256(as_bytes(text_of(lines)));
    end.signature = seed(2).sign(export_end_message(end));
    lines.push_back(line_of(end));
    const auto findings = verified(lines).findings;
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "export_end_differs");
}

TEST_CASE("export: without its end it was cut off") {
    const Lab lab;
    Lines lines = export_of(lab.log, lab.anchors, 0);
    lines.pop_back();
    CHECK(has(verified(lines).findings, "export_cut"));
    CHECK_FALSE(verified({}).whole());
}

TEST_CASE("export: two records that changed places are found") {
    const Lab lab;
    for (const std::uint8_t job : {std::uint8_t{0}, std::uint8_t{3}}) {
        Lines lines = export_of(lab.log, lab.anchors, job);
        const auto events = event_lines(lines);
        std::swap(lines[events[3]], lines[events[4]]);
        const ExportReport report = verified(lines);
        CHECK_FALSE(report.whole());
        // The whole log misses the 4th; a job meets its 5th event (15) where the 4th is due.
        CHECK(first_bad_seq(report.findings) == (job == 0 ? 4 : 15));
    }
}

TEST_CASE("export: a changed Merkle path is found at its event") {
    const Lab lab;
    Lines lines = export_of(lab.log, lab.anchors, 2);
    const std::size_t at = event_lines(lines).at(4);
    const Seq seq = eventlog::decode_record(event_in(lines[at]).stored)->seq;
    ExportEvent event = event_in(lines[at]);
    event.path.at(1).data[0] ^= 1;
    Lines changed = lines;
    changed[at] = line_of(event);
    CHECK(first_bad_seq(verified(changed).findings) == seq);
    CHECK(has(verified(changed).findings, "event_not_anchored"));
    event = event_in(lines[at]);
    event.anchor_last_seq += 16;
    changed[at] = line_of(event);
    CHECK(has(verified(changed).findings, "event_not_anchored"));
}

TEST_CASE("export: another key is found by its fingerprint") {
    const Lab lab;
    const auto forged_anchors = anchors_of(lab.log, 16, seed(2));
    const Lines lines = export_of(lab.log, forged_anchors, 1, seed(2));
    CHECK(verified(lines).whole());
    CHECK(has(verified(lines, trusting(seed(1))).findings, "anchor_key_differs"));
}

TEST_CASE("export: a log that was rewritten as a whole contradicts the anchors kept elsewhere") {
    const Lab lab;
    const Lab rewritten(20);
    for (const std::uint8_t job : {std::uint8_t{0}, std::uint8_t{2}}) {
        const Lines lines = export_of(rewritten.log, rewritten.anchors, job);
        CHECK(verified(lines).whole());
        const ExportReport report = verified(lines, known(lab.anchors));
        CHECK(has(report.findings, "log_contradicts_anchor"));
        CHECK(first_bad_seq(report.findings) == 17);  // where the anchor's events begin
    }
}

TEST_CASE("export: a log that ends earlier than the anchors kept elsewhere is found") {
    const Lab lab;
    MemoryLog shorter(eventlog::testing::uuid(9));
    fill(shorter, 10);
    const Lines lines = export_of(shorter, anchors_of(shorter, 16), 0);
    CHECK(verified(lines).whole());
    const auto findings = verified(lines, known(lab.anchors)).findings;
    CHECK(has(findings, "log_shorter_than_anchor"));
    CHECK(first_bad_seq(findings) == 31);
}

TEST_CASE("export: any changed character is found") {
    const Lab lab;
    const Lines lines = export_of(lab.log, lab.anchors, 1);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        for (std::size_t at = i % 5; at < lines[i].size(); at += 41) {
            Lines changed = lines;
            changed[i][at] = changed[i][at] == '0' ? '1' : '0';
            INFO(lines[i] << " at " << at);
            CHECK_FALSE(verified(changed).whole());
        }
    }
}

TEST_CASE("export: it is made in pages, whatever it is made of") {
    MemoryLog log(eventlog::testing::uuid(9));
    fill(log, 1500);
    const auto anchors = anchors_of(log, eventlog::anchor_events_max);
    auto made = LogExport::start(log, anchors, seed(), {});
    REQUIRE(made);
    std::size_t pages = 0;
    for (bool is_last = false; !is_last; ++pages) {
        const auto page = made->next();
        REQUIRE(page);
        CHECK(page->text.size() < export_page_bytes + 4096);
        is_last = page->is_last;
    }
    CHECK(pages > 4);
    CHECK(verified(export_of(log, anchors, 0)).events == 4500);
    CHECK(verified(export_of(log, anchors, 1)).whole());
}
