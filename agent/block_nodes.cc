#include "agent/block_nodes.h"

#include "base/file.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace drover::agent {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t proc_bytes_max = 16U << 20;
constexpr int stack_depth_max = 16;

fs::path sysfs_of(dev_t device) {
    return "/sys/dev/block/" + std::to_string(major(device)) + ":" + std::to_string(minor(device));
}

dev_t device_from_text(std::string_view text) {
    unsigned major_number = 0;
    unsigned minor_number = 0;
    if (std::sscanf(std::string(text).c_str(), "%u:%u", &major_number, &minor_number) != 2)
        return 0;
    return makedev(major_number, minor_number);
}

std::vector<std::string> names_in(const fs::path& directory) {
    std::vector<std::string> names;
    std::error_code failed;
    fs::directory_iterator entries(directory, failed);
    for (; !failed && entries != fs::directory_iterator(); entries.increment(failed))
        names.push_back(entries->path().filename().native());
    std::sort(names.begin(), names.end());
    return names;
}

bool is_number(const std::string& name) {
    return !name.empty() &&
           std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> process_ids() {
    std::vector<std::string> ids = names_in("/proc");
    std::erase_if(ids, [](const std::string& name) { return !is_number(name); });
    return ids;
}

std::string process_text(const std::string& pid) {
    auto name = read_text("/proc/" + pid + "/comm", 256);
    std::string text = name ? *name : std::string("a process");
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return printable(text, 64) + " (pid " + pid + ")";
}

/// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            const std::string digits(text.substr(i + 1, 3));
            out += static_cast<char>(std::strtol(digits.c_str(), nullptr, 8));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

/// "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw" (proc(5)).
Mount parse_mount(const std::string& line) {
    std::istringstream words(line);
    std::string id;
    std::string parent;
    std::string device;
    std::string root;
    Mount mount;
    words >> id >> parent >> device >> root >> mount.point;
    mount.point = unescaped(mount.point);
    mount.device = device_from_text(device);
    std::string word;
    while (words >> word && word != "-") continue;
    std::string type;
    words >> type >> mount.source;
    mount.source = unescaped(mount.source);
    return mount;
}

bool opened_for_writing(const std::string& pid, const std::string& fd) {
    auto info = read_text("/proc/" + pid + "/fdinfo/" + fd, 1U << 20);
    if (!info) return false;
    const std::size_t at = info->find("flags:");
    if (at == std::string::npos) return false;
    const long flags = std::strtol(info->c_str() + at + 6, nullptr, 8);
    return (flags & O_ACCMODE) != O_RDONLY;
}

bool is_the_disk(const DiskNodes& disk, const struct stat& file) {
    if (S_ISBLK(file.st_mode)) return disk.has(file.st_rdev);
    return !disk.is_block && S_ISREG(file.st_mode) && file.st_dev == disk.file_device &&
           file.st_ino == disk.file_inode;
}

void add_disks_below(dev_t device, std::set<dev_t>& found, int depth) {
    if (depth > stack_depth_max) return;
    const std::string partition = sysfs_text(device, "partition");
    if (!partition.empty()) {
        auto parent = read_text(sysfs_of(device) / ".." / "dev", 64);
        if (parent) add_disks_below(device_from_text(*parent), found, depth + 1);
        return;
    }
    const auto slaves = names_in(sysfs_of(device) / "slaves");
    if (slaves.empty()) found.insert(device);
    for (const std::string& slave : slaves) {
        auto number = read_text(sysfs_of(device) / "slaves" / slave / "dev", 64);
        if (number) add_disks_below(device_from_text(*number), found, depth + 1);
    }
}

std::string kernel_name(dev_t device) {
    std::error_code failed;
    return fs::canonical(sysfs_of(device), failed).filename().native();
}

/// dm/uuid begins with who made the volume.
std::string kind_of_volume(dev_t device) {
    if (!sysfs_text(device, "md/level").empty()) return "md array";
    const std::string uuid = sysfs_text(device, "dm/uuid");
    if (uuid.starts_with("LVM-")) return "LVM volume";
    if (uuid.starts_with("CRYPT-")) return "LUKS volume";
    if (uuid.starts_with("mpath-")) return "multipath device";
    if (!sysfs_text(device, "dm/name").empty()) return "device-mapper device";
    return "device";
}

StackedDevice stacked_device(dev_t device) {
    StackedDevice out;
    out.name = sysfs_text(device, "dm/name");
    if (out.name.empty()) out.name = kernel_name(device);
    out.kind = kind_of_volume(device);
    for (const dev_t below : disks_below(device)) out.disks.push_back(kernel_name(below));
    return out;
}

void add_devices_above(dev_t device, std::map<dev_t, StackedDevice>& found, int depth) {
    if (depth > stack_depth_max) return;
    for (const std::string& holder : names_in(sysfs_of(device) / "holders")) {
        auto text = read_text(sysfs_of(device) / "holders" / holder / "dev", 64);
        const dev_t above = text ? device_from_text(*text) : 0;
        if (above == 0 || found.contains(above)) continue;
        found.emplace(above, stacked_device(above));
        add_devices_above(above, found, depth + 1);
        // What lies on a partition of an md array is held by the partition.
        for (const std::string& name : names_in(sysfs_of(above))) {
            auto part = read_text(sysfs_of(above) / name / "dev", 64);
            if (part && !sysfs_text(device_from_text(*part), "partition").empty())
                add_devices_above(device_from_text(*part), found, depth + 1);
        }
    }
}

}  // namespace

