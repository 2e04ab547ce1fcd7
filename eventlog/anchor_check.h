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

/// Anchors from several places, and the fingerprints of the keys of which one must have signed
/// each, if known: a key may have been replaced.
struct KnownAnchors {
    struct Source {
        std::string from;
        std::vector<Anchor> anchors;  ///< in their order there
    };

    std::vector<Source> sources;
    std::set<Hash> trusted;  ///< empty: any key

    [[nodiscard]] bool trusts(const Hash& fingerprint) const {
        return trusted.empty() || trusted.contains(fingerprint);
    }
};

struct AnchorReport {
    std::vector<AnchorCover> covers;  ///< ascending by last_seq
    Seq covered_to = 0;               ///< events 1 to this are covered without a gap
    std::set<Hash> keys;              ///< fingerprints of the keys that signed
    std::uint64_t other_lineage = 0;  ///< anchors of another log: not compared
    std::uint64_t younger = 0;        ///< made of later events after what is at hand was made
    std::vector<Finding> findings;
};

/// Not thread-safe.
class AnchorCheck {
  public:
    AnchorCheck(const Uuid& lineage, const KnownAnchors& known);

    /// The next event of the log. It need not be whole; its hash is what counts.
    void see(Seq seq, const Hash& hash);

    /// `last_seq` is the last event of the log. What is at hand may be a copy of it as it was at
    /// `copied_micros`: then the log may have gone on, and an anchor made later may know more.
    [[nodiscard]] AnchorReport finish(Seq last_seq,
                                      std::optional<WallMicros> copied_micros = {}) const;

  private:
    void add(const KnownAnchors::Source& source, const KnownAnchors& known);

    struct Entry {
        AnchorCover cover;
        std::vector<Hash> hashes;  ///< of its events so far; empty again once it is compared
    };

    void compare(Entry& entry, const Hash& hash);

    Uuid lineage_;
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
