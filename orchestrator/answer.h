/// The answer to a command as it is kept in the log, so that a retry gets the same one. It names
/// the events; whoever renders it reads them from the log.
#pragma once

#include "eventlog/log.h"
#include "schemas/model.h"
#include "statemachine/job.h"

#include <optional>

namespace drover::orchestrator {

struct Answer {
    JobId job;  ///< zero for a command that is about no job
    /// Why the command was refused. The refusal itself may be an event.
    std::optional<statemachine::Rejected> rejected;
    eventlog::Seq first_seq = 0;    ///< 0: no event was needed
    std::uint32_t event_count = 0;  ///< their numbers follow each other

    bool operator==(const Answer&) const = default;
};

[[nodiscard]] Bytes encode_answer(const Answer& answer);
/// Errors: corrupt.
[[nodiscard]] Result<Answer> decode_answer(ByteView bytes);

}  // namespace drover::orchestrator
