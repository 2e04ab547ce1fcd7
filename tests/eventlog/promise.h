/// What the user of a log was told, kept where the fault does not reach, and whether a log keeps
/// it.
#pragma once

#include "base/random.h"
#include "eventlog/log.h"

#include <array>
#include <filesystem>

namespace drover::eventlog::testing {

struct Promise {
    bool created = false;
    Epoch epoch = 0;
    Seq acknowledged = 0;  ///< the last event of the last batch that was
    Hash hash;             ///< of that event
    Seq batch_first = 0;   ///< the first event of that batch
    Seq head_synced = 0;   ///< where the last sync_head() returned well
};

/// Appends a drawn batch: 1 to 4 events of up to 40 KiB, with an answer. Every event says which
/// events its batch has. What is acknowledged is promised.
AppendResult append_drawn(EventLog& log, Random& random, WallMicros now, Promise& promise);

/// raise_epoch() and sync_head(), with the promise in them.
Result<> raise_epoch(EventLog& log, WallMicros now, Promise& promise);
Result<> sync_head(EventLog& log, Promise& promise);

/// What is wrong: an acknowledged event or answer is missing or another one, a batch is there in
/// part, the epoch went back, the log cannot be read. "" when the promise is kept.
[[nodiscard]] std::string broken_promise(const EventLog& log, const Promise& promise);

/// A text in shared memory.
using Note = std::array<char, 600>;
void write_note(Note& note, const std::string& text);

}  // namespace drover::eventlog::testing
