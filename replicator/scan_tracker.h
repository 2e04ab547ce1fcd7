/// Change tracking without the kernel's help: compares the content of the disk, chunk by chunk,
/// with what was last sent.
///
///   observe(sent data) ─► table[chunk] = XXH3-128          refresh(): read disk, hash, differs ─►
///   dirty
///
/// The table holds the hash of what was *sent*, never of what a scan saw. If a scan stored its own
/// hash, a write that lands between the scan and the read for sending, undone by a second write
/// after that read, would make the next scan find "unchanged" while the target keeps the middle
/// version.
#pragma once

#include "base/threads.h"
#include "replicator/shared_map.h"
#include "replicator/tracker.h"

#include <memory>

namespace drover::replicator {

constexpr std::uint64_t scan_chunk_bytes = 64U << 10;

class ScanTracker final : public ChangeTracker {
  public:
    /// Takes over the state file in `options.state_directory` if boot, job, disk, size and identity
    /// match, else starts a new generation whose table knows nothing. Errors: io, unavailable.
    [[nodiscard]] static Result<std::unique_ptr<ChangeTracker>> open(BlockDevice& device,
                                                                     const TrackerOptions& options);

    [[nodiscard]] std::string_view kind() const override { return "scan"; }

    [[nodiscard]] const Generation& generation() const override { return map_.generation(); }

    [[nodiscard]] bool resumed() const override { return resumed_; }

    [[nodiscard]] BlockMap dirty() override;
    [[nodiscard]] Result<> refresh() override;
    void observe(std::uint64_t offset, ByteView data) override;

    [[nodiscard]] std::uint64_t observe_bytes() const override { return scan_chunk_bytes; }

    /// Counts chunks that a scan newly found changed.
    [[nodiscard]] std::uint64_t seq() override;
    /// A scan misses nothing that was complete before it began; there is nothing to audit.
    [[nodiscard]] Result<Audit> audit() override;
    void forget() override;

  private:
    ScanTracker(BlockDevice& device, SharedMap map, std::filesystem::path path, bool resumed)
        : device_(device),
          map_(std::move(map)),
          path_(std::move(path)),
          resumed_(resumed) {}

    void compare(std::uint64_t offset, ByteView data);

    BlockDevice& device_;
    SharedMap map_;  ///< word 0: seq; then the dirty words; then two words of hash per chunk
    std::filesystem::path path_;
    bool resumed_;
    Mutex mutex_;  ///< guards the table
};

}  // namespace drover::replicator
