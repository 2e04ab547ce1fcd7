/// What makes a state directory unfit for good: an agent has shown that its log is an older copy of
/// the one that it obeyed. Kept beside the log, so that a restart does not forget it while that
/// agent is away. It goes with the directory; a person who knows better removes the file. Blocking.
#pragma once

#include "base/result.h"

#include <filesystem>
#include <optional>

namespace drover::orchestrator {

struct OlderCopy {
    bool is_known = false;       ///< an earlier start found it out
    std::optional<Error> shown;  ///< by which agent, and what to do
};

/// Errors: corrupt (state_damaged), io.
[[nodiscard]] Result<OlderCopy> load_older_copy(const std::filesystem::path& state);

/// Durable when it returns. Errors: io.
[[nodiscard]] Result<> store_older_copy(const std::filesystem::path& state, const Error& shown);

}  // namespace drover::orchestrator
