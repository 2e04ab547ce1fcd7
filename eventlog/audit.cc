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
    report.findings = std::move(surveyed.findings);
    return report;
}

Result<AuditReport> look(const LogPaths& paths) {
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
    TRY(Survey surveyed, survey(**store, head_file));
    AuditReport report = report_of(std::move(surveyed), head_file);
    if (refused) {
        const Seq first_bad = report.whole() ? report.last_seq + 1 : report.first_bad_seq();
        report.findings.insert(report.findings.begin(),
                               {refused->id(), first_bad, refused->detail()});
    }
    return report;
}

}  // namespace

Seq AuditReport::first_bad_seq() const {
    Seq first = 0;
    for (const Finding& finding : findings)
        if (finding.seq != 0 && (first == 0 || finding.seq < first)) first = finding.seq;
    return first;
}

Result<AuditReport> verify_log_directory(const std::filesystem::path& directory) {
    const LogPaths paths(directory);
    std::error_code failure;
    if (!std::filesystem::is_directory(paths.database, failure))
        return Error(Errc::not_found, "log_missing", directory.native() + " holds no log",
                     "nothing was touched", "name the directory of a log");
    auto report = look(paths);
    for (int looks = 1; looks < looks_max; ++looks) {
        if (report && report->whole()) break;
        report = look(paths);
    }
    return report;
}

Result<AuditReport> verify(const EventLog& log) {
    const Head head = log.head();
    ChainCheck chain;
    Heads heads(head.lineage, head.epoch);
    AuditReport report;
    report.lineage = head.lineage;
    report.epoch = head.epoch;
    std::optional<Error> broken;
    const auto see = [&](const Record& record) {
        ++report.events;
        if (report.first_seq == 0) report.first_seq = record.seq;
        const auto next = chain.next(encode_record(record));
        const auto link = check_stream_link(record, heads.stream(record.stream));
        if (!next)
            broken = next.error();
        else if (!link)
            broken = link.error();
        if (!broken) heads.advance(record);
        return !broken;
    };
    const auto read = log.read(1, see);
    if (!read && read.error().code() != Errc::corrupt) return read.error();
    if (!read) broken = read.error();
    report.last_seq = heads.head().seq;
    report.head_hash = heads.head().hash;
    report.streams = heads.stream_count();
    if (broken)
        report.findings.push_back({broken->id(), report.last_seq + 1, broken->detail()});
    else if (report.last_seq != head.seq || report.head_hash != head.hash)
        report.findings.push_back({"meta_differs", std::min(report.last_seq, head.seq) + 1,
                                   "the log does not end where its head says"});
    return report;
}

}  // namespace drover::eventlog
