/// What every log keeps in memory, and the rules of append that need nothing else: limits, epoch,
/// expected positions, clamped time, both hash chains. Pure; an implementation only has to store
/// what plan() returns and then call advance().
///
///   plan(batch) ─► ok + records ─► store them, sync ─► advance(records)
#pragma once

#include "eventlog/log.h"

#include <map>

namespace drover::eventlog {

class Heads {
  public:
    explicit Heads(const Uuid& lineage, Epoch epoch = 0) {
        head_.lineage = lineage;
        head_.epoch = epoch;
    }

    [[nodiscard]] const Head& head() const { return head_; }

    [[nodiscard]] StreamHead stream(const StreamId& id) const;

    [[nodiscard]] std::size_t stream_count() const { return streams_.size(); }

    /// The events that `batch` would append, or why it may not: fenced, then invalid, then
    /// conflict. Changes nothing.
    [[nodiscard]] AppendResult plan(std::span<const Append> batch, Epoch epoch,
                                    WallMicros now_micros) const;

    /// `record` is stored and is the head now.
    void advance(const Record& record);

    /// For who reads a whole log: its end first, then its streams, in their order.
    void set_end(const Record& last);
    void add_stream(const StreamId& id, const StreamHead& end) {
        streams_.emplace_hint(streams_.end(), id, end);
    }

    void set_epoch(Epoch epoch) { head_.epoch = epoch; }

  private:
    [[nodiscard]] Record make_record(const StreamId& stream, const StreamHead& before,
                                     const Head& head, const NewEvent& event,
                                     WallMicros now_micros) const;

    Head head_;
    std::map<StreamId, StreamHead> streams_;
};

/// An append that was refused or failed.
[[nodiscard]] AppendResult append_failed(AppendOutcome outcome, Error error);

/// The conflict for a command that already has an answer.
[[nodiscard]] AppendResult already_answered(const Uuid& command_id);

}  // namespace drover::eventlog
