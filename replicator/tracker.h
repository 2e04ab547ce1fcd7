/// Who knows which blocks of a live disk changed. Two kinds behind one interface: "ebpf" (kernel block
/// tracepoints, exact and audited, see ebpf_tracker.h) and "scan" (content comparison by pass).
///
/// The order that loses no update: mark pending, take the dirty word, read the disk, send, wait for
/// the durable acknowledgement, clear pending. A tracker is attached before the mirror starts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "replicator/block_map.h"
#include "replicator/device.h"
#include "schemas/model.h"

namespace drover::replicator {

struct Audit {
    enum class Verdict : std::uint8_t {
        exact,    ///< every acknowledged write is in the dirty map
        busy,     ///< writes completed while looking: ask again
        repaired, ///< events were lost; what may have been missed was made dirty
        lost      ///< events were lost and cannot be explained: compare the whole disk. All of it
                  ///< was made dirty, in case nobody gets to; who compares clears the map first
    };

    Verdict verdict = Verdict::exact;
    std::uint64_t lost_sectors = 0;
    std::string detail;
};

class ChangeTracker {
  public:
    virtual ~ChangeTracker() = default;  ///< keeps tracking state alive outside the process where it can

    [[nodiscard]] virtual std::string_view kind() const = 0;  ///< "ebpf" or "scan"
    [[nodiscard]] virtual const Generation& generation() const = 0;

    /// True if state of an earlier process was taken over and is known to be complete; false for a
    /// new generation, whose dirty map starts empty: the caller then mirrors or compares everything.
    [[nodiscard]] virtual bool resumed() const = 0;

    /// Changes seen and not yet taken.
    [[nodiscard]] virtual BlockMap dirty() = 0;

    /// False only if no write of these blocks was issued since tracking began or dirty() was taken:
    /// unlike dirty(), also true while a write is in flight. Beyond doubt between two exact audits.
    [[nodiscard]] virtual bool may_be_written(std::uint64_t first_block, std::uint64_t blocks) {
        return dirty().any(first_block, blocks);
    }

    /// Brings dirty() up to date. Free for ebpf; for scan it reads and hashes the whole disk.
    /// Errors: io.
    [[nodiscard]] virtual Result<> refresh() = 0;

    /// The engine read `data` at `offset` and is about to send it. Multiples of observe_bytes().
    virtual void observe(std::uint64_t offset, ByteView data) = 0;
    /// Granularity of observe() and of the bits set by refresh(): reads are widened to it.
    [[nodiscard]] virtual std::uint64_t observe_bytes() const = 0;

    /// Counts write completions; unchanged between two calls means no write completed between.
    [[nodiscard]] virtual std::uint64_t seq() = 0;

    /// Compares what was tracked with the kernel's own counters.
    [[nodiscard]] virtual Result<Audit> audit() = 0;

    /// Ends tracking and removes every trace of it. The object is then only good for destruction.
    virtual void forget() = 0;
};

struct TrackerOptions {
    JobId job;
    std::uint32_t disk = 0;
    std::filesystem::path state_directory;  ///< per job; survives the process, not the host's reboot
    std::string boot_id;
    bool allow_ebpf = true;
};

/// ebpf where host and disk allow it, scan otherwise. `why_not_ebpf`, if not null, gets the reason.
[[nodiscard]] Result<std::unique_ptr<ChangeTracker>> open_tracker(BlockDevice& device,
                                                                  const TrackerOptions& options,
                                                                  std::string* why_not_ebpf);

/// Success if block tracepoints can track this device on this host; else unsupported with the reason.
[[nodiscard]] Result<> ebpf_can_track(const DeviceFacts& facts);

}  // namespace drover::replicator
