#include "agent/host_linux.h"

#include "agent/blank_check.h"
#include "agent/block_nodes.h"
#include "agent/freezer.h"
#include "agent/mounts.h"
#include "agent/overlay.h"
#include "agent/udev.h"
#include "base/file.h"
#include "replicator/diskstats.h"

#include <cerrno>
#include <chrono>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr std::uint64_t stat_sector_bytes = 512;  // /sys/block/X/stat counts these, always

UdevDisk udev_disk(const DiskNodes& disk, const HostDisk& found) {
    UdevDisk out;
    for (const BlockNode& node : disk.nodes) out.kernel_names.push_back(node.name);
    out.identity = found.facts.identity;
    return out;
}

struct SectorCounts {
    std::uint64_t written = 0;
    std::uint64_t discarded = 0;
};

/// Fields 7 and 14 of /sys/block/X/stat (Documentation/block/stat.rst).
Result<SectorCounts> sector_counts(const DiskNodes& disk) {
    std::istringstream numbers(sysfs_text(disk.nodes.front().device, "stat"));
    std::vector<std::uint64_t> fields;
    for (std::uint64_t value = 0; numbers >> value;) fields.push_back(value);
    constexpr std::size_t written_index = 6;
    constexpr std::size_t discarded_index = 13;
    if (fields.size() <= discarded_index)
        return Error(Errc::unsupported, "disk_uncounted",
                     "the kernel keeps no counters for " + disk.path, "nothing was changed",
                     "use a kernel of 4.18 or newer");
    return SectorCounts{fields[written_index], fields[discarded_index]};
}

/// A counter that stands still because nobody counts must not look like a disk at rest.
Result<> count_sectors(const DiskNodes& disk) {
    const dev_t device = disk.nodes.front().device;
    TRY(const auto stats, replicator::DiskStats::open(major(device), minor(device)));
    if (auto counted = stats.switch_accounting_on(); !counted)
        return Error(Errc::unsupported, "disk_uncounted", counted.error().detail(),
                     "nothing was changed",
                     "echo 1 > /sys/block/" + disk.nodes.front().name + "/queue/iostats");
    return {};
}

}  // namespace

HostLinux::HostLinux(HostLinuxOptions options, Random& random)
    : options_(std::move(options)),
      random_(random),
      hooks_(options_.hooks, options_.hook_timeout_s),
      guards_(options_.guard_program, options_.paths.guards()) {}

Result<HostDisk> HostLinux::look_up(const std::string& path) {
    TRY(const DiskNodes nodes, find_nodes(path));
    auto device = open_disk(path, replicator::Access::read_only);
    if (!device)
        return Error(device.error().code(), "disk_unreadable", device.error().detail(),
                     "nothing was changed",
                     "check that the agent runs as root and that the disk answers");
    HostDisk disk;
    disk.facts = (*device)->facts();
    if (!nodes.is_block) return disk;
    const std::string diskseq = sysfs_text(nodes.nodes.front().device, "diskseq");
    if (!diskseq.empty()) disk.diskseq = std::strtoull(diskseq.c_str(), nullptr, 10);
    return disk;
}

Result<std::unique_ptr<replicator::BlockDevice>> HostLinux::open_disk(const std::string& path,
                                                                      replicator::Access access) {
    return replicator::open_device(path, access);
}

Result<std::unique_ptr<replicator::ChangeTracker>> HostLinux::attach_tracker(
    replicator::BlockDevice& device, const replicator::TrackerOptions& options,
    std::string* why_not_ebpf) {
    return replicator::open_tracker(device, options, why_not_ebpf);
}

Result<> HostLinux::can_track_blocks(const replicator::DeviceFacts& facts) {
    return replicator::ebpf_can_track(facts);
}

Result<replicator::FreeSpace> HostLinux::free_space(replicator::BlockDevice& device) {
    return replicator::read_free_space(device);
}

Result<std::vector<DiskUse>> HostLinux::uses(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    return disk_uses(disk);
}

Result<std::vector<std::string>> HostLinux::own_files_on(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    return agent::own_files_on(disk, options_.paths.root.native());
}

Result<> HostLinux::check_blank(const std::string& path) {
    return check_blank_disk(path, random_);
}

Result<> HostLinux::unmount(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    return unmount_disk(disk);
}

Result<> HostLinux::swap_off(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    return swap_off_disk(disk);
}

Result<> HostLinux::set_read_only(const std::string& path, bool read_only) {
    TRY(const DiskNodes disk, find_nodes(path));
    const Fd fd(::open(disk.path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", disk.path);
    // What was written through the page cache and never synced has to reach the disk, and the
    // tracker, before the fence is proved.
    if (read_only && ::fsync(fd.get()) != 0) return errno_error(errno, "flush", disk.path);
    if (!disk.is_block) return {};
    const int value = read_only ? 1 : 0;
    if (::ioctl(fd.get(), BLKROSET, &value) != 0)
        return errno_error(errno, read_only ? "set read-only" : "set writable", disk.path);
    return {};
}

Result<> HostLinux::hold_guard(const GuardName& name, const std::vector<std::string>& disks) {
    return guards_.hold(name, disks);
}

Result<bool> HostLinux::guard_held(const GuardName& name, const std::vector<std::string>& disks) {
    return guards_.held(name, disks);
}

Result<> HostLinux::end_guard(const GuardName& name) {
    return guards_.end(name);
}

Result<> HostLinux::hide_from_udev(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    if (!disk.is_block) return {};
    TRY(const HostDisk found, look_up(path));
    return add_udev_rule(udev_disk(disk, found));
}

Result<> HostLinux::show_to_udev(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    if (!disk.is_block) return {};
    TRY(const HostDisk found, look_up(path));
    return remove_udev_rule(udev_disk(disk, found));
}

Result<Hash> HostLinux::check_hook(const std::string& name) {
    return hooks_.check(name);
}

Result<> HostLinux::run_hook(const HookRun& run) {
    return hooks_.run(run);
}

Result<> HostLinux::can_overlay(const OverlayPlan& plan) {
    return can_make_overlays(plan);
}

Result<std::vector<std::string>> HostLinux::make_overlays(const OverlayPlan& plan) {
    return make_overlay_files(plan);
}

Result<> HostLinux::remove_overlays(const OverlayPlan& plan) {
    return remove_overlay_files(plan);
}

std::shared_ptr<replicator::Freezer> HostLinux::freezer(const FreezePlan& plan) {
    return make_freezer(plan);
}

Result<std::optional<std::uint64_t>> HostLinux::bytes_written(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    if (!disk.is_block) return std::optional<std::uint64_t>();
    TRY(const SectorCounts counts, sector_counts(disk));
    return std::optional(counts.written * stat_sector_bytes);
}

Result<std::uint64_t> HostLinux::write_mark(const std::string& path) {
    TRY(const DiskNodes disk, find_nodes(path));
    if (disk.is_block) {
        TRY_VOID(count_sectors(disk));
        TRY(const SectorCounts counts, sector_counts(disk));
        return counts.written + counts.discarded;
    }

    struct stat about {};

    if (::stat(disk.path.c_str(), &about) != 0) return errno_error(errno, "look at", disk.path);
    return static_cast<std::uint64_t>(about.st_mtim.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(about.st_mtim.tv_nsec);
}

void HostLinux::wait_ms(std::int64_t milliseconds) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

}  // namespace drover::agent
