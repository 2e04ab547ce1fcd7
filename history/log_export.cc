#include "history/log_export.h"

#include "base/assert.h"

#include <algorithm>

namespace drover::history {

using eventlog::Anchor;
using eventlog::Record;
using eventlog::Seq;

namespace {

/// The anchors of the log's present lineage, which are the last ones.
std::vector<Anchor> of_lineage(const std::vector<Anchor>& anchors, const Uuid& lineage) {
    const auto first = std::find_if(anchors.begin(), anchors.end(),
                                    [&](const Anchor& a) { return a.lineage == lineage; });
    return {first, anchors.end()};
}

eventlog::StreamId stream_of_job(const JobId& job) {
    return {eventlog::StreamKind::job, job};
}

}  // namespace

Result<LogExport> LogExport::start(const eventlog::EventLog& log,
                                   const std::vector<Anchor>& anchors, const SigningSeed& seed,
                                   ExportOrder order) {
    const std::vector<Anchor> own = of_lineage(anchors, log.head().lineage);
    if (own.empty())
        return Error(Errc::not_found, "nothing_anchored", "no event of this log is anchored",
                     "nothing was changed", "make an anchor first: drover audit anchor");
    ExportHeader header;
    header.lineage = own.back().lineage;
    header.job = order.job;
    header.job_name = std::move(order.job_name);
    header.head_seq = own.back().last_seq;
    header.head_hash = own.back().last_hash;
    header.key = seed.public_key();
    header.software = std::move(order.software);
    header.wall_micros = order.wall_micros;
    LogExport made(log, seed, std::move(header));
    TRY_VOID(made.add_anchors(own));
    return made;
}

/// Chooses the anchors that cover an exported event, and counts the events.
Result<> LogExport::add_anchors(const std::vector<Anchor>& anchors) {
    if (!header_.job) {
        anchors_ = anchors;
        header_.events = header_.head_seq;
        return {};
    }
    auto at = anchors.begin();
    const auto see = [&](const Record& record) {
        if (record.seq > header_.head_seq) return false;
        ++header_.events;
        while (at->last_seq < record.seq) ++at;
        if (anchors_.empty() || anchors_.back().last_seq != at->last_seq) anchors_.push_back(*at);
        return true;
    };
    return log_->read_stream(stream_of_job(*header_.job), 1, see);
}

Result<ExportPage> LogExport::next() {
    ExportPage page;
    if (!is_header_written_) append(header_, page.text);
    is_header_written_ = true;
    while (anchors_written_ < anchors_.size() && page.text.size() < export_page_bytes)
        append(anchors_[anchors_written_++], page.text);
    if (page.text.size() >= export_page_bytes) return page;
    const std::uint64_t before = events_written_;
    TRY_VOID(read_events(page));
    if (events_written_ == before)
        return Error(Errc::corrupt, "event_missing",
                     "the log ends before the event that its anchor names",
                     "the log and its anchors", "keep a copy of both; drover audit verify");
    if (events_written_ == header_.events) finish(page);
    return page;
}

Result<> LogExport::read_events(ExportPage& page) {
    std::optional<Error> failure;
    // One segment's hashes are read for a page at most, so that a page takes a bounded time.
    const std::size_t anchor_before = at_anchor_;
    const auto see = [&](const Record& record) {
        if (record.seq > header_.head_seq) return false;
        const bool is_next_segment = tree_ && record.seq > anchors_[at_anchor_].last_seq;
        if (is_next_segment && at_anchor_ != anchor_before) return false;
        if (const auto added = add_event(record, page); !added) {
            failure = added.error();
            return false;
        }
        return page.text.size() < export_page_bytes;
    };
    const auto from = events_written_ + 1;
    TRY_VOID(header_.job ? log_->read_stream(stream_of_job(*header_.job),
                                             static_cast<eventlog::StreamSeq>(from), see)
                         : log_->read(from, see));
    if (failure) return *failure;
    return {};
}

Result<> LogExport::add_event(const Record& record, ExportPage& page) {
    while (anchors_[at_anchor_].last_seq < record.seq) {
        ++at_anchor_;
        tree_.reset();
    }
    const Anchor& anchor = anchors_[at_anchor_];
    if (!tree_) TRY_VOID(enter(anchor));
    append(ExportEvent{eventlog::encode_record(record), anchor.last_seq,
                       tree_->path(static_cast<std::size_t>(record.seq - anchor.first_seq))},
           page.text);
    ++events_written_;
    return {};
}

/// The tree over the events of one anchor.
Result<> LogExport::enter(const Anchor& anchor) {
    std::vector<Hash> hashes;
    TRY_VOID(log_->read(anchor.first_seq, [&](const Record& record) {
        hashes.push_back(record.hash);
        return record.seq < anchor.last_seq;
    }));
    tree_.emplace(hashes);
    if (hashes.size() == anchor.events() && tree_->root() == anchor.merkle_root) return {};
    return Error(Errc::corrupt, "log_contradicts_anchor",
                 "the log differs from the anchor of events " + std::to_string(anchor.first_seq) +
                     " to " + std::to_string(anchor.last_seq),
                 "the log and its anchors", "keep a copy of both; drover audit verify");
}

void LogExport::finish(ExportPage& page) {
    ExportEnd end;
    end.events = events_written_;
    end.digest = digest_.finish();
    end.signature = seed_.sign(export_end_message(end));
    page.text += export_line(end);
    page.is_last = true;
}

void LogExport::append(const ExportLine& line, std::string& text) {
    const std::string written = export_line(line);
    digest_.update(as_bytes(written));
    text += written;
}

}  // namespace drover::history
