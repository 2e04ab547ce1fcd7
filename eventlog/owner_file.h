/// One process owns a log directory. The owner is named in a file and holds a flock(2) on it, so a
/// dead owner never blocks: the kernel drops its lock.
#pragma once

#include "base/file.h"

#include <filesystem>

namespace drover::eventlog {

/// Holds the ownership until destroyed.
class OwnerFile {
  public:
    /// Errors: log_owned (unavailable), naming host, pid and boot of the owner; io. Does not wait.
    [[nodiscard]] static Result<OwnerFile> acquire(const std::filesystem::path& path);

  private:
    explicit OwnerFile(Fd fd)
        : fd_(std::move(fd)) {}

    Fd fd_;
};

}  // namespace drover::eventlog
