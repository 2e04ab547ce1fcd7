/// Every privileged act of the agent as one blocking message: values in, values or a Result out.
/// The agent calls nothing privileged elsewhere, so that these can move into a separate root
/// helper, and so that tests and simulations replace the host by replacing this.
///
/// Implementation on Linux: host_linux.h. Calls for different disks may come from several threads.
#pragma once

#include "agent/state_store.h"
#include "base/result.h"
#include "replicator/device.h"
#include "replicator/free_space.h"
#include "replicator/freezer.h"
#include "replicator/tracker.h"
#include "schemas/model.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace drover::agent {

struct HostDisk {
    replicator::DeviceFacts facts;
    std::uint64_t diskseq = 0;  ///< the kernel's number for this attachment; 0 for a file
};

/// Something that keeps a disk, or a partition of it, from being ours alone.
struct DiskUse {
    enum class Kind : std::uint8_t {
        mount,   ///< unmounting ends it
        swap,    ///< swapoff ends it
        holder,  ///< LVM, md, dm, or a loop device over an image: its owner must end it
        writer   ///< a process has it open for writing
    };

    Kind kind = Kind::holder;
    std::string
        detail;  ///< for people: "/dev/sdb1 is mounted at /srv", "mysqld (pid 4711) writes it"
};

/// One guard: all disks of one side of one job.
struct GuardName {
    JobId job;
    Side side = Side::source;

    [[nodiscard]] std::string text() const { return job.hex() + "-" + std::string(name_of(side)); }

    auto operator<=>(const GuardName&) const = default;
};

struct HookRun {
    Hook hook;  ///< as the configuration names it, with the digest its file must have
    HookStep step = HookStep::pre_fence;
    std::string job_name;
    std::vector<std::string> disks;
    FenceToken token;
    std::vector<std::string> test_disks = {};  ///< of a test: what the workload uses instead
};

/// Where the workload of a test writes in place of the disks.
struct OverlayPlan {
    std::string name;                 ///< of its files: no other job has it
    std::vector<std::string> disks;   ///< what lies below, in the job's order
    std::filesystem::path directory;  ///< on none of them
    std::string kind;                 ///< as of overlay.h: "reflink", "dm-snapshot", "qcow2"
};

/// What a freeze is to do, and how long it may last.
struct FreezePlan {
    std::vector<std::string> disks;  ///< of the job
    std::string hooks;               ///< a directory; empty: none
    std::int64_t limit_ms = 5'000;   ///< from freezing on: then all is thawed
    std::int64_t hook_limit_ms = 10'000;
};

class HostOps {
  public:
    virtual ~HostOps() = default;

    [[nodiscard]] virtual const HostIdentity& identity() const = 0;

    /// Errors: not_found, denied, io, unsupported (neither a whole block device nor a regular
    /// file).
    [[nodiscard]] virtual Result<HostDisk> look_up(const std::string& path) = 0;
    [[nodiscard]] virtual Result<std::unique_ptr<replicator::BlockDevice>> open_disk(
        const std::string& path, replicator::Access access) = 0;
    [[nodiscard]] virtual Result<std::unique_ptr<replicator::ChangeTracker>> attach_tracker(
        replicator::BlockDevice& device, const replicator::TrackerOptions& options,
        std::string* why_not_ebpf) = 0;
    /// Success if block tracepoints can track the disk here; else unsupported, with the reason.
    [[nodiscard]] virtual Result<> can_track_blocks(const replicator::DeviceFacts& facts) = 0;

    /// What mounted filesystems hold free of the disk (free_space.h). Blocks for as long as they
    /// need to write back.
    [[nodiscard]] virtual Result<replicator::FreeSpace> free_space(
        replicator::BlockDevice& device) = 0;

