#include "orchestrator/anchors.h"

#include "base/log.h"
#include "eventlog/merkle.h"
#include "history/anchor_file.h"

#include <algorithm>

namespace drover::orchestrator {

using eventlog::Anchor;
using eventlog::Seq;

namespace {

Error contradicted(std::string detail) {
    return Error(Errc::corrupt, "log_contradicts_anchor", std::move(detail),
                 "the log and its anchors",
                 "keep a copy of both; restore the log, or give up events with droverd restore");
}

}  // namespace

Anchors::Anchors(const eventlog::EventLog& log, const SigningSeed& seed, AnchorPaths paths,
                 const Moment& now)
    : log_(log),
      seed_(seed),
      paths_(std::move(paths)),
      last_made_ms_(now.steady_ms) {}

Result<std::unique_ptr<Anchors>> Anchors::open(const eventlog::EventLog& log,
                                               const SigningSeed& seed, AnchorPaths paths,
                                               const Moment& now,
                                               const std::vector<LineageReset>& resets) {
    std::unique_ptr<Anchors> made(new Anchors(log, seed, std::move(paths), now));
    TRY_VOID(made->load());
    TRY_VOID(made->check_last(resets));
    if (!made->paths_.copy.empty())
        made->copy_ =
            std::make_unique<AnchorCopy>(made->paths_.own, made->paths_.copy, made->durable_bytes_);
    return made;
}

Result<> Anchors::load() {
    auto read = history::recover_anchor_file(paths_.own);
    if (!read && read.error().code() != Errc::not_found) return read.error();
    if (!read) {
        TRY_VOID(write_file_durably(paths_.own, {}, 0644));
        read = history::AnchorFile{};
    }
    if (read->is_torn) {
        // Nobody has seen those lines: an anchor is handed on only once it is durable.
        log::error("anchors", "the end of " + paths_.own.native() +
                                  " is incomplete, as a crash "
                                  "leaves it, and is cut off after " +
                                  std::to_string(read->whole_bytes) + " bytes");
        TRY(Bytes contents, read_file(paths_.own, history::anchor_file_bytes_max));
        contents.resize(read->whole_bytes);
        TRY_VOID(write_file_durably(paths_.own, contents, 0644));
    }
    anchors_ = std::move(read->anchors);
    durable_bytes_ = read->whole_bytes;
    TRY(file_, AppendFile::open(paths_.own));
    // A process that ended before its sync may have left what only memory holds.
    return file_->append({});
}

/// After a failed write nobody knows what the file holds, and what reading it gives may not be on
/// the device. What is durable is known here.
Result<> Anchors::rewrite() {
    std::string lines;
    for (const Anchor& anchor : anchors_) lines += history::anchor_line(anchor) + "\n";
    TRY_VOID(write_file_durably(paths_.own, as_bytes(lines), 0644));
    durable_bytes_ = lines.size();
    TRY(file_, AppendFile::open(paths_.own));
    return {};
}

Result<> Anchors::check_last(const std::vector<LineageReset>& resets) const {
    for (std::size_t i = 1; i < anchors_.size(); ++i)
        TRY_VOID(check_anchor_link(anchors_[i - 1], anchors_[i]));
    if (anchors_.empty()) return {};
    TRY_VOID(check_anchor(anchors_.back()));
    const Uuid lineage = anchors_.back().lineage;
    Seq common = anchors_.back().last_seq;
    if (lineage != log_.head().lineage) {
        const auto reset = std::find_if(resets.rbegin(), resets.rend(), [&](const auto& known) {
            return known.old_lineage == lineage;
        });
        if (reset == resets.rend())
            return contradicted("the last anchor is of the log " + uuid_text(lineage) +
                                ", and this log, " + uuid_text(log_.head().lineage) +
                                ", knows of no restore that ended that one");
        common = reset->old_head_seq;
    }
    // The last one of what both have: through the chain it covers everything before it.
    const auto last = std::find_if(anchors_.rbegin(), anchors_.rend(), [&](const Anchor& anchor) {
        return anchor.lineage != lineage || anchor.last_seq <= common;
    });
    if (last == anchors_.rend() || last->lineage != lineage) return {};
    const auto hash = log_.hash_at(last->last_seq);
    if (hash && *hash == last->last_hash) return {};
    return contradicted("the log is not the one that was anchored up to event " +
                        std::to_string(last->last_seq));
}

Seq Anchors::anchored_seq() const {
    const bool is_ours = !anchors_.empty() && anchors_.back().lineage == log_.head().lineage;
    return is_ours ? anchors_.back().last_seq : 0;
}

void Anchors::tick(const Moment& now) {
    if (now.steady_ms < retry_ms_) return;
    const Seq head = log_.head().seq;
    const Seq anchored = anchored_seq();
    if (head == anchored) {
        last_made_ms_ = now.steady_ms;
        return;
    }
    const bool is_time = now.steady_ms - last_made_ms_ >= anchor_every_ms;
    const Seq full =
        anchored + (head - anchored) / eventlog::anchor_events_max * eventlog::anchor_events_max;
    const Seq until = is_time ? head : full;
    if (until > anchored) (void)make_until(until, now);  // alarm() says how it went
}

Result<> Anchors::make_now(const Moment& now) {
    return make_until(log_.head().seq, now);
}

Result<> Anchors::make_until(Seq last_seq, const Moment& now) {
    const auto made = make_all(last_seq, now.wall_micros);
    if (!made && !alarm_) log::error("anchors", "no anchor was made: " + made.error().text());
    if (made && alarm_) log::info("anchors", "anchors are made again");
    alarm_ = made ? std::nullopt : std::optional(made.error());
    if (made) last_made_ms_ = now.steady_ms;
    retry_ms_ = made ? 0 : now.steady_ms + anchor_retry_ms;
    return made;
}

Result<> Anchors::make_all(Seq last_seq, WallMicros wall_micros) {
    if (!file_) TRY_VOID(rewrite());
    // While writing fails, each attempt reads the events of one anchor only.
    std::size_t anchors_max = alarm_ ? 1 : history::anchors_per_append_max;
    while (anchored_seq() < last_seq) {
        const std::size_t before = anchors_.size();
        if (const auto made = make_some(last_seq, wall_micros, anchors_max); !made) {
            // What is not in the file was never made.
            anchors_.resize(before);
            return made;
        }
        for (std::size_t i = before; i < anchors_.size() && listener_; ++i)
            listener_(anchors_[i], history::anchor_line(anchors_[i]));
        anchors_max = history::anchors_per_append_max;
    }
    return {};
}

Result<> Anchors::make_some(Seq last_seq, WallMicros wall_micros, std::size_t anchors_max) {
    std::string lines;
    for (std::size_t made = 0; made < anchors_max && anchored_seq() < last_seq; ++made) {
        TRY(const Anchor anchor, make_next(last_seq, wall_micros));
        anchors_.push_back(anchor);
        lines += history::anchor_line(anchor) + "\n";
    }
    return store(lines);
}

Result<Anchor> Anchors::make_next(Seq last_seq, WallMicros wall_micros) const {
    Anchor anchor;
    anchor.lineage = log_.head().lineage;
    anchor.first_seq = anchored_seq() + 1;
    anchor.last_seq = std::min(last_seq, anchored_seq() + eventlog::anchor_events_max);
    std::vector<Hash> hashes;
    TRY_VOID(log_.read(anchor.first_seq, [&](const eventlog::Record& record) {
        hashes.push_back(record.hash);
        anchor.epoch = record.epoch;
        return record.seq < anchor.last_seq;
    }));
    if (hashes.size() != anchor.events())
        return Error(Errc::corrupt, "event_missing",
                     "the log ends before event " + std::to_string(anchor.last_seq),
                     "the anchors so far", "keep a copy of the log; drover audit verify");
    anchor.last_hash = hashes.back();
    anchor.merkle_root = eventlog::MerkleTree(hashes).root();
    anchor.wall_micros = wall_micros;
    if (!anchors_.empty()) anchor.previous = anchor_digest(anchors_.back());
    sign_anchor(anchor, seed_);
    return anchor;
}

Result<> Anchors::store(const std::string& lines) {
    if (auto appended = file_->append(as_bytes(lines)); !appended) {
        file_.reset();
        return appended.error();
    }
    durable_bytes_ += lines.size();
    if (copy_) copy_->wake(durable_bytes_);
    return {};
}

}  // namespace drover::orchestrator
