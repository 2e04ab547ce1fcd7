/// Makes signed anchors of the log: every anchor_events_max events, every ten minutes while there
/// is anything new, and on demand. An anchor is made of durable events only, kept in a file that
/// only grows, and handed on only once it is durable itself; a start makes up for one that a crash
/// prevented. Never contradicts an earlier one: a log that does is not served.
///
///   durable events ─► make ─► STATE/anchors.jsonl ─► second path, agents
///
/// Not thread-safe; lives on the thread of the log. Blocks for one append and sync of a small file.
#pragma once

#include "base/file.h"
#include "eventlog/anchor.h"
#include "orchestrator/anchor_copy.h"
#include "orchestrator/dispatcher.h"
#include "schemas/restore.h"

#include <functional>
#include <memory>
#include <vector>

namespace drover::orchestrator {

struct AnchorPaths {
    std::filesystem::path own;   ///< STATE/anchors.jsonl
    std::filesystem::path copy;  ///< empty: none
};

constexpr SteadyMillis anchor_every_ms = 600'000;
constexpr SteadyMillis anchor_retry_ms = 10'000;

class Anchors {
  public:
    /// Reads what is there, cuts off what a crash left torn, and compares the last anchor with the
    /// log. If that anchor is of another lineage, one of the `resets` that the log holds must have
    /// ended that one. Errors: corrupt (anchor_file_damaged, anchor_damaged, anchor_chain_broken,
    /// log_contradicts_anchor), io: droverd does not start.
    [[nodiscard]] static Result<std::unique_ptr<Anchors>> open(
        const eventlog::EventLog& log, const SigningSeed& seed, AnchorPaths paths,
        const Moment& now, const std::vector<LineageReset>& resets);

    /// Called with each new anchor once it is durable, with its line.
    using Listener = std::function<void(const eventlog::Anchor&, const std::string& line)>;

    void on_made(Listener listener) { listener_ = std::move(listener); }

    /// Makes what is due. A failure is an alarm, tried again later: migrations go on.
    void tick(const Moment& now);

    /// Anchors everything up to the log's present head. Errors: those of writing the file.
    [[nodiscard]] Result<> make_now(const Moment& now);

    [[nodiscard]] const std::vector<eventlog::Anchor>& all() const { return anchors_; }

    /// The last event that is anchored; 0 for none of this lineage.
    [[nodiscard]] eventlog::Seq anchored_seq() const;

    [[nodiscard]] const SigningSeed& seed() const { return seed_; }

    /// Why the last attempt failed.
    [[nodiscard]] const std::optional<Error>& alarm() const { return alarm_; }

    /// nullptr without a second path.
    [[nodiscard]] const AnchorCopy* copy() const { return copy_.get(); }

  private:
    Anchors(const eventlog::EventLog& log, const SigningSeed& seed, AnchorPaths paths,
            const Moment& now);

    Result<> load();
    Result<> rewrite();
    Result<> check_last(const std::vector<LineageReset>& resets) const;
    Result<> make_until(eventlog::Seq last_seq, const Moment& now);
    Result<> make_all(eventlog::Seq last_seq, WallMicros wall_micros);
    Result<> make_some(eventlog::Seq last_seq, WallMicros wall_micros, std::size_t anchors_max);
    Result<eventlog::Anchor> make_next(eventlog::Seq last_seq, WallMicros wall_micros) const;
    Result<> store(const std::string& lines);

    const eventlog::EventLog& log_;
    SigningSeed seed_;
    AnchorPaths paths_;
    std::vector<eventlog::Anchor> anchors_;
    std::optional<AppendFile> file_;  ///< nullopt after a failed write: it is written anew first
    std::uint64_t durable_bytes_ = 0;
    std::unique_ptr<AnchorCopy> copy_;
    Listener listener_;
    std::optional<Error> alarm_;
    SteadyMillis last_made_ms_;
    SteadyMillis retry_ms_ = 0;  ///< not before this time
};

}  // namespace drover::orchestrator
