#include "eventlog/audit.h"

#include "eventlog/chain.h"

#include <algorithm>

namespace drover::eventlog {
namespace {

/// A writer may replace files between our reading the manifest and opening them; then the next look
/// succeeds. Real damage stays.
constexpr int looks_max = 3;

AuditReport report_of(Survey surveyed, const std::optional<HeadSlot>& head_file) {
    const Head& head = surveyed.heads.head();
    AuditReport report;
    report.lineage = head.lineage;
    report.events = surveyed.events;
    report.first_seq = surveyed.first_seq;
    report.last_seq = head.seq;
    report.head_hash = head.hash;
    report.epoch = head.epoch;
    report.streams = surveyed.heads.stream_count();
    if (head_file) report.head_file_seq = head_file->seq;
    report.anchors = std::move(surveyed.anchors);
    report.findings = std::move(surveyed.findings);
    return report;
}

Result<AuditReport> look(const LogPaths& paths, const KnownAnchors& anchors) {
    // The head file first: a writer that goes on meanwhile only puts the log further ahead of it.
    TRY(const auto head_file, HeadFile::read(paths.head));
    auto store = RocksStore::open(paths.database, RocksStore::Access::read_only);
    std::optional<Error> refused;
    if (!store) {
        if (store.error().code() != Errc::corrupt) return store.error();
        refused = store.error();
        store = RocksStore::open(paths.database, RocksStore::Access::salvage);
        if (!store) return store.error();
    }
    TRY(Survey surveyed, survey(**store, head_file, anchors));
    AuditReport report = report_of(std::move(surveyed), head_file);
    if (refused) {
        const Seq first_bad = report.whole() ? report.last_seq + 1 : report.first_bad_seq();
        report.findings.insert(report.findings.begin(),
                               {refused->id(), first_bad, refused->detail()});
    }
    return report;
}

}  // namespace

Result<AuditReport> verify_log_directory(const std::filesystem::path& directory,
                                         const KnownAnchors& anchors) {
    const LogPaths paths(directory);
    std::error_code failure;
    if (!std::filesystem::is_directory(paths.database, failure))
        return Error(Errc::not_found, "log_missing", directory.native() + " holds no log",
                     "nothing was touched", "name the directory of a log");
    auto report = look(paths, anchors);
    for (int looks = 1; looks < looks_max; ++looks) {
        if (report && report->whole()) break;
        report = look(paths, anchors);
    }
    return report;
}

LogAudit::LogAudit(const EventLog& log, const KnownAnchors& anchors)
    : log_(log),
      head_(log.head()),
      heads_(head_.lineage, head_.epoch),
      anchors_(head_.lineage, anchors) {}

Result<bool> LogAudit::step(std::size_t events_max) {
    if (broken_ || chain_.seq() >= head_.seq) return true;
    std::size_t count = 0;
    const auto read = log_.read(chain_.seq() + 1, [&](const Record& record) {
        return accept(record) && ++count < events_max && record.seq < head_.seq;
    });
    if (!read && read.error().code() != Errc::corrupt) return read.error();
    if (!read) broken_ = Finding{read.error().id(), heads_.head().seq + 1, read.error().detail()};
    // Nothing came although the head says that there is more: the report names it.
    return broken_.has_value() || count == 0 || chain_.seq() >= head_.seq;
}

bool LogAudit::accept(const Record& record) {
    ++events_;
    const auto next = chain_.next(encode_record(record));
    const auto link = check_stream_link(record, heads_.stream(record.stream));
    if (!next || !link) {
        const Error& error = next ? link.error() : next.error();
        broken_ = Finding{error.id(), heads_.head().seq + 1, error.detail()};
        return false;
    }
    heads_.advance(record);
    anchors_.see(record.seq, record.hash);
    return true;
}

AuditReport LogAudit::report() const {
    AuditReport report;
    const Head& reached = heads_.head();
    report.lineage = head_.lineage;
    report.epoch = head_.epoch;
    report.events = events_;
    report.first_seq = events_ > 0 ? 1 : 0;
    report.last_seq = reached.seq;
    report.head_hash = reached.hash;
    report.streams = heads_.stream_count();
    if (broken_)
        report.findings.push_back(*broken_);
    else if (reached.seq != head_.seq || reached.hash != head_.hash)
        report.findings.push_back({"meta_differs", std::min(reached.seq, head_.seq) + 1,
                                   "the log does not end where its head says"});
    report.anchors = anchors_.finish(reached.seq);
    for (const Finding& finding : report.anchors.findings) add_finding(report.findings, finding);
    return report;
}

Result<AuditReport> verify(const EventLog& log, const KnownAnchors& anchors) {
    LogAudit audit(log, anchors);
    for (bool is_done = false; !is_done;) {
        TRY(is_done, audit.step(events_per_append_max));
    }
    return audit.report();
}

}  // namespace drover::eventlog
