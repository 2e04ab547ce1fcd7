#include "history/export_check.h"

#include "base/file.h"
#include "eventlog/merkle.h"
#include "eventlog/record.h"
#include "history/evidence.h"
#include "history/export_file.h"

#include <algorithm>

namespace drover::history {

namespace {

constexpr std::size_t pack_bytes_max = 1U << 30;

}  // namespace

using eventlog::Anchor;
using eventlog::AnchorCover;
using eventlog::Record;
using eventlog::Seq;

ExportCheck::ExportCheck(eventlog::KnownAnchors known, ExportUse use)
    : known_(std::move(known)),
      use_(use) {}

void ExportCheck::see(std::string_view line) {
    if (is_ended_) return find("export_line_damaged", due(), "there are lines after the end");
    const auto parsed = parse_export_line(line);
    // The end signs what stands before it.
    if (!parsed || !std::holds_alternative<ExportEnd>(*parsed))
        digest_.update(as_bytes(line)).update(as_bytes("\n"));
    if (!parsed) return find(parsed.error(), due());
    if (!report_.header && !std::holds_alternative<ExportHeader>(*parsed))
        find("export_line_damaged", due(), "the export does not begin with its header");
    std::visit([this](const auto& known) { see(known); }, *parsed);
}

void ExportCheck::see(const ExportHeader& header) {
    if (report_.header) return find("export_line_damaged", due(), "there is a second header");
    report_.header = header;
    check_key(key_fingerprint(header.key), 0, "the export");
    if (use_ == ExportUse::live && header.job)
        find("event_missing", 0, "the whole log was asked for, and one job came");
    log_anchors_.emplace(header.lineage, known_);
}

void ExportCheck::check_key(const Hash& fingerprint, Seq seq, const std::string& what) {
    report_.keys.insert(fingerprint);
    if (!known_.trusts(fingerprint))
        find("anchor_key_differs", seq,
             what + " is signed by the key " + fingerprint.hex() + ", not by the one given");
}

void ExportCheck::see(const Anchor& anchor) {
    if (const auto checked = check_anchor(anchor); !checked)
        return find(checked.error(), anchor.first_seq);
    check_key(key_fingerprint(anchor.key), anchor.first_seq,
              "the anchor of events " + std::to_string(anchor.first_seq) + " to " +
                  std::to_string(anchor.last_seq));
    if (report_.header && anchor.lineage != report_.header->lineage)
        return find("anchor_damaged", anchor.first_seq, "an anchor is of another log");
    if (!anchors_.empty() && anchors_.rbegin()->second.anchor.last_seq + 1 == anchor.first_seq) {
        if (const auto link = check_anchor_link(anchors_.rbegin()->second.anchor, anchor); !link)
            find(link.error(), anchor.first_seq);
    }
    anchors_.emplace(anchor.last_seq, AnchorCover{anchor, "the export", true});
}

void ExportCheck::see(const ExportEvent& event) {
    ++report_.events;
    const auto record = eventlog::decode_record(event.stored);
    if (!record) return find(record.error(), due());
    if (eventlog::stored_hash(event.stored) != record->hash)
        find("event_damaged", record->seq,
             "event " + std::to_string(record->seq) +
                 ": its bytes do not give the hash stored with it");
    check_order(*record, event);
    check_path(*record, event);
    if (report_.first_seq == 0) report_.first_seq = record->seq;
    report_.last_seq = record->seq;
    if (report_.header && !report_.header->job) log_anchors_->see(record->seq, record->hash);
}

void ExportCheck::check_order(const Record& record, const ExportEvent& event) {
    if (report_.header && report_.header->job) {
        const eventlog::StreamId wanted{eventlog::StreamKind::job, *report_.header->job};
        if (record.stream != wanted)
            find("event_missing", record.seq,
                 "event " + std::to_string(record.seq) + " belongs to another stream");
        else if (const auto link = check_stream_link(record, stream_); !link)
            find(link.error(), record.seq);
        stream_ = {record.stream_seq, record.hash};
        return;
    }
    if (const auto next = chain_.next(event.stored); !next) {
        find(next.error(), std::min(record.seq, chain_.seq() + 1));
        chain_.resume_after(record);
    }
    eventlog::StreamHead& stream = streams_[record.stream];
    if (const auto link = check_stream_link(record, stream); !link) find(link.error(), record.seq);
    stream = {record.stream_seq, record.hash};
}

void ExportCheck::check_path(const Record& record, const ExportEvent& event) {
    const auto found = anchors_.find(event.anchor_last_seq);
    const bool is_inside = found != anchors_.end() &&
                           found->second.anchor.first_seq <= record.seq &&
                           record.seq <= found->second.anchor.last_seq;
    if (!is_inside)
        return find("event_not_anchored", record.seq,
                    "event " + std::to_string(record.seq) + " is covered by no anchor here");
    const Anchor& anchor = found->second.anchor;
    const auto root = eventlog::merkle_root_from(record.hash, record.seq - anchor.first_seq,
                                                 anchor.events(), event.path);
    const bool is_last_right = record.seq != anchor.last_seq || record.hash == anchor.last_hash;
    if (root == anchor.merkle_root && is_last_right) return;
    found->second.holds = false;
    find("event_not_anchored", record.seq,
         "event " + std::to_string(record.seq) + ": its path does not lead to the anchor of " +
             std::to_string(anchor.first_seq) + " to " + std::to_string(anchor.last_seq));
}

void ExportCheck::see(const ExportEnd& end) {
    is_ended_ = true;
    const bool is_complete =
        report_.header && end.events == report_.events && report_.header->events == report_.events;
    if (!is_complete)
        find("export_cut", due(),
             "there are " + std::to_string(report_.events) + " events where the end says " +
                 std::to_string(end.events) + " and the header " +
                 std::to_string(report_.header ? report_.header->events : 0));
    const bool is_signed =
        report_.header && is_signed_by(report_.header->key, export_end_message(end), end.signature);
    // Last: whatever can be named has been named by the checks of single lines.
    if (!is_signed || digest_.finish() != end.digest)
        find("export_end_differs", 0,
             "the end was not signed over these lines: something here was changed");
}

/// Of a whole log the events themselves are compared with every anchor from elsewhere. Of a job too
/// few events are here for that, so its anchors have to be those that others have too.
void ExportCheck::compare_known_anchors() {
    if (!log_anchors_) return;
    const ExportHeader& header = *report_.header;
    const Seq head = header.job ? header.head_seq : report_.last_seq;
    const auto copied = use_ == ExportUse::archive ? std::optional(header.wall_micros)
                                                   : std::optional<WallMicros>();
    const eventlog::AnchorReport elsewhere = log_anchors_->finish(head, copied);
    for (const eventlog::Finding& finding : elsewhere.findings)
        add_finding(report_.findings, finding);
    report_.younger = elsewhere.younger;
    for (const auto& [last_seq, cover] : anchors_) compare(cover.anchor, elsewhere);
}

void ExportCheck::compare(const Anchor& mine, const eventlog::AnchorReport& elsewhere) {
    const std::vector<AnchorCover>& covers = elsewhere.covers;  // ascending by last_seq
    auto at = std::lower_bound(
        covers.begin(), covers.end(), mine.last_seq,
        [](const AnchorCover& cover, Seq seq) { return cover.anchor.last_seq < seq; });
    bool is_confirmed = false;
    const std::string range =
        "events " + std::to_string(mine.first_seq) + " to " + std::to_string(mine.last_seq);
    for (; at != covers.end() && at->anchor.last_seq == mine.last_seq; ++at) {
        const Anchor& theirs = at->anchor;
        const bool is_same_range = theirs.first_seq == mine.first_seq;
        const bool is_same_end = theirs.last_hash == mine.last_hash;
        // The last hash alone says nothing about the leaves from which the paths start.
        const bool is_same_root = theirs.merkle_root == mine.merkle_root;
        if (!is_same_end || (is_same_range && !is_same_root))
            return find("log_contradicts_anchor", mine.first_seq,
                        at->from + " has another anchor for " + range);
        is_confirmed = is_confirmed || is_same_range;
    }
    if (is_confirmed) ++report_.confirmed;
    const Seq known_to = covers.empty() ? 0 : covers.back().anchor.last_seq;
    if (report_.header->job && !is_confirmed && mine.first_seq <= known_to)
        find("event_not_anchored", mine.first_seq,
             "no anchor from elsewhere confirms the one of " + range +
                 "; compare with the file at the second path, which has all of them, or verify an "
                 "export of the whole log");
}

ExportReport ExportCheck::finish() {
    if (!report_.header) find("export_line_damaged", 0, "the export has no header");
    if (!is_ended_) find("export_cut", due(), "the export has no end: it was cut off");
    // There is no log and no job without an event, and nothing would contradict such an export.
    if (report_.events == 0) find("event_missing", 0, "the export holds no event");
    compare_known_anchors();
    for (const auto& [last_seq, cover] : anchors_) report_.covers.push_back(cover);
    return std::move(report_);
}

void ExportCheck::find(const char* id, Seq seq, std::string detail) {
    add_finding(report_.findings, {id, seq, std::move(detail)});
}

void ExportCheck::find(const Error& error, Seq seq) {
    add_finding(report_.findings, {error.id(), seq, error.detail()});
}

Result<ExportReport> verify_export(const std::filesystem::path& path,
                                   eventlog::KnownAnchors known) {
    TRY(const bool is_pack, is_evidence_pack(path));
    std::error_code error;
    const auto size = is_pack ? std::filesystem::file_size(path, error) : 0;
    if (error) return errno_error(error.value(), "look at", path.native());
    if (size > pack_bytes_max)
        return Error(Errc::invalid, "file_too_large",
                     path.native() + " is larger than any evidence pack", "nothing was read",
                     "give the pack that drover audit export wrote");
    ExportCheck check(std::move(known));
    std::vector<std::string> lines;  // of a pack, which is one job and was made in memory too
    const auto read = read_export_lines(path, [&](std::string_view line) -> Result<bool> {
        check.see(line);
        if (is_pack) lines.emplace_back(line);
        return true;
    });
    if (!read && read.error().code() != Errc::corrupt) return read.error();
    ExportReport report = check.finish();
    // Names what was wrong with the file itself before what follows from it.
    if (!read)
        report.findings.insert(report.findings.begin(),
                               {read.error().id(), report.last_seq + 1, read.error().detail()});
    if (is_pack && report.findings.empty()) {
        TRY(const std::string text, read_text(path, pack_bytes_max));
        const auto page = evidence_page(lines);
        if (!page || *page != text)
            add_finding(report.findings,
                        {"pack_text_differs", 0,
                         "the records are whole, but what people read on this page is not what "
                         "this version makes of them; make it anew with drover audit export "
                         "--from"});
    }
    return report;
}

}  // namespace drover::history
