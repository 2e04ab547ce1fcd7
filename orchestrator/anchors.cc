#include "orchestrator/anchors.h"

#include "base/log.h"
#include "eventlog/merkle.h"
#include "history/anchor_file.h"

#include <algorithm>

namespace drover::orchestrator {

using eventlog::Anchor;
using eventlog::Seq;

namespace {

/// Anchors that one write takes; a first start on an old log has many to make.
constexpr std::size_t anchors_per_write_max = 256;

}  // namespace

Anchors::Anchors(const eventlog::EventLog& log, const SigningSeed& seed, AnchorPaths paths,
                 const Moment& now)
    : log_(log),
      seed_(seed),
      paths_(std::move(paths)),
      last_made_ms_(now.steady_ms) {}

Result<std::unique_ptr<Anchors>> Anchors::open(const eventlog::EventLog& log,
                                               const SigningSeed& seed, AnchorPaths paths,
                                               const Moment& now) {
    std::unique_ptr<Anchors> made(new Anchors(log, seed, std::move(paths), now));
    TRY_VOID(made->load());
    TRY_VOID(made->check_last());
    if (!made->paths_.copy.empty())
        made->copy_ = std::make_unique<AnchorCopy>(made->paths_.own, made->paths_.copy);
    return made;
}

Result<> Anchors::load() {
    auto read = history::read_anchor_file(paths_.own);
    if (!read && read.error().code() != Errc::not_found) return read.error();
    if (!read) {
        TRY_VOID(write_file_durably(paths_.own, {}, 0644));
        read = history::AnchorFile{};
    }
    if (read->is_torn) {
        // Nobody has seen that line: an anchor is handed on only once it is durable.
        TRY(Bytes contents, read_file(paths_.own, history::anchor_file_bytes_max));
        contents.resize(read->whole_bytes);
        TRY_VOID(write_file_durably(paths_.own, contents, 0644));
    }
    anchors_ = std::move(read->anchors);
    TRY(file_, AppendFile::open(paths_.own));
    return {};
}

Result<> Anchors::check_last() const {
    for (std::size_t i = 1; i < anchors_.size(); ++i)
        TRY_VOID(check_anchor_link(anchors_[i - 1], anchors_[i]));
    if (anchors_.empty()) return {};
    const Anchor& last = anchors_.back();
    TRY_VOID(check_anchor(last));
    if (last.lineage != log_.head().lineage) return {};
    const auto hash = log_.hash_at(last.last_seq);
    if (hash && *hash == last.last_hash) return {};
    return Error(
        Errc::corrupt, "log_contradicts_anchor",
        "the log is not the one that was anchored up to event " + std::to_string(last.last_seq),
        "the log and its anchors",
        "keep a copy of both; restore the log, or give up events with droverd restore");
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
    const auto attempt = [&]() -> Result<> {
        if (!file_) {
            TRY_VOID(load());
            TRY_VOID(check_last());
        }
        while (anchored_seq() < last_seq) {
            const std::size_t before = anchors_.size();
            std::string lines;
            while (anchored_seq() < last_seq && anchors_.size() - before < anchors_per_write_max) {
                TRY(const Anchor anchor, make_next(last_seq, now.wall_micros));
                anchors_.push_back(anchor);
                lines += history::anchor_line(anchor) + "\n";
            }
            if (const auto stored = store(lines); !stored) {
                anchors_.resize(before);
                return stored.error();
            }
            for (std::size_t i = before; i < anchors_.size() && listener_; ++i)
                listener_(anchors_[i], history::anchor_line(anchors_[i]));
        }
        return {};
    };
    const auto made = attempt();
    if (!made && !alarm_) log::error("anchors", "no anchor was made: " + made.error().text());
    if (made && alarm_) log::info("anchors", "anchors are made again");
    alarm_ = made ? std::nullopt : std::optional(made.error());
    if (made) last_made_ms_ = now.steady_ms;
    retry_ms_ = made ? 0 : now.steady_ms + anchor_retry_ms;
    if (copy_) copy_->wake();
    return made;
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
        // What the file holds now is unknown; it is read before anything is added.
        file_.reset();
        return appended.error();
    }
    return {};
}

}  // namespace drover::orchestrator
