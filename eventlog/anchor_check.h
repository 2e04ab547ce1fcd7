/// Compares a log with anchors that were made of it: event by event, and with the anchors alone.
/// Bytes only, no I/O. The memory it takes is bounded by the number of anchors.
///
///   anchors ─► see(event) … ─► finish ─► findings, and what is covered
#pragma once

#include "eventlog/anchor.h"
#include "eventlog/finding.h"

#include <map>
#include <optional>
#include <set>

namespace drover::eventlog {

/// What one anchor says about the log at hand.
struct AnchorCover {
    Anchor anchor;
    std::string from;  ///< where the anchor was found
    bool holds = false;
};

/// Anchors from several places, and the fingerprint of the key that must have signed them, if
/// known.
struct KnownAnchors {
    struct Source {
        std::string from;
        std::vector<Anchor> anchors;  ///< in their order there
    };

    std::vector<Source> sources;
    std::optional<Hash> trusted;
};

struct AnchorReport {
    std::vector<AnchorCover> covers;  ///< ascending by last_seq
    Seq covered_to = 0;               ///< events 1 to this are covered without a gap
    std::set<Hash> keys;              ///< fingerprints of the keys that signed
    std::uint64_t other_lineage = 0;  ///< anchors of another log: not compared
    std::vector<Finding> findings;
};

/// Not thread-safe.
class AnchorCheck {
  public:
    AnchorCheck(const Uuid& lineage, const KnownAnchors& known);

    /// The next event of the log. It need not be whole; its hash is what counts.
    void see(Seq seq, const Hash& hash);

    /// `last_seq` is the last event of the log.
    [[nodiscard]] AnchorReport finish(Seq last_seq) const;

  private:
    void add(const KnownAnchors::Source& source);

    struct Entry {
        AnchorCover cover;
        std::vector<Hash> hashes;  ///< of its events so far; empty again once it is compared
    };

    void compare(Entry& entry, const Hash& hash);

    Uuid lineage_;
    std::optional<Hash> trusted_;
    std::multimap<Seq, Entry> waiting_;  ///< by first_seq: the log has not come that far
    std::vector<Entry> open_;            ///< the log is among their events
    std::vector<AnchorCover> compared_;
    std::set<Hash> known_;  ///< digests, so that the same anchor from two places counts once
    std::set<Hash> keys_;
    std::uint64_t other_lineage_ = 0;
    std::vector<Finding> anchor_findings_;  ///< about the anchors alone
    std::vector<Finding> log_findings_;
};

}  // namespace drover::eventlog
