/// argv to Arguments. Prints nothing: what is to be shown comes back as text.
#pragma once

#include "cli/arguments.h"
#include "cli/exit_code.h"

#include <string>
#include <string_view>
#include <vector>

namespace drover::cli {

struct Parsed {
    Arguments arguments;
    /// Set when there is nothing to run: help or version (exit ok, for stdout) or a mistake (usage,
    /// for stderr).
    bool done = false;
    ExitCode exit = ExitCode::ok;
    std::string text;
};

/// `words` are the arguments after the program's name.
[[nodiscard]] Parsed parse_command_line(const std::vector<std::string>& words);

/// The candidate with the smallest edit distance, "" if none is near.
[[nodiscard]] std::string nearest(std::string_view word,
                                  const std::vector<std::string>& candidates);

}  // namespace drover::cli
