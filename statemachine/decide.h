/// decide(state, command) -> facts or a refusal. Pure: no I/O, no clock, no randomness of its own.
#pragma once

#include "statemachine/command.h"
#include "statemachine/job.h"

#include <string>
#include <variant>
#include <vector>

namespace drover::statemachine {

struct Accepted {
    std::vector<Event> events;  ///< may be empty: the wish is already so, or the report is stale
};

using Decision = std::variant<Accepted, Rejected>;

struct DecideContext {
    WallMicros now_micros = 0;
    FenceToken fresh_token;  ///< random; used if a cutover starts
};

constexpr std::uint32_t repairs_max = 3;

[[nodiscard]] Decision decide(const Job& job, const Command& command, const DecideContext& context);

/// Every operator action with nullopt if decide would accept it now, else why not. By dry-running
/// decide itself, so it cannot drift.
struct ActionVerdict {
    std::string action;
    std::optional<Rejected> why_not;
};

[[nodiscard]] std::vector<ActionVerdict> allowed_actions(const Job& job, WallMicros now_micros);

/// What the job waits for, in one sentence each: "source agent web-01: fence, since …".
struct Waiting {
    std::string on_whom;  ///< agent name, "operator" or "time"
    std::string for_what;
    WallMicros since_micros = 0;
    WallMicros deadline_micros = 0;  ///< 0: none
};

[[nodiscard]] std::vector<Waiting> waiting_for(const Job& job);

}  // namespace drover::statemachine
