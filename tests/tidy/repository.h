/// Reads the source tree: every text file of the repository, without build directories.
#pragma once

#include "checks.h"

#include <string>
#include <vector>

namespace drover::tidy {

/// Sorted by path. Files larger than 1 MiB are no sources and are left out.
[[nodiscard]] std::vector<File> read_repository(const std::string& root);

struct Outcome {
    int status = -1;
    std::string output;
};

/// Runs `program` with `arguments` in `root`, standard output and error together.
[[nodiscard]] Outcome run(const std::string& root, const std::vector<std::string>& arguments);

}  // namespace drover::tidy
