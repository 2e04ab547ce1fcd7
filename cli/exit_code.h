/// Exit codes of problem documents, and the table of all codes for `drover help exit-codes`.
#pragma once

#include "base/exit_code.h"

#include <string>
#include <string_view>

namespace drover::cli {

using drover::exit_code_of;
using drover::ExitCode;

/// Of an HTTP answer with this status and problem code.
[[nodiscard]] ExitCode exit_code_of(unsigned status, std::string_view problem_code);

/// The table that `drover help exit-codes` prints.
[[nodiscard]] std::string exit_code_help();

}  // namespace drover::cli
