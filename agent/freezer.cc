#include "agent/freezer.h"

#include "agent/block_nodes.h"
#include "agent/freeze_watchdog.h"
#include "agent/hooks.h"
#include "base/file.h"

#include <algorithm>
#include <cerrno>
#include <set>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr const char* own_mountinfo = "/proc/self/mountinfo";
constexpr std::uint64_t memory_kib_min = 128U << 10;
constexpr std::size_t mountinfo_bytes_max = 16U << 20;

/// Invented numbers (btrfs) stand for the device that the mount names.
dev_t device_of(const Mount& mount) {
    if (major(mount.device) != 0) return mount.device;

    struct stat source {};

    const bool is_block = ::stat(mount.source.c_str(), &source) == 0 && S_ISBLK(source.st_mode);
    return is_block ? source.st_rdev : 0;
}

bool lies_on(dev_t device, const std::vector<DiskNodes>& disks) {
    const auto has = [&](dev_t one) {
        return std::ranges::any_of(disks, [&](const DiskNodes& disk) { return disk.has(one); });
    };
    return has(device) || std::ranges::any_of(disks_below(device), has);
}

bool is_read_only(const std::string& point) {
    struct statvfs about {};

    return ::statvfs(point.c_str(), &about) == 0 && (about.f_flag & ST_RDONLY) != 0;
}

Error freeze_failed(const std::string& point, int number) {
    Error error = errno_error(number, "freeze", point);
    return Error(Errc::io, "freeze_failed", error.detail(), "everything; nothing is frozen",
                 number == EBUSY ? "somebody else has frozen it: thaw it with fsfreeze -u, if "
                                   "nobody needs that"
                                 : "this filesystem cannot be frozen: unmount it, or do without");
}

/// A process that waits for memory may wait for a frozen filesystem.
Result<> check_memory() {
    TRY(const Bytes text, read_file("/proc/meminfo", mountinfo_bytes_max));
    const std::string lines(text.begin(), text.end());
    const std::size_t at = lines.find("MemAvailable:");
    const std::uint64_t available_kib =
        at == std::string::npos ? 0 : std::strtoull(lines.c_str() + at + 13, nullptr, 10);
    if (available_kib >= memory_kib_min) return {};
    return Error(Errc::unavailable, "memory_low",
                 std::to_string(available_kib >> 10) + " MiB of memory are available, " +
                     std::to_string(memory_kib_min >> 10) + " are wanted before a freeze",
                 "everything that was copied; nothing was frozen", "try again later");
}

class LinuxFreezer final : public replicator::Freezer {
  public:
    explicit LinuxFreezer(FreezePlan plan)
        : plan_(std::move(plan)) {}

    ~LinuxFreezer() override {
        if (frozen_ > 0) (void)thaw();
        if (is_locked_) ::munlockall();
    }

    LinuxFreezer(const LinuxFreezer&) = delete;
    LinuxFreezer& operator=(const LinuxFreezer&) = delete;

    [[nodiscard]] Result<> prepare() override {
        TRY_VOID(check_memory());
        TRY(const std::vector<std::string> points, filesystems_on(plan_.disks));
        if (points.empty())
            return Error(Errc::not_found, "nothing_to_freeze",
                         "no filesystem of the job's disks is mounted for writing",
                         "everything that was copied; nothing was frozen",
                         "the points that are found without freezing are as good: drover job "
                         "points shows them");
        for (const std::string& point : points) {
            Fd fd(::open(point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
            if (!fd.valid()) return errno_error(errno, "open", point);
            mounts_.push_back({point, std::move(fd)});
        }
        if (!plan_.hooks.empty()) {
            TRY(hooks_, freeze_hooks(plan_.hooks));
        }
        std::vector<int> fds;
        for (const Mounted& mount : mounts_) fds.push_back(mount.fd.get());
        return watchdog_.start(std::move(fds), hooks_, plan_.hook_limit_ms);
    }

    [[nodiscard]] Result<> settle() override {
        for (const Mounted& mount : mounts_)
            if (::syncfs(mount.fd.get()) != 0) return errno_error(errno, "sync", mount.point);
        return {};
    }

    [[nodiscard]] Result<> freeze() override {
        // From here on the watchdog undoes whatever was done, the hooks' doing too.
        TRY_VOID(watchdog_.arm(plan_.hook_limit_ms * std::int64_t(hooks_.size()) + plan_.limit_ms));
        for (const std::string& hook : hooks_) {
            auto stopped = run_freeze_hook(hook, "freeze", plan_.hook_limit_ms);
            ++called_;
            if (stopped) continue;
            (void)thaw();
            return stopped.error();
        }
        // A page that has to come from a frozen filesystem would never come.
        is_locked_ = ::mlockall(MCL_CURRENT | MCL_ONFAULT) == 0;
        TRY_VOID(watchdog_.arm(plan_.limit_ms));
        for (; frozen_ < mounts_.size(); ++frozen_) {
            const Mounted& mount = mounts_[mounts_.size() - 1 - frozen_];
            if (::ioctl(mount.fd.get(), FIFREEZE, 0) == 0) continue;
            const int number = errno;
            (void)thaw();
            return freeze_failed(mount.point, number);
        }
        return {};
    }

    [[nodiscard]] Result<PointKind> thaw() override {
        bool were_frozen = true;
        for (; frozen_ > 0; --frozen_) {
            const Mounted& mount = mounts_[mounts_.size() - frozen_];
            were_frozen = ::ioctl(mount.fd.get(), FITHAW, 0) == 0 && were_frozen;
        }
        if (is_locked_) ::munlockall();
        is_locked_ = false;
        const bool is_ours = watchdog_.disarm();
        for (std::size_t i = 0; i < called_ && is_ours; ++i)
            (void)run_freeze_hook(hooks_[i], "thaw", plan_.hook_limit_ms);
        called_ = 0;
        if (!were_frozen || !is_ours)
            return Error(Errc::timed_out, "freeze_ended_early",
                         "the filesystems were thawed after " + std::to_string(plan_.limit_ms) +
                             " ms, before everything was read",
                         "everything that was copied; nothing is frozen",
                         "try again when less is written");
        return hooks_.empty() ? PointKind::filesystem : PointKind::application;
    }

  private:
    struct Mounted {
        std::string point;
        Fd fd;
    };

    FreezePlan plan_;
    std::vector<Mounted> mounts_;  ///< in mount order; frozen from the last to the first
    std::vector<std::string> hooks_;
    std::size_t called_ = 0;  ///< hooks that were called with "freeze"
    std::size_t frozen_ = 0;  ///< of mounts_, from the end
    bool is_locked_ = false;
    FreezeWatchdog watchdog_;
};

}  // namespace

Result<std::vector<std::string>> filesystems_on(const std::vector<std::string>& disks) {
    std::vector<DiskNodes> nodes;
    for (const std::string& path : disks) {
        TRY(DiskNodes disk, find_nodes(path));
        nodes.push_back(std::move(disk));
    }
    TRY(const Bytes text, read_file(own_mountinfo, mountinfo_bytes_max));
    std::vector<std::string> points;
    std::set<dev_t> seen;
    for (const Mount& mount : parse_mounts(std::string(text.begin(), text.end()))) {
        const dev_t device = device_of(mount);
        if (device == 0 || seen.contains(device) || !lies_on(device, nodes)) continue;
        if (is_read_only(mount.point)) continue;
        seen.insert(device);
        points.push_back(mount.point);
    }
    return points;
}

std::shared_ptr<replicator::Freezer> make_freezer(FreezePlan plan) {
    return std::make_shared<LinuxFreezer>(std::move(plan));
}

}  // namespace drover::agent
