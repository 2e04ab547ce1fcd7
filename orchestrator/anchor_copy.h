/// Keeps a second file equal to the file of anchors, on another volume. That volume may be slow,
/// full or away, so it has a thread of its own: nothing here ever waits for it.
///
///   anchors.jsonl, durable ─► wake(bytes) ─► thread: bring_up_to_date ─► status()
#pragma once

#include "base/result.h"
#include "base/threads.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

namespace drover::orchestrator {

/// Appends to `copy` what the first `bytes` of `own` have beyond it; makes it if there is none. All
/// of it is durable afterwards, also what an earlier attempt wrote. Memory is bounded. Errors:
/// conflict (anchor_copy_differs) if the copy is not the beginning of our file: one of them was
/// changed, and neither is touched; io, denied, not_found.
[[nodiscard]] Result<> bring_up_to_date(const std::filesystem::path& own,
                                        const std::filesystem::path& copy, std::uint64_t bytes);

constexpr std::int64_t anchor_copy_retry_ms = 10'000;

struct AnchorCopyLimits {
    std::int64_t hang_ms = 60'000;  ///< an attempt that takes longer is an alarm
    std::int64_t stop_ms = 5'000;   ///< what an attempt gets to end before it is left behind
};

class AnchorCopy {
  public:
    /// The first `bytes` of `own` are durable.
    AnchorCopy(std::filesystem::path own, std::filesystem::path copy, std::uint64_t bytes,
               AnchorCopyLimits limits = {});
    /// Waits for an attempt that is under way, but not longer than limits.stop_ms.
    ~AnchorCopy();
    AnchorCopy(const AnchorCopy&) = delete;
    AnchorCopy& operator=(const AnchorCopy&) = delete;

    /// There is more to copy: so many bytes are durable. Does not wait.
    void wake(std::uint64_t bytes);

    struct Status {
        bool is_current = false;     ///< everything is there
        std::optional<Error> alarm;  ///< why not; tried again every anchor_copy_retry_ms
    };

    [[nodiscard]] Status status() const;

    [[nodiscard]] const std::filesystem::path& path() const;

  private:
    struct Work;
    static void run(Work& work);

    const AnchorCopyLimits limits_;
    std::shared_ptr<Work> work_;  ///< also the thread's, which may be left behind
    Thread thread_;
};

}  // namespace drover::orchestrator
