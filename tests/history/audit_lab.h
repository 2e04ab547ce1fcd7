/// The small language of the audit tests: a log, its anchors, its export as lines that a test
/// changes.
#pragma once

#include "base/file.h"
#include "base/sha256.h"
#include "eventlog/audit.h"
#include "eventlog/merkle.h"
#include "history/export_check.h"
#include "history/log_export.h"
#include "tests/eventlog/log_testing.h"

#include <catch2/catch.hpp>

namespace drover::history::testing {

using eventlog::Anchor;
using eventlog::EventLog;
using eventlog::Record;
using eventlog::Seq;

[[nodiscard]] inline SigningSeed seed(std::uint8_t number = 1) {
    return SigningSeed(eventlog::testing::digest(number));
}

/// `rounds` times one event for each of three jobs. Event `changed` says something else.
inline void fill(EventLog& log, std::size_t rounds, Seq changed = 0) {
    for (std::size_t round = 0; round < rounds; ++round) {
        for (std::uint8_t number = 1; number <= 3; ++number) {
            const eventlog::StreamId stream = eventlog::testing::job(number);
            auto append = eventlog::testing::append_to(stream, log.stream_head(stream).seq);
            if (log.head().seq + 1 == changed) append.events[0].payload.back() ^= 1;
            const auto now = static_cast<WallMicros>(log.head().seq);
            const auto done = log.append(std::span(&append, 1), log.head().epoch, now);
            REQUIRE(done.outcome == eventlog::AppendOutcome::ok);
        }
    }
}

/// Anchors of `size` events each over the whole log.
[[nodiscard]] inline std::vector<Anchor> anchors_of(const EventLog& log, std::size_t size,
                                                    const SigningSeed& key = seed()) {
    std::vector<Anchor> anchors;
    const auto records = eventlog::testing::all_events(log);
    for (std::size_t first = 0; first < records.size(); first += size) {
        const std::size_t end = std::min(first + size, records.size());
        std::vector<Hash> hashes;
        for (std::size_t i = first; i < end; ++i) hashes.push_back(records[i].hash);
        Anchor anchor;
        anchor.lineage = log.head().lineage;
        anchor.first_seq = first + 1;
        anchor.last_seq = end;
        anchor.last_hash = hashes.back();
        anchor.merkle_root = eventlog::MerkleTree(hashes).root();
        anchor.wall_micros = static_cast<WallMicros>(end);
        if (!anchors.empty()) anchor.previous = anchor_digest(anchors.back());
        sign_anchor(anchor, key);
        anchors.push_back(anchor);
    }
    return anchors;
}

using Lines = std::vector<std::string>;

/// All of an export.
[[nodiscard]] inline Lines lines_of(LogExport& made) {
    std::string text;
    for (bool is_last = false; !is_last;) {
        const auto page = made.next();
        REQUIRE(page);
        text += page->text;
        is_last = page->is_last;
    }
    Lines lines;
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
        lines.push_back(text.substr(at, text.find('\n', at) - at));
    return lines;
}

/// Job 0 is the whole log.
[[nodiscard]] inline Lines export_of(const EventLog& log, const std::vector<Anchor>& anchors,
                                     std::uint8_t job, const SigningSeed& key = seed()) {
    ExportOrder order;
    if (job != 0) order.job = eventlog::testing::job(job).id;
    order.job_name = job == 0 ? "" : "web-0" + std::to_string(job);
    order.software = "drover test";
    auto made = LogExport::start(log, anchors, key, order);
    REQUIRE(made);
    return lines_of(*made);
}

[[nodiscard]] inline ExportReport verified(const Lines& lines,
                                           const eventlog::KnownAnchors& known = {}) {
    ExportCheck check(known);
    for (const std::string& line : lines) check.see(line);
    return check.finish();
}

[[nodiscard]] inline std::string text_of(const Lines& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    return text;
}

/// Positions of the lines of events.
[[nodiscard]] inline std::vector<std::size_t> event_lines(const Lines& lines) {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < lines.size(); ++i)
        if (lines[i].starts_with("{\"event\"")) found.push_back(i);
    return found;
}

[[nodiscard]] inline ExportEvent event_in(const std::string& line) {
    const auto parsed = parse_export_line(line);
    REQUIRE(parsed.has_value());
    return std::get<ExportEvent>(*parsed);
}

[[nodiscard]] inline std::string line_of(const ExportLine& line) {
    std::string text = export_line(line);
    text.pop_back();
    return text;
}

[[nodiscard]] inline bool has(const std::vector<eventlog::Finding>& findings,
                              const std::string& id) {
    for (const eventlog::Finding& finding : findings)
        if (finding.id == id) return true;
    return false;
}

}  // namespace drover::history::testing
