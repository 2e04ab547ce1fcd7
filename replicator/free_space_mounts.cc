#include "replicator/free_space_mounts.h"

#include "replicator/diskstats.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>
#include <sstream>

#include <sys/sysmacros.h>

namespace drover::replicator {
namespace {

constexpr std::uint64_t sysfs_sector_bytes = 512;

/// mountinfo writes space, tab, newline and backslash as \ooo.
std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 3 >= text.size()) {
            out += text[i];
            continue;
        }
        const std::string digits(text.substr(i + 1, 3));
        out += static_cast<char>(std::strtol(digits.c_str(), nullptr, 8));
        i += 3;
    }
    return out;
}

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// "36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/root rw,errors=continue"
std::optional<MountLine> parse(const std::string& line) {
    std::istringstream words(line);
    std::string id, parent, device, root, point, word;
    words >> id >> parent >> device >> root >> point;
    while (words >> word && word != "-") continue;
    MountLine mount;
    std::string source, options;
    words >> mount.type >> source >> options;
    if (!words) return std::nullopt;
    mount.point = unescaped(point);
    mount.is_writable = options == "rw" || options.starts_with("rw,");
    const std::size_t colon = device.find(':');
    if (colon == std::string::npos) return std::nullopt;
    const auto major_number = number(std::string_view(device).substr(0, colon));
    const auto minor_number = number(std::string_view(device).substr(colon + 1));
    if (!major_number || !minor_number) return std::nullopt;
    mount.device =
        makedev(static_cast<unsigned>(*major_number), static_cast<unsigned>(*minor_number));
    return mount;
}

}  // namespace

std::vector<MountLine> visible_mounts(const std::string& mountinfo) {
    std::vector<MountLine> mounts;
    std::istringstream lines(mountinfo);
    for (std::string line; std::getline(lines, line);)
        if (auto mount = parse(line)) mounts.push_back(std::move(*mount));
    // The last one at a place hides the others.
    std::set<std::string> seen;
    std::vector<MountLine> visible;
    for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount)
        if (seen.insert(mount->point).second) visible.push_back(std::move(*mount));
    std::reverse(visible.begin(), visible.end());
    return visible;
}

std::optional<ByteSpan> place_on(const DeviceFacts& disk, dev_t device) {
    if (device == makedev(disk.major, disk.minor)) return ByteSpan{0, disk.size_bytes};
    const unsigned major_number = major(device);
    const unsigned minor_number = minor(device);
    const auto attribute = [&](std::string_view name) {
        return disk_attribute(major_number, minor_number, name);
    };
    const std::string whole = std::to_string(disk.major) + ":" + std::to_string(disk.minor);
    // Of a partition sysfs shows the disk as the directory above it.
    if (attribute("partition").empty() || attribute("../dev") != whole) return std::nullopt;
    const auto start = number(attribute("start"));
    const auto sectors = number(attribute("size"));
    const std::uint64_t disk_sectors = disk.size_bytes / sysfs_sector_bytes;
    if (!start || !sectors || *start > disk_sectors || *sectors > disk_sectors - *start)
        return std::nullopt;
    return ByteSpan{*start * sysfs_sector_bytes, (*start + *sectors) * sysfs_sector_bytes};
}

}  // namespace drover::replicator
