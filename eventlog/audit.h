/// Verifies a log without its writer: what `drover audit verify DIR` prints. Takes no lock, changes
/// nothing, and works on a log that start-up refuses to open. Blocks for as long as reading takes.
#pragma once

#include "eventlog/chain.h"
#include "eventlog/survey.h"

#include <filesystem>

namespace drover::eventlog {

struct AuditReport {
    Uuid lineage;
    std::uint64_t events = 0;  ///< that could be read
    Seq first_seq = 0;         ///< 0 for an empty log
    Seq last_seq = 0;
    Hash head_hash;
    Epoch epoch = 0;
    std::uint64_t streams = 0;
    std::optional<Seq> head_file_seq;  ///< nullopt without a head file
    AnchorReport anchors;
    std::vector<Finding> findings;  ///< in the order of the checks; empty for a log that is whole

    [[nodiscard]] bool whole() const { return findings.empty(); }

    /// The smallest event any finding names; 0 when there is none.
    [[nodiscard]] Seq first_bad_seq() const { return eventlog::first_bad_seq(findings); }
};

/// A log directory, also while its writer runs: then the report says how far it had come. Events
/// are compared with `anchors`. Errors: log_missing, log_unsupported, meta_damaged, io; everything
/// else that is wrong is a finding.
[[nodiscard]] Result<AuditReport> verify_log_directory(const std::filesystem::path& directory,
                                                       const KnownAnchors& anchors = {});

/// An open log through its interface, a bounded number of events at a time, so that its writer can
/// go on in between. Looks at the events up to the head of when it was made.
class LogAudit {
  public:
    LogAudit(const EventLog& log, const KnownAnchors& anchors);

    /// Looks at up to `events_max` more events. True when it is done. Errors: those of reading
    /// other than corrupt.
    [[nodiscard]] Result<bool> step(std::size_t events_max);

    [[nodiscard]] AuditReport report() const;

  private:
    /// Whether it follows; a finding otherwise.
    bool accept(const Record& record);

    const EventLog& log_;
    Head head_;
    ChainCheck chain_;
    Heads heads_;
    AnchorCheck anchors_;
    std::uint64_t events_ = 0;
    std::optional<Finding> broken_;
};

/// The same in one go.
[[nodiscard]] Result<AuditReport> verify(const EventLog& log, const KnownAnchors& anchors = {});

}  // namespace drover::eventlog
