/// Follows a hash chain event by event and says where it first breaks. Value types; no I/O.
#pragma once

#include "eventlog/log.h"

namespace drover::eventlog {

/// The chain through the whole log.
class ChainCheck {
  public:
    /// Continues after event `seq`, whose hash is `hash`; the default starts before the first
    /// event.
    explicit ChainCheck(Seq seq = 0, Hash hash = {})
        : seq_(seq),
          hash_(hash) {}

    /// Decodes the event that must come next and moves on to it. Errors (corrupt), each naming the
    /// event: event_missing, event_damaged (its bytes do not give its hash), chain_broken (it does
    /// not follow the event before, or epoch or time go back).
    [[nodiscard]] Result<Record> next(ByteView stored);

    /// Moves on to `record` although it broke the chain, to look for other damage behind it.
    void resume_after(const Record& record);

    [[nodiscard]] Seq seq() const { return seq_; }

  private:
    Seq seq_;
    Hash hash_;
    Epoch epoch_ = 0;
    WallMicros wall_micros_ = INT64_MIN;
};

/// Whether `record` follows `before` in its stream. Errors: corrupt, id stream_chain_broken.
[[nodiscard]] Result<> check_stream_link(const Record& record, const StreamHead& before);

/// "job 1b4e28ba-…", for messages.
[[nodiscard]] std::string stream_text(const StreamId& stream);

}  // namespace drover::eventlog
