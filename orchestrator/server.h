/// droverd as a process: the state directory, the log, the core, two listeners, one event loop.
///
/// Start order: own the log ─► replay ─► raise the epoch, durably ─► listen. Group commit: handlers
/// only submit; a turn of the core is posted behind everything that is ready to run, so what
/// arrived together is committed together.
#pragma once

#include "orchestrator/config.h"

#include <filesystem>

namespace drover::orchestrator {

/// Runs until SIGTERM or SIGINT (success), or until the log fails (error: the process must exit
/// non-zero and be started again). Prints one "ready" line with the ports to stderr when it
/// listens.
[[nodiscard]] Result<> run_server(const std::filesystem::path& state, const Config& config);

}  // namespace drover::orchestrator