bool DiskNodes::has(dev_t device) const {
    return std::any_of(nodes.begin(), nodes.end(),
                       [&](const BlockNode& node) { return node.device == device; });
}

std::string sysfs_text(dev_t device, std::string_view file) {
    auto text = read_text(sysfs_of(device) / file, 4096);
    if (!text) return {};
    return text->substr(0, text->find('\n'));
}

Result<DiskNodes> find_nodes(const std::string& path) {
    std::error_code failed;
    const fs::path canonical = fs::canonical(path, failed);

    struct stat about {};

    if (failed || ::stat(canonical.c_str(), &about) != 0)
        return Error(Errc::not_found, "disk_not_found", path + " does not exist",
                     "nothing was changed", "attach the disk, or correct the path in the plan");
    DiskNodes disk;
    disk.path = canonical.native();
    if (S_ISREG(about.st_mode)) {
        disk.file_device = about.st_dev;
        disk.file_inode = about.st_ino;
        return disk;
    }
    const bool whole = S_ISBLK(about.st_mode) && sysfs_text(about.st_rdev, "partition").empty() &&
                       sysfs_text(about.st_rdev, "dm/name").empty() &&
                       sysfs_text(about.st_rdev, "md/level").empty();
    if (!whole)
        return Error(Errc::unsupported, "disk_unsupported",
                     path + " is neither a whole disk nor an image file", "nothing was changed",
                     "name the whole disk below it: partitions, LVM and md move with their disks");
    disk.is_block = true;
    const fs::path sysfs = sysfs_of(about.st_rdev);
    disk.nodes.push_back({fs::canonical(sysfs, failed).filename().native(), about.st_rdev});
    for (const std::string& name : names_in(sysfs)) {
        auto number = read_text(sysfs / name / "dev", 64);
        if (number && fs::exists(sysfs / name / "partition", failed))
            disk.nodes.push_back({name, device_from_text(*number)});
    }
    return disk;
}

std::vector<Mount> parse_mounts(const std::string& text) {
    std::vector<Mount> mounts;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) mounts.push_back(parse_mount(line));
    return mounts;
}

Result<std::vector<Mount>> mounts_of(const DiskNodes& disk, const std::string& mountinfo) {
    TRY(const std::string text, read_text(mountinfo, proc_bytes_max));
    std::vector<Mount> found;
    for (Mount& mount : parse_mounts(text)) {
        // btrfs and friends show an invented device number: their source tells the disk.
        struct stat source {};

        const bool by_source = major(mount.device) == 0 && mount.source.starts_with("/dev/") &&
                               ::stat(mount.source.c_str(), &source) == 0 &&
                               S_ISBLK(source.st_mode) && disk.has(source.st_rdev);
        if (disk.has(mount.device) || by_source) found.push_back(std::move(mount));
    }
    return found;
}

