/// Verifies an export without its log: `drover audit verify --export FILE`. Bytes only: no schema
/// is needed. Memory is bounded by the number of anchors.
///
///   line ─► see … ─► finish ─► findings, and what is covered by which anchor
#pragma once

#include "base/sha256.h"
#include "eventlog/anchor_check.h"
#include "eventlog/chain.h"
#include "history/export.h"

#include <filesystem>
#include <map>
#include <set>

namespace drover::history {

struct ExportReport {
    std::optional<ExportHeader> header;
    std::uint64_t events = 0;
    eventlog::Seq first_seq = 0;
    eventlog::Seq last_seq = 0;
    /// The anchors in the export, each with whether all its events that are here lead to it; and of
    /// those from elsewhere, how many are the same.
    std::vector<eventlog::AnchorCover> covers;
    std::set<Hash> keys;          ///< fingerprints of the keys that signed
    std::uint64_t confirmed = 0;  ///< anchors that another source has too
    std::uint64_t younger = 0;    ///< anchors elsewhere that were made after the export, of more
    std::vector<eventlog::Finding> findings;

    [[nodiscard]] bool whole() const { return findings.empty(); }
};

enum class ExportUse : std::uint8_t {
    archive,  ///< of any time, of the log or of a job
    live      ///< what a server says its log is now: all of it, and no anchor may know more
};

/// Not thread-safe.
class ExportCheck {
  public:
    /// `known` are anchors from elsewhere, and the fingerprints of the keys if those are known.
    explicit ExportCheck(eventlog::KnownAnchors known, ExportUse use = ExportUse::archive);

    /// The next line, without its line end.
    void see(std::string_view line);

    [[nodiscard]] ExportReport finish();

  private:
    void see(const ExportHeader& header);
    void see(const eventlog::Anchor& anchor);
    void see(const ExportEvent& event);
    void see(const ExportEnd& end);
    void check_order(const eventlog::Record& record, const ExportEvent& event);
    void check_path(const eventlog::Record& record, const ExportEvent& event);
    void check_key(const Hash& fingerprint, eventlog::Seq seq, const std::string& what);
    void compare_known_anchors();
    void compare(const eventlog::Anchor& mine, const eventlog::AnchorReport& elsewhere);

    /// The event that should come next.
    [[nodiscard]] eventlog::Seq due() const { return report_.last_seq + 1; }

    void find(const char* id, eventlog::Seq seq, std::string detail);
    void find(const Error& error, eventlog::Seq seq);

    eventlog::KnownAnchors known_;
    ExportUse use_;
    ExportReport report_;
    std::map<eventlog::Seq, eventlog::AnchorCover> anchors_;  ///< by last_seq
    std::optional<eventlog::AnchorCheck> log_anchors_;        ///< those from elsewhere
    eventlog::ChainCheck chain_;
    eventlog::StreamHead stream_;
    std::map<eventlog::StreamId, eventlog::StreamHead> streams_;
    Sha256 digest_;
    bool is_ended_ = false;
};

/// A file that `drover audit export` wrote: JSON lines, or an evidence pack. Of the latter the
/// pages for people are compared too. Errors: not_found, io.
[[nodiscard]] Result<ExportReport> verify_export(const std::filesystem::path& path,
                                                 eventlog::KnownAnchors known);

}  // namespace drover::history
