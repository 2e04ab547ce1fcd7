/// What the kernel itself says about one whole disk, under /sys/dev/block/MAJOR:MINOR. The audit of
/// the BPF tracker rests on its sector counters: the kernel advances them in the same function that
/// fires block_rq_complete, right after it and before the submitter learns of the completion.
/// Formats: Documentation/block/stat.rst and Documentation/ABI/stable/sysfs-block of Linux.
#pragma once

#include "base/file.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace drover::replicator {

/// Sectors of 512 bytes since the disk appeared. Discards are counted apart; secure erase and
/// write-zeroes count as written.
struct SectorCounts {
    std::uint64_t written = 0;
    std::uint64_t discarded = 0;

    bool operator==(const SectorCounts&) const = default;

    [[nodiscard]] std::uint64_t sum() const { return written + discarded; }
};

/// Exists for every block device the kernel has.
[[nodiscard]] std::filesystem::path disk_directory(std::uint32_t major, std::uint32_t minor);

/// Of a small file without its line end; empty if it cannot be read.
[[nodiscard]] std::string first_line(const std::filesystem::path& file);

/// One attribute without its line end; empty if it does not exist. `name` as in "queue/iostats".
[[nodiscard]] std::string disk_attribute(std::uint32_t major, std::uint32_t minor,
                                         std::string_view name);

/// The fields of a `stat` file that the audit needs. Errors: unsupported if there are no discard
/// counters (before Linux 4.18); corrupt.
[[nodiscard]] Result<SectorCounts> parse_stat(std::string_view text);

/// Keeps the files open, so that a disk which is removed and replaced gives errors and not somebody
/// else's numbers. Not thread-safe. Calls do not block on the disk.
class DiskStats {
  public:
    /// Errors: not_found.
    [[nodiscard]] static Result<DiskStats> open(std::uint32_t major, std::uint32_t minor);

    [[nodiscard]] Result<SectorCounts> completed() const;
    [[nodiscard]] Result<std::uint64_t> writes_in_flight() const;

    /// False if the counters above are switched off (queue/iostats).
    [[nodiscard]] Result<bool> accounting_on() const;
    /// Switches them on. Errors: unsupported.
    [[nodiscard]] Result<> switch_accounting_on() const;

  private:
    Fd stat_;
    Fd inflight_;
    Fd iostats_;
    std::filesystem::path directory_;
};

}  // namespace drover::replicator
