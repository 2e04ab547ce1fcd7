#include "replicator/device_identity.h"

#include "base/file.h"

#include <filesystem>

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace drover::replicator {
namespace {

/// A sysfs attribute without surrounding white space; empty if there is none.
std::string attribute(const std::filesystem::path& path) {
    const auto text = read_text(path, 4096);
    if (!text) return {};
    const std::size_t first = text->find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return {};
    const std::size_t last = text->find_last_not_of(" \t\r\n");
    return printable(text->substr(first, last - first + 1), 200);
}

std::string inode_of(const std::string& path) {
    struct stat status {};

    if (::stat(path.c_str(), &status) != 0) return {};
    return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

std::string whole_disk_identity(const std::filesystem::path& disk) {
    for (const char* name : {"wwid", "device/wwid"}) {
        if (const auto value = attribute(disk / name); !value.empty()) return "wwid:" + value;
    }
    for (const char* name : {"serial", "device/serial"}) {
        if (const auto value = attribute(disk / name); !value.empty()) return "serial:" + value;
    }
    if (const auto value = attribute(disk / "dm/uuid"); !value.empty()) return "dm:" + value;
    // A loop device is only a name for its backing file; a deleted file has no stable name at all.
    if (const auto backing = attribute(disk / "loop/backing_file"); !backing.empty()) {
        if (const auto inode = inode_of(backing); !inode.empty()) return "loop:" + inode;
    }
    return {};
}

}  // namespace

std::string block_device_identity(std::uint32_t major, std::uint32_t minor) {
    const std::filesystem::path link =
        "/sys/dev/block/" + std::to_string(major) + ":" + std::to_string(minor);
    std::error_code failure;
    const auto directory = std::filesystem::canonical(link, failure);
    if (failure) return {};
    if (attribute(directory / "partition").empty()) return whole_disk_identity(directory);
    const std::string disk = whole_disk_identity(directory.parent_path());
    return disk.empty() ? disk : disk + "+" + attribute(directory / "start");
}

std::string file_identity(dev_t device, ino_t inode) {
    return "file:" + std::to_string(device) + ":" + std::to_string(inode);
}

}  // namespace drover::replicator
