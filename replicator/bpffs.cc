#include "replicator/bpffs.h"

#include "base/file.h"

#include <cerrno>
#include <system_error>

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace drover::replicator {

namespace {

constexpr const char* mount_point = "/sys/fs/bpf";
constexpr const char* pin_root = "/sys/fs/bpf/drover";

bool is_mounted() {
    struct statfs facts {};

    return ::statfs(mount_point, &facts) == 0 && facts.f_type == BPF_FS_MAGIC;
}

}  // namespace

Result<> ensure_bpffs() {
    if (is_mounted()) return {};
    if (::mount("bpf", mount_point, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0 ||
        !is_mounted())
        return Error(Errc::unsupported, "ebpf_unsupported",
                     std::string("no BPF file system at ") + mount_point +
                         ", and mounting it failed: " + std::generic_category().message(errno));
    return {};
}

std::filesystem::path pin_directory(const JobId& job, std::uint32_t disk) {
    return std::filesystem::path(pin_root) / (job.hex() + "-" + std::to_string(disk));
}

Result<> make_pin_directory(const std::filesystem::path& directory) {
    for (const auto& path : {directory.parent_path(), directory})
        if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
            return errno_error(errno, "make directory", path.native());
    return {};
}

Result<> remove_pins(const std::filesystem::path& directory) {
    std::error_code problem;
    std::filesystem::remove_all(directory, problem);
    if (problem) return errno_error(problem.value(), "remove", directory.native());
    // The root stays if other disks are tracked, which is what this call then reports.
    ::rmdir(directory.parent_path().c_str());
    return {};
}

}  // namespace drover::replicator
