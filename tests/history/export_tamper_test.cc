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
    return {{{"elsewhere", anchors}}, {}};
}

eventlog::KnownAnchors trusting(const SigningSeed& key) {
    return {{}, {key_fingerprint(key.public_key())}};
}

/// The lines under an end that whoever has the key made to fit.
Lines signed_anew(Lines lines, const SigningSeed& key = seed()) {
    auto end = std::get<ExportEnd>(*parse_export_line(lines.back()));
    lines.pop_back();
    end.digest = sha256(as_bytes(text_of(lines)));
    end.signature = key.sign(export_end_message(end));
    lines.push_back(line_of(end));
    return lines;
}

/// The whole log's export as if it were made at `micros`.
ExportReport verified_at(const Lab& lab, const std::vector<Anchor>& anchors, WallMicros micros,
                         ExportUse use) {
    Lines lines = export_of(lab.log, std::vector(lab.anchors.begin(), lab.anchors.end() - 1), 0);
    auto header = std::get<ExportHeader>(*parse_export_line(lines.front()));
    header.wall_micros = micros;
    lines.front() = line_of(header);
    ExportCheck check(known(anchors), use);
    for (const std::string& line : signed_anew(lines)) check.see(line);
    return check.finish();
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
    lines.back() = line_of(end);
    const auto findings = verified(signed_anew(lines, seed(2))).findings;
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

TEST_CASE("export: a root over other events is found although its last event is the right one") {
    const Lab lab;
    Lines lines = export_of(lab.log, lab.anchors, 2);
    // The last event of the job, one before the last of its anchor's.
    const std::string changed = forged(lines[event_lines(lines).back()]);
    const auto record = eventlog::decode_record(event_in(changed).stored);
    const auto records = eventlog::testing::all_events(lab.log);
    Anchor anchor = lab.anchors.back();
    std::vector<Hash> hashes;
    for (Seq seq = anchor.first_seq; seq <= anchor.last_seq; ++seq)
        hashes.push_back(seq == record->seq ? record->hash : records[seq - 1].hash);
    const eventlog::MerkleTree tree(hashes);
    anchor.merkle_root = tree.root();
    sign_anchor(anchor, seed());
    for (const std::size_t at : event_lines(lines)) {
        ExportEvent event = event_in(at == event_lines(lines).back() ? changed : lines[at]);
        const Seq seq = eventlog::decode_record(event.stored)->seq;
        if (seq >= anchor.first_seq) event.path = tree.path(seq - anchor.first_seq);
        lines[at] = line_of(event);
    }
    lines[event_lines(lines).front() - 1] = line_of(anchor);
    lines = signed_anew(lines);
    CHECK(verified(lines).whole());
    const ExportReport report = verified(lines, known(lab.anchors));
    CHECK(has(report.findings, "log_contradicts_anchor"));
    CHECK(first_bad_seq(report.findings) == anchor.first_seq);
}

TEST_CASE("export: the anchors of a job are those that others have, not others over the same") {
    const Lab lab;
    const Lines lines = export_of(lab.log, anchors_of(lab.log, 15), 2);
    CHECK(verified(lines).whole());
    const ExportReport report = verified(lines, known(lab.anchors));
    CHECK(has(report.findings, "event_not_anchored"));
    CHECK(report.confirmed == 0);

    // What the place elsewhere does not have yet it cannot deny.
    const std::vector<Anchor> early(lab.anchors.begin(), lab.anchors.begin() + 2);
    const ExportReport later = verified(export_of(lab.log, lab.anchors, 2), known(early));
    CHECK(later.whole());
    CHECK(later.confirmed == 2);
}

TEST_CASE("export: a log that ends earlier than the anchors kept elsewhere is found") {
    const Lab lab;
    const WallMicros after = lab.anchors.back().wall_micros;
    for (const ExportUse use : {ExportUse::archive, ExportUse::live}) {
        const ExportReport report = verified_at(lab, lab.anchors, after, use);
        CHECK(has(report.findings, "log_shorter_than_anchor"));
        CHECK(first_bad_seq(report.findings) == 49);
        CHECK(report.younger == 0);
    }
}

TEST_CASE("export: an archived one is not blamed for anchors that were made after it") {
    const Lab lab;
    const WallMicros before = lab.anchors.back().wall_micros - 1;
    const ExportReport archived = verified_at(lab, lab.anchors, before, ExportUse::archive);
    CHECK(archived.findings.empty());
    CHECK(archived.younger == 1);
    // Also where one reaches from before its head to behind it.
    const auto longer = anchors_of(lab.log, 60);
    CHECK(verified_at(lab, longer, before, ExportUse::archive).whole());
    CHECK_FALSE(verified_at(lab, longer, before + 1, ExportUse::archive).whole());
    CHECK_FALSE(verified_at(lab, longer, before, ExportUse::live).whole());
}

TEST_CASE("export: a place that knows only another log is said") {
    const Lab lab;
    std::vector<Anchor> other = anchors_of(MemoryLog(lab.log), 16);
    for (Anchor& anchor : other) {
        anchor.lineage = eventlog::testing::uuid(8);
        sign_anchor(anchor, seed());
    }
    other.resize(1);
    for (const std::uint8_t job : {std::uint8_t{0}, std::uint8_t{2}})
        CHECK(has(verified(export_of(lab.log, lab.anchors, job), known(other)).findings,
                  "log_lineage_differs"));
}

TEST_CASE("export: one job, or nothing, is no answer of a server that was asked for its log") {
    const Lab lab;
    ExportCheck check({}, ExportUse::live);
    for (const std::string& line : export_of(lab.log, lab.anchors, 2)) check.see(line);
    CHECK(has(check.finish().findings, "event_missing"));

    Lines empty = export_of(lab.log, lab.anchors, 2);
    auto header = std::get<ExportHeader>(*parse_export_line(empty.front()));
    auto end = std::get<ExportEnd>(*parse_export_line(empty.back()));
    header.events = end.events = 0;
    empty = signed_anew({line_of(header), line_of(end)});
    const auto findings = verified(empty, known(lab.anchors)).findings;
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "event_missing");
}

TEST_CASE("export: a pack that is too large is refused before it is read") {
    const eventlog::testing::TemporaryDirectory directory{eventlog::testing::fast_directory()};
    const auto path = directory.path() / "pack.html";
    REQUIRE(write_file_durably(path, as_bytes("<!DOCTYPE html>\n")));
    std::filesystem::resize_file(path, (1ULL << 30) + 1);
    CHECK(verify_export(path, {}).error().id() == "file_too_large");
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
