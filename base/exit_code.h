/// The exit codes of all drover programs; documented in docs/exit-codes.md.
#pragma once

#include "base/result.h"

namespace drover {

/// Stable numbers. New ones may come: whoever reads them treats an unknown one as a failure.
enum class ExitCode : int {
    ok = 0,
    failure = 1,
    usage = 2,
    not_allowed = 4,
    not_found = 5,
    refused = 6,  ///< by the job's state; nothing changed
    preflight_critical = 7,
    ended_otherwise = 8,  ///< the awaited job ended in another final phase
    unreachable = 9,      ///< safe to retry
    integrity = 11,
    timeout = 124,
    interrupted = 130
};

[[nodiscard]] ExitCode exit_code_of(Errc code);

}  // namespace drover
