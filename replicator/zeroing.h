/// Zeroing a range by the device's own command. Some devices accept the command and keep the data,
/// so that it is believed only after one look at a range that held something else before.
#pragma once

#include "replicator/device.h"

#include <atomic>
#include <functional>

namespace drover::replicator {

class Zeroing {
  public:
    /// The device's command for a range; false if the device refuses it.
    using Command = std::function<bool(std::uint64_t offset, std::uint64_t length)>;

    /// Makes the range read as zeroes: by the command where that was proved to work, else by
    /// writing them. Errors: those of reading and writing `device`. Blocks. Thread-safe.
    [[nodiscard]] Result<> zero(BlockDevice& device, std::uint64_t offset, std::uint64_t length,
                                const Command& command);

  private:
    [[nodiscard]] static Result<bool> proves(BlockDevice& device, std::uint64_t offset,
                                             std::uint64_t length, const Command& command);

    enum class Trust : std::uint8_t { untried, proven, unusable };
    std::atomic<Trust> trust_ = Trust::untried;
};

}  // namespace drover::replicator