    /// Everything that uses the disk or a partition of it now. Drover's own guards do not count.
    [[nodiscard]] virtual Result<std::vector<DiskUse>> uses(const std::string& path) = 0;
    /// What this host itself keeps on the disk: "the root filesystem", "swap", "the agent's state".
    [[nodiscard]] virtual Result<std::vector<std::string>> own_files_on(
        const std::string& path) = 0;
    /// Success if no signature and no data were found. Errors: conflict ("target_not_blank").
    [[nodiscard]] virtual Result<> check_blank(const std::string& path) = 0;

    /// Unmounts every filesystem of the disk and its partitions. Errors: unavailable ("disk_busy"),
    /// detail naming the holder.
    [[nodiscard]] virtual Result<> unmount(const std::string& path) = 0;
    [[nodiscard]] virtual Result<> swap_off(const std::string& path) = 0;
    /// Writes out what the kernel still caches for the disk, then BLKROSET. Nothing for an image
    /// file.
    [[nodiscard]] virtual Result<> set_read_only(const std::string& path, bool read_only) = 0;

    /// Holds all `disks` exclusively from now on, beyond the death of this process. A living guard
    /// of that name which holds exactly these is taken over. Errors: unavailable ("disk_busy").
    [[nodiscard]] virtual Result<> hold_guard(const GuardName& name,
                                              const std::vector<std::string>& disks) = 0;
    /// True if a living guard of that name holds exactly these disks.
    [[nodiscard]] virtual Result<bool> guard_held(const GuardName& name,
                                                  const std::vector<std::string>& disks) = 0;
    /// Returns once the disks are let go. No guard of that name is a success.
    [[nodiscard]] virtual Result<> end_guard(const GuardName& name) = 0;

    /// Keeps udev and systemd from assembling and mounting what is on the disk, in the next boot
    /// too if the disk has a stable identity; or lets them again, at once. Both can be repeated.
    [[nodiscard]] virtual Result<> hide_from_udev(const std::string& path) = 0;
    [[nodiscard]] virtual Result<> show_to_udev(const std::string& path) = 0;

    /// Checks that the hook is configured and safe to run; SHA-256 of its file. Errors: not_found
    /// ("hook_unknown", "hook_missing"), denied ("hook_unsafe").
    [[nodiscard]] virtual Result<Hash> check_hook(const std::string& name) = 0;
    /// Blocks until it ends or its time is over. Errors: as check_hook; conflict ("hook_changed"),
    /// io
    /// ("hook_failed"), timed_out ("hook_timed_out").
    [[nodiscard]] virtual Result<> run_hook(const HookRun& run) = 0;

    /// Success if overlays of this kind can be made of all the disks. Errors: unsupported
    /// ("overlay_unsupported"), those of looking.
    [[nodiscard]] virtual Result<> can_overlay(const OverlayPlan& plan) = 0;
    /// Overlays of the disks as they are now, over whatever an earlier attempt left: what the
    /// workload is given, in the job's order. Errors: unavailable ("disk_busy"), io.
    [[nodiscard]] virtual Result<std::vector<std::string>> make_overlays(
        const OverlayPlan& plan) = 0;
    /// No overlay is a success. Errors: unavailable ("disk_busy", detail naming who uses one:
    /// nothing was removed), io.
    [[nodiscard]] virtual Result<> remove_overlays(const OverlayPlan& plan) = 0;

    /// See freezer.h. Does nothing yet.
    [[nodiscard]] virtual std::shared_ptr<replicator::Freezer> freezer(const FreezePlan& plan) = 0;

    /// Bytes written to the disk since this boot, by the kernel's count; nullopt where it keeps
    /// none.
    [[nodiscard]] virtual Result<std::optional<std::uint64_t>> bytes_written(
        const std::string& path) = 0;

    /// Changes whenever a write or discard of the disk completes, and only then, as long as the
    /// host stays up: the kernel's sector counters (switched on if off), or an image file's time.
    [[nodiscard]] virtual Result<std::uint64_t> write_mark(const std::string& path) = 0;

    /// Lets time pass between two looks at the same thing.
    virtual void wait_ms(std::int64_t milliseconds) = 0;
};

}  // namespace drover::agent
