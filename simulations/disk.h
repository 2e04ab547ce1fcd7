/// A disk of a simulated machine. What a block holds is a version: a number that is different for
/// every write of the whole simulation, 0 for zeroes. As bytes a block is its version in the first
/// eight, little-endian, and zeroes; so the production code reads, hashes, sends and compares real
/// blocks, and the world compares numbers.
#pragma once

#include "replicator/device.h"
#include "replicator/tracker.h"
#include "simulations/environment.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::sim {

using Version = std::uint64_t;

/// Never the same number twice in one simulation.
[[nodiscard]] Version next_version();
void reset_versions();

/// Whether what the running fiber does may have an effect: not if its process was killed and it is
/// only being unwound. Always true outside of a fiber.
[[nodiscard]] bool caller_is_alive();

/// What the kernel keeps of a job's changes on a disk: survives the agent, not the boot.
struct KernelTracking {
    JobId job;
    Generation generation;
    std::string identity;              ///< of the disk when it began
    std::uint64_t diskseq = 0;         ///< likewise
    std::vector<std::uint64_t> dirty;  ///< a bit per block
    std::vector<bool> missed;          ///< blocks whose completion event was lost
    std::uint64_t missed_count = 0;
    bool issue_lost = false;  ///< of a missed one: nobody knows where, compare everything
};

class Disk {
  public:
    Disk(std::string path, std::string identity, std::uint64_t blocks);

    [[nodiscard]] std::uint64_t blocks() const { return now_.size(); }

    [[nodiscard]] const std::vector<Version>& now() const { return now_; }

    [[nodiscard]] const std::vector<Version>& durable() const { return durable_; }

    /// A completed write, of the machine's users or of the replicator: counted and tracked.
    void write(std::uint64_t block, Version version);
    void flush();
    /// What a failed flush leaves: everything since the last good one is gone.
    void drop_unsynced();
    /// Each block written since the last flush() is kept, lost or torn (another number altogether),
    /// as `dice` says.
    void lose_power(Dice& dice);
    /// Bit rot: nobody is told.
    void rot(std::uint64_t block);
    /// What a reboot takes: counters, trackers, mounts, flags, guards.
    void forget_boot();

    const std::string path;
    std::string identity;
    std::uint64_t diskseq = 1;  ///< another one for every attachment; ends what has it open
    bool present = true;
    bool read_only = false;
    bool mounted = false;
    bool hidden = false;           ///< from udev: systemd does not mount it, at boot or later
    bool root = false;             ///< carries the machine itself
    std::uint64_t write_mark = 0;  ///< of this boot: changes with every completed write
    std::uint64_t writes = 0;      ///< of this boot
    /// How many of the next completions the trackers are not told, and whether of the issues of
    /// these neither. Without a tracker nothing is lost.
    std::uint32_t lose_completions = 0;
    bool lose_issues = false;
    /// How many of the next blocks that a device writes become something else on the way.
    std::uint32_t flip_writes = 0;
    /// Shared with the tracker objects, because a dying process may outlive the boot for a moment.
    std::vector<std::shared_ptr<KernelTracking>> tracking;
    /// By whom the disk is held exclusively: a guard's name, or empty.
    std::string guard;
    Micros io_time = 0;  ///< of one call of a device

  private:
    void track(std::uint64_t block);

    std::vector<Version> now_;
    std::vector<Version> durable_;
    std::vector<std::uint64_t> unsynced_;  ///< a bit per block
};

/// The production code's way to a disk. Steps: "disk.before_write" and "disk.written" (write and
/// write_zeroes), "disk.flushed", "disk.read". Attempts: "disk.read", "disk.write", "disk.flush" on
/// the disk's path. Errors: io while the disk is not present or after it was attached anew,
/// cancelled once the calling process is dead. The disk must outlive the device.
[[nodiscard]] std::unique_ptr<replicator::BlockDevice> open_simulated(Disk& disk,
                                                                      replicator::Access access);

/// An eBPF tracker as far as its users can tell: resumes what the kernel kept, misses what `disk`
/// was told to lose, finds it in audit() (repaired, or lost when the issues were lost as well).
/// State that cannot be known to be complete is not resumed, but begun anew with `fresh`.
[[nodiscard]] std::unique_ptr<replicator::ChangeTracker> track_simulated(Disk& disk,
                                                                         const JobId& job,
                                                                         const Generation& fresh);

}  // namespace drover::sim