std::vector<std::string> swaps_of(const DiskNodes& disk) {
    std::vector<std::string> found;
    auto text = read_text("/proc/swaps", proc_bytes_max);
    if (!text) return found;
    std::istringstream lines(*text);
    for (std::string line; std::getline(lines, line);) {
        const std::string path = unescaped(line.substr(0, line.find_first_of(" \t")));

        struct stat about {};

        if (path.starts_with("/") && ::stat(path.c_str(), &about) == 0 && is_the_disk(disk, about))
            found.push_back(path);
    }
    return found;
}

std::vector<std::string> holders_of(const DiskNodes& disk) {
    std::vector<std::string> found;
    for (const BlockNode& node : disk.nodes) {
        for (const std::string& holder : names_in(sysfs_of(node.device) / "holders")) {
            auto dm_name = read_text("/sys/class/block/" + holder + "/dm/name", 256);
            std::string text = holder;
            if (dm_name) text += " (" + dm_name->substr(0, dm_name->find('\n')) + ")";
            found.push_back(text + " on /dev/" + node.name);
        }
    }
    if (disk.is_block) return found;
    for (const std::string& name : names_in("/sys/class/block")) {
        auto backing = read_text("/sys/class/block/" + name + "/loop/backing_file", 4096);
        if (backing && backing->substr(0, backing->find('\n')) == disk.path)
            found.push_back("/dev/" + name + " is attached to " + disk.path);
    }
    return found;
}

std::vector<std::string> foreign_mounts_of(const DiskNodes& disk) {
    std::vector<std::string> found;
    std::set<ino_t> seen;

    struct stat own {};

    if (::stat("/proc/self/ns/mnt", &own) == 0) seen.insert(own.st_ino);
    for (const std::string& pid : process_ids()) {
        struct stat space {};

        const std::string base = "/proc/" + pid;
        if (::stat((base + "/ns/mnt").c_str(), &space) != 0 || !seen.insert(space.st_ino).second)
            continue;
        auto mounts = mounts_of(disk, base + "/mountinfo");
        if (!mounts) continue;
        for (const Mount& mount : *mounts)
            found.push_back(mount.point + " in the mount namespace of " + process_text(pid));
    }
    return found;
}

std::vector<std::string> writers_of(const DiskNodes& disk) {
    std::vector<std::string> found;
    const std::string own = std::to_string(::getpid());
    for (const std::string& pid : process_ids()) {
        if (pid == own) continue;
        const std::string directory = "/proc/" + pid + "/fd";
        for (const std::string& fd : names_in(directory)) {
            struct stat about {};

            if (::stat((directory + "/" + fd).c_str(), &about) != 0) continue;
            if (!is_the_disk(disk, about) || !opened_for_writing(pid, fd)) continue;
            found.push_back(process_text(pid) + " has " + disk.path + " open for writing");
            break;
        }
    }
    return found;
}

std::vector<std::string> processes_on(dev_t device) {
    std::vector<std::string> found;
    for (const std::string& pid : process_ids()) {
        const std::string base = "/proc/" + pid;
        std::vector<std::string> links = {base + "/cwd", base + "/root", base + "/exe"};
        for (const std::string& fd : names_in(base + "/fd")) links.push_back(base + "/fd/" + fd);
        const bool uses = std::any_of(links.begin(), links.end(), [&](const std::string& link) {
            struct stat about {};
            return ::stat(link.c_str(), &about) == 0 && about.st_dev == device;
        });
        if (uses) found.push_back(process_text(pid));
    }
    return found;
}

std::vector<dev_t> disks_below(dev_t device) {
    std::set<dev_t> found;
    add_disks_below(device, found, 0);
    return {found.begin(), found.end()};
}

std::vector<StackedDevice> devices_above(const DiskNodes& disk) {
    std::map<dev_t, StackedDevice> found;
    for (const BlockNode& node : disk.nodes) add_devices_above(node.device, found, 0);
    std::vector<StackedDevice> out;
    for (auto& [device, above] : found) out.push_back(std::move(above));
    return out;
}

}  // namespace drover::agent
