#include "agent/mounts.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>

namespace drover::agent {
namespace {

constexpr const char* own_mountinfo = "/proc/self/mountinfo";
constexpr std::size_t holders_shown_max = 5;
constexpr int busy_tries_max = 20;
constexpr auto busy_wait = std::chrono::milliseconds(100);

Error busy(const std::string& detail) {
    return Error(Errc::unavailable, "disk_busy", detail, "the disk and everything on it",
                 "stop what holds it, for example in the job's hook, then retry the step");
}

Error cannot_unmount(const Mount& mount, int number) {
    std::string detail =
        mount.point + " cannot be unmounted: " + std::generic_category().message(number);

    struct stat about {};

    if (number == EBUSY && ::stat(mount.point.c_str(), &about) == 0) {
        const auto holders = processes_on(about.st_dev);
        detail += holders.empty() ? "; no process holds a file there, so look for nested mounts"
                                  : "; held by " + joined(holders, holders_shown_max);
    }
    return busy(detail);
}

/// The device of the filesystem that `path` lies on, looking through invented numbers (btrfs,
/// overlay).
dev_t device_under(const std::string& path, const std::vector<Mount>& all) {
    struct stat about {};

    if (::stat(path.c_str(), &about) != 0) return 0;
    if (major(about.st_dev) != 0) return about.st_dev;
    for (const Mount& mount : all) {
        struct stat source {};

        if (mount.device == about.st_dev && ::stat(mount.source.c_str(), &source) == 0 &&
            S_ISBLK(source.st_mode))
            return source.st_rdev;
    }
    return 0;
}

}  // namespace

std::string joined(const std::vector<std::string>& parts, std::size_t shown_max) {
    std::string out;
    for (std::size_t i = 0; i < parts.size() && i < shown_max; ++i)
        out += (i == 0 ? "" : ", ") + parts[i];
    if (parts.size() > shown_max)
        out += " and " + std::to_string(parts.size() - shown_max) + " more";
    return out;
}

Result<std::vector<DiskUse>> disk_uses(const DiskNodes& disk) {
    std::vector<DiskUse> uses;
    TRY(const std::vector<Mount> mounts, mounts_of(disk, own_mountinfo));
    for (const Mount& mount : mounts)
        uses.push_back({DiskUse::Kind::mount, mount.source + " is mounted at " + mount.point});
    for (const std::string& swap : swaps_of(disk))
        uses.push_back({DiskUse::Kind::swap, swap + " is swap"});
    for (const std::string& holder : holders_of(disk))
        uses.push_back({DiskUse::Kind::holder, holder});
    for (const std::string& mount : foreign_mounts_of(disk))
        uses.push_back({DiskUse::Kind::holder, disk.path + " is mounted at " + mount});
    for (const std::string& writer : writers_of(disk))
        uses.push_back({DiskUse::Kind::writer, writer});
    return uses;
}

Result<> unmount_disk(const DiskNodes& disk) {
    for (int tries = 0;; ++tries) {
        TRY(const std::vector<Mount> mounts, mounts_of(disk, own_mountinfo));
        if (mounts.empty()) return {};
        for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
            if (::umount2(mount->point.c_str(), UMOUNT_NOFOLLOW) == 0) continue;
            if (errno != EBUSY || tries >= busy_tries_max) return cannot_unmount(*mount, errno);
        }
        if (tries > 0) std::this_thread::sleep_for(busy_wait);
    }
}

Result<> swap_off_disk(const DiskNodes& disk) {
    for (const std::string& swap : swaps_of(disk))
        if (::swapoff(swap.c_str()) != 0)
            return busy(swap +
                        " cannot be taken out of swap: " + std::generic_category().message(errno));
    return {};
}

Result<std::vector<std::string>> own_files_on(const DiskNodes& disk, const std::string& state) {
    std::vector<std::string> found;
    if (!disk.is_block) return found;
    TRY(const std::string text, read_text(own_mountinfo, 16U << 20));
    const std::vector<Mount> all = parse_mounts(text);
    const std::pair<std::string, std::string> places[] = {{"/", "the root filesystem"},
                                                          {"/usr", "/usr"},
                                                          {"/boot", "/boot"},
                                                          {"/var", "/var"},
                                                          {state, "the agent's state directory"}};
    for (const auto& [path, label] : places) {
        const dev_t device = device_under(path, all);
        if (device == 0) continue;
        for (const dev_t below : disks_below(device))
            if (disk.has(below)) found.push_back(label);
    }
    if (!swaps_of(disk).empty()) found.emplace_back("swap");
    return found;
}

}  // namespace drover::agent
