/// Keeps a second file equal to the file of anchors, on another volume. That volume may be slow,
/// full or away, so it has a thread of its own: nothing here ever waits for it.
///
///   anchors.jsonl ─► wake() ─► thread: bring_up_to_date ─► status()
#pragma once

#include "base/result.h"
#include "base/threads.h"

#include <cstdint>
#include <filesystem>
#include <optional>

namespace drover::orchestrator {

/// Appends to `copy` what `own` has beyond it, durably; makes it if there is none. Memory is
/// bounded. Errors: conflict (anchor_copy_differs) if the copy is not the beginning of our file:
/// one of them was changed, and neither is touched; io, denied, not_found.
[[nodiscard]] Result<> bring_up_to_date(const std::filesystem::path& own,
                                        const std::filesystem::path& copy);

constexpr std::int64_t anchor_copy_retry_ms = 10'000;

class AnchorCopy {
  public:
    AnchorCopy(std::filesystem::path own, std::filesystem::path copy);
    /// Waits for a write that is under way.
    ~AnchorCopy();
    AnchorCopy(const AnchorCopy&) = delete;
    AnchorCopy& operator=(const AnchorCopy&) = delete;

    /// There is more to copy. Does not wait.
    void wake();

    struct Status {
        bool is_current = false;     ///< everything is there
        std::optional<Error> alarm;  ///< why not; tried again every anchor_copy_retry_ms
    };

    [[nodiscard]] Status status() const;

    [[nodiscard]] const std::filesystem::path& path() const { return copy_; }

  private:
    void run();

    const std::filesystem::path own_;
    const std::filesystem::path copy_;
    mutable Mutex mutex_;
    Condition changed_;
    Status status_;
    bool is_due_ = true;
    bool is_stopping_ = false;
    Thread thread_;
};

}  // namespace drover::orchestrator
