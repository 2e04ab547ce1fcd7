/// The dead man's switch of a freeze: a process of its own that thaws when its starter is silent.
///
///   start ─► fork ─► waits ─┬─ "arm MS" ─► waits MS ─┬─ "disarm" ─► waits
///                           └─ end of starter        └─ silence, or the end of starter: FITHAW
///                              ─► exits                 all, hooks "thaw", FITHAW until it is asked
///
/// Between fork and exit it does nothing but read, poll, ioctl, and start hooks after thawing.
#pragma once

#include "base/fd.h"
#include "base/result.h"

#include <string>
#include <vector>

#include <sys/types.h>

namespace drover::agent {

constexpr std::size_t freeze_mounts_max = 64;

class FreezeWatchdog {
  public:
    FreezeWatchdog() = default;
    /// The process ends by itself; waits for it.
    ~FreezeWatchdog();
    FreezeWatchdog(const FreezeWatchdog&) = delete;
    FreezeWatchdog& operator=(const FreezeWatchdog&) = delete;

    /// `mounts`: open descriptors of the mount points, frozen from the last to the first. Errors:
    /// io.
    [[nodiscard]] Result<> start(std::vector<int> mounts, const std::vector<std::string>& hooks,
                                 std::int64_t hook_limit_ms);
    /// From here on it thaws after `limit_ms`, if it is not armed anew or disarmed. Errors: io (it
    /// is gone).
    [[nodiscard]] Result<> arm(std::int64_t limit_ms);
    /// False if it has thawed, or began to.
    [[nodiscard]] bool disarm();

  private:
    [[nodiscard]] bool tell(std::int64_t limit_ms);

    pid_t process_ = -1;
    Fd starter_;  ///< our end: milliseconds to it, 0 to disarm; one byte back for each order taken
};

}  // namespace drover::agent
