/// Writes the export of an open log page by page, so that neither the log nor the export is ever in
/// memory as a whole and its writer can go on in between. The caller has anchored everything up to
/// the head that the export is to show.
///
///   header, anchors ─► next() ─► events … ─► next() ─► end
#pragma once

#include "base/sha256.h"
#include "eventlog/merkle.h"
#include "history/export.h"

namespace drover::history {

struct ExportOrder {
    std::optional<JobId> job;  ///< nullopt: the whole log
    std::string job_name;
    std::string software;
    WallMicros wall_micros = 0;
};

struct ExportPage {
    std::string text;
    bool is_last = false;
};

constexpr std::size_t export_page_bytes = 256U << 10;

/// Not thread-safe; lives on the thread of the log.
class LogExport {
  public:
    /// `anchors` are those of the log, ascending; the last one is the head of the export. Errors:
    /// not_found (nothing_anchored).
    [[nodiscard]] static Result<LogExport> start(const eventlog::EventLog& log,
                                                 const std::vector<eventlog::Anchor>& anchors,
                                                 const SigningSeed& seed, ExportOrder order);

    /// About export_page_bytes more. Errors: those of reading the log.
    [[nodiscard]] Result<ExportPage> next();

  private:
    LogExport(const eventlog::EventLog& log, const SigningSeed& seed, ExportHeader header)
        : log_(&log),
          seed_(seed),
          header_(std::move(header)) {}

    Result<> add_anchors(const std::vector<eventlog::Anchor>& anchors);
    Result<> read_events(ExportPage& page);
    Result<> add_event(const eventlog::Record& record, ExportPage& page);
    Result<> enter(const eventlog::Anchor& anchor);
    void finish(ExportPage& page);
    void append(const ExportLine& line, std::string& text);

    const eventlog::EventLog* log_;
    SigningSeed seed_;
    ExportHeader header_;
    std::vector<eventlog::Anchor> anchors_;  ///< those that cover an exported event
    std::size_t anchors_written_ = 0;
    bool is_header_written_ = false;
    std::uint64_t events_written_ = 0;
    std::size_t at_anchor_ = 0;                 ///< of the event last written
    std::optional<eventlog::MerkleTree> tree_;  ///< of anchors_[at_anchor_]
    Sha256 digest_;
};

}  // namespace drover::history
