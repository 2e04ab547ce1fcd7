#include "eventlog/anchor_check.h"

#include "eventlog/merkle.h"

#include <algorithm>
#include <utility>

namespace drover::eventlog {
namespace {

std::string range_text(const AnchorCover& cover) {
    return "the anchor of events " + std::to_string(cover.anchor.first_seq) + " to " +
           std::to_string(cover.anchor.last_seq) + " (" + cover.from + ")";
}

}  // namespace

AnchorCheck::AnchorCheck(const Uuid& lineage, const KnownAnchors& known)
    : lineage_(lineage) {
    for (const KnownAnchors::Source& source : known.sources) add(source, known);
}

void AnchorCheck::add(const KnownAnchors::Source& source, const KnownAnchors& known) {
    const std::string& from = source.from;
    std::size_t ours = 0;
    std::size_t others = 0;
    const Anchor* before = nullptr;
    for (const Anchor& anchor : source.anchors) {
        const AnchorCover cover{anchor, from, false};
        const Anchor* const previous = std::exchange(before, &anchor);
        if (const auto checked = check_anchor(anchor); !checked) {
            add_finding(anchor_findings_, {"anchor_damaged", anchor.first_seq,
                                           from + ": " + checked.error().detail()});
            continue;
        }
        const Hash fingerprint = key_fingerprint(anchor.key);
        keys_.insert(fingerprint);
        if (!known.trusts(fingerprint)) {
            add_finding(anchor_findings_, {"anchor_key_differs", anchor.first_seq,
                                           range_text(cover) + " is signed by the key " +
                                               fingerprint.hex() + ", not by the one given"});
            continue;
        }
        // Whoever keeps only some of the anchors has gaps; where two meet they must be linked.
        const bool meets = previous != nullptr && previous->lineage == anchor.lineage &&
                           anchor.first_seq == previous->last_seq + 1;
        if (meets && !check_anchor_link(*previous, anchor))
            add_finding(anchor_findings_, {"anchor_chain_broken", anchor.first_seq,
                                           range_text(cover) + " does not follow the one before"});
        if (anchor.lineage != lineage_) {
            ++others;
            continue;
        }
        ++ours;
        if (known_.insert(anchor_digest(anchor)).second)
            waiting_.emplace(anchor.first_seq, Entry{cover, {}});
    }
    other_lineage_ += others;
    // Each place for itself: who puts another log here can put fitting anchors beside it.
    if (ours == 0 && others > 0)
        add_finding(anchor_findings_,
                    {"log_lineage_differs", 0,
                     "every anchor of " + from + " is of another log than " + uuid_text(lineage_) +
                         ": this one took its place, by a restore that gave up events or by "
                         "somebody's hand"});
}

void AnchorCheck::see(Seq seq, const Hash& hash) {
    while (!waiting_.empty() && waiting_.begin()->first <= seq) {
        auto node = waiting_.extract(waiting_.begin());
        open_.push_back(std::move(node.mapped()));
    }
    for (Entry& entry : open_) {
        entry.hashes.push_back(hash);
        if (entry.cover.anchor.last_seq <= seq) compare(entry, hash);
    }
    std::erase_if(open_, [&](const Entry& entry) { return entry.cover.anchor.last_seq <= seq; });
}

void AnchorCheck::compare(Entry& entry, const Hash& hash) {
    const Anchor& anchor = entry.cover.anchor;
    const bool is_same =
        hash == anchor.last_hash && MerkleTree(entry.hashes).root() == anchor.merkle_root;
    entry.cover.holds = is_same;
    if (!is_same)
        add_finding(log_findings_,
                    {"log_contradicts_anchor", anchor.first_seq,
                     range_text(entry.cover) + " was made of other events: of these, event " +
                         std::to_string(anchor.first_seq) + " or a later one was changed"});
    compared_.push_back(std::move(entry.cover));
}

AnchorReport AnchorCheck::finish(Seq last_seq, std::optional<WallMicros> copied_micros) const {
    AnchorReport report;
    report.covers = compared_;
    report.keys = keys_;
    report.other_lineage = other_lineage_;
    report.findings = anchor_findings_;
    for (const Finding& finding : log_findings_) report.findings.push_back(finding);
    const auto beyond = [&](const Entry& entry) {
        report.covers.push_back(entry.cover);
        if (entry.cover.anchor.last_seq <= last_seq) return;
        if (copied_micros && entry.cover.anchor.wall_micros > *copied_micros)
            ++report.younger;
        else
            add_finding(report.findings, {"log_shorter_than_anchor", last_seq + 1,
                                          "the log ends at event " + std::to_string(last_seq) +
                                              "; " + range_text(entry.cover) + " knows more"});
    };
    for (const Entry& entry : open_) beyond(entry);
    for (const auto& [first_seq, entry] : waiting_) beyond(entry);
    std::stable_sort(report.covers.begin(), report.covers.end(),
                     [](const AnchorCover& a, const AnchorCover& b) {
                         return a.anchor.last_seq < b.anchor.last_seq;
                     });
    for (const AnchorCover& cover : report.covers)
        if (cover.holds && cover.anchor.first_seq <= report.covered_to + 1)
            report.covered_to = std::max(report.covered_to, cover.anchor.last_seq);
    return report;
}

}  // namespace drover::eventlog
