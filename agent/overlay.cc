#include "agent/overlay.h"

#include "agent/block_nodes.h"
#include "agent/hooks.h"
#include "agent/mounts.h"
#include "agent/snapshot.h"
#include "base/file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace drover::agent {
namespace {

namespace fs = std::filesystem;

/// Enough to learn whether the filesystem can share blocks; whole blocks of any filesystem.
constexpr std::uint64_t probe_bytes = 64U << 10;
constexpr int attach_attempts_max = 8;
constexpr std::uint32_t kernel_sector_bytes = 512;  ///< of sysfs and of the device mapper
constexpr std::int64_t qemu_limit_ms = 60'000;

Error cannot(const OverlayPlan& plan, const std::string& why) {
    return Error(Errc::unsupported, "overlay_unsupported", "no " + plan.kind + " overlay: " + why,
                 "the target's disks; nothing was changed",
                 "choose test.directory and test.overlay so that one kind is possible");
}

Error busy(const std::string& path, const std::string& holder) {
    return Error(Errc::unavailable, "disk_busy", "the test's " + path + " is in use: " + holder,
                 "the test and the journal; replication waits",
                 "stop what uses it, for example in the test-stop hook, then revert again");
}

fs::path file_of(const OverlayPlan& plan, std::size_t disk) {
    return plan.directory / (plan.name + "-" + std::to_string(disk) + "." + plan.kind);
}

/// The image file that a clone is made of. Errors: unsupported.
Result<std::string> image_of(const OverlayPlan& plan, const DiskNodes& disk) {
    if (!disk.is_block) return disk.path;
    const dev_t device = disk.nodes.front().device;
    const std::string image = sysfs_text(device, "loop/backing_file");
    if (image.empty()) return cannot(plan, disk.path + " is neither a file nor a loop device");
    if (sysfs_text(device, "loop/offset") != "0" || sysfs_text(device, "loop/sizelimit") != "0")
        return cannot(plan, disk.path + " is only a part of its file");
    return image;
}

Result<Fd> open_new(const fs::path& path) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid()) return errno_error(errno, "create", path.native());
    return fd;
}

// ---- clones ----

Result<> can_clone(const OverlayPlan& plan, const DiskNodes& disk) {
    TRY(const std::string image, image_of(plan, disk));
    const Fd from(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
    if (!from.valid()) return errno_error(errno, "open", image);
    // Without a name: several jobs may be looked at at a time.
    const Fd to(::open(plan.directory.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (!to.valid()) return cannot(plan, plan.directory.native() + ": " + std::strerror(errno));

    struct file_clone_range range {};

    range.src_fd = from.get();
    range.src_length = probe_bytes;
    if (::ioctl(to.get(), FICLONERANGE, &range) == 0) return {};
    return cannot(plan, plan.directory.native() + " cannot share blocks with " + image + ": " +
                            std::strerror(errno));
}

/// What a loop device is made of. `file`: or a block device.
struct Loop {
    fs::path file;
    std::uint32_t sector_bytes = kernel_sector_bytes;
    std::string label = {};  ///< by which loops_labelled() finds a read-only one
};

loop_config config_of(const Loop& loop, const Fd& image) {
    loop_config config{};
    config.fd = static_cast<__u32>(image.get());
    config.block_size = loop.sector_bytes;
    if (loop.label.empty()) return config;
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_DIRECT_IO;
    loop.label.copy(reinterpret_cast<char*>(config.info.lo_file_name), LO_NAME_SIZE - 1);
    return config;
}

/// A free loop device; another process may take the free one first.
Result<std::string> attach(const Loop& loop) {
    const fs::path& file = loop.file;
    const int access = loop.label.empty() ? O_RDWR : O_RDONLY;
    const Fd image(::open(file.c_str(), access | O_CLOEXEC));
    if (!image.valid()) return errno_error(errno, "open", file.native());
    const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control.valid()) return errno_error(errno, "open", "/dev/loop-control");
    for (int attempt = 0; attempt < attach_attempts_max; ++attempt) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) return errno_error(errno, "find a free device in", "/dev/loop-control");
        const std::string path = "/dev/loop" + std::to_string(number);
        const Fd device(::open(path.c_str(), O_RDWR | O_CLOEXEC));
        if (!device.valid()) return errno_error(errno, "open", path);

        const loop_config config = config_of(loop, image);
        if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return path;
        if (errno != EBUSY) return errno_error(errno, "attach " + file.native() + " to", path);
    }
    return Error(Errc::unavailable, "disk_busy", "no loop device stays free long enough");
}

std::uint32_t sector_bytes_of(const DiskNodes& disk) {
    const std::string sector = sysfs_text(disk.nodes.front().device, "queue/logical_block_size");
    return static_cast<std::uint32_t>(std::strtoul(sector.c_str(), nullptr, 10));
}

Result<std::string> make_clone(const OverlayPlan& plan, std::size_t index, const DiskNodes& disk) {
    const fs::path file = file_of(plan, index);
    TRY(const std::string image, image_of(plan, disk));
    const Fd from(::open(image.c_str(), O_RDONLY | O_CLOEXEC));
    if (!from.valid()) return errno_error(errno, "open", image);
    TRY(const Fd to, open_new(file));
    if (::ioctl(to.get(), FICLONE, from.get()) != 0)
        return errno_error(errno, "clone " + image + " to", file.native());
    if (!disk.is_block) return file.native();
    return attach({file, sector_bytes_of(disk)});
}

std::vector<std::string> loops_over(const fs::path& path) {
    std::vector<std::string> found;
    std::error_code failed;
    // As the kernel names it.
    const fs::path file = fs::weakly_canonical(path, failed);
    for (const auto& entry : fs::directory_iterator("/sys/block", failed)) {
        const auto backing = read_text(entry.path() / "loop/backing_file", 4096);
        if (backing && backing->substr(0, backing->find('\n')) == file.native())
            found.push_back("/dev/" + entry.path().filename().native());
    }
    return found;
}

/// Errors: unavailable "disk_busy": nothing was changed.
Result<> check_idle(const std::string& path) {
    TRY(const DiskNodes nodes, find_nodes(path));
    TRY(const auto uses, disk_uses(nodes));
    return uses.empty() ? Result<>() : busy(path, uses.front().detail);
}

Result<> detach(const std::string& path) {
    TRY_VOID(check_idle(path));
    // Exclusively: a user that the look above has missed keeps it.
    const Fd device(::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    if (!device.valid() && errno == EBUSY) return busy(path, "somebody holds it exclusively");
    if (!device.valid()) return errno_error(errno, "open", path);
    if (::ioctl(device.get(), LOOP_CLR_FD) != 0) return errno_error(errno, "detach", path);
    return {};
}

// ---- snapshots of the device mapper ----

std::string snapshot_of(const OverlayPlan& plan, std::size_t disk) {
    return "drover-test-" + plan.name + "-" + std::to_string(disk);
}

std::vector<std::string> loops_labelled(const std::string& label) {
    std::vector<std::string> found;
    std::error_code failed;
    for (const auto& entry : fs::directory_iterator("/sys/block", failed)) {
        if (!fs::exists(entry.path() / "loop/backing_file", failed)) continue;
        const std::string path = "/dev/" + entry.path().filename().native();
        const Fd device(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        loop_info64 info{};
        if (!device.valid() || ::ioctl(device.get(), LOOP_GET_STATUS64, &info) != 0) continue;
        if (label == reinterpret_cast<const char*>(info.lo_file_name)) found.push_back(path);
    }
    return found;
}

/// What is written goes to a sparse file, behind a loop device. The disk is read through another
/// one: the device mapper claims what it uses for itself, and the agent's guard has the disk.
Result<std::string> make_overlay_snapshot(const OverlayPlan& plan, std::size_t index,
                                          const DiskNodes& disk) {
    const fs::path file = file_of(plan, index);
    const std::string sectors = sysfs_text(disk.nodes.front().device, "size");
    const std::uint64_t count = std::strtoull(sectors.c_str(), nullptr, 10);
    {
        TRY(const Fd writes, open_new(file));
        if (::ftruncate(writes.get(), static_cast<off_t>(count * kernel_sector_bytes)) != 0)
            return errno_error(errno, "size", file.native());
    }
    const std::string name = snapshot_of(plan, index);
    const std::uint32_t sector_bytes = sector_bytes_of(disk);
    TRY(const std::string base, attach({disk.path, sector_bytes, name}));
    TRY(const std::string writes, attach({file, sector_bytes}));
    return make_snapshot(name, base, count, writes);
}

// ---- qcow2 ----

Result<std::string> qemu_img() {
    for (const char* path : {"/usr/bin/qemu-img", "/usr/local/bin/qemu-img"})
        if (::access(path, X_OK) == 0) return std::string(path);
    return Error(Errc::unsupported, "overlay_unsupported", "qemu-img is not installed");
}

Result<std::string> make_qcow2(const OverlayPlan& plan, std::size_t index, const DiskNodes& disk) {
    const fs::path file = file_of(plan, index);
    TRY(const std::string program, qemu_img());
    TRY_VOID(run_program(
        {program, "create", "-q", "-f", "qcow2", "-F", "raw", "-b", disk.path, file.native()},
        qemu_limit_ms));
    return file.native();
}

}  // namespace

Result<> can_make_overlays(const OverlayPlan& plan) {
    struct stat status {};

    if (::stat(plan.directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
        return cannot(plan, plan.directory.native() + " is no directory");
    const std::vector<dev_t> below = disks_below(status.st_dev);
    for (const std::string& path : plan.disks) {
        TRY(const DiskNodes disk, find_nodes(path));
        if (std::any_of(below.begin(), below.end(), [&](dev_t one) { return disk.has(one); }))
            return cannot(
                plan, plan.directory.native() + " lies on " + path + ", which the job overwrites");
        if (plan.kind == "reflink") TRY_VOID(can_clone(plan, disk));
        if (plan.kind == "dm-snapshot" && !disk.is_block)
            return cannot(plan, path + " is a file and no block device");
    }
    if (plan.kind == "reflink") return {};
    if (plan.kind == "dm-snapshot") {
        const auto known = can_snapshot();
        return known ? Result<>() : cannot(plan, known.error().detail());
    }
    if (plan.kind != "qcow2") return cannot(plan, "this version does not make it");
    const auto program = qemu_img();
    return program ? Result<>() : cannot(plan, program.error().detail());
}

namespace {

Result<std::string> make_overlay(const OverlayPlan& plan, std::size_t index,
                                 const DiskNodes& disk) {
    if (plan.kind == "reflink") return make_clone(plan, index, disk);
    if (plan.kind == "dm-snapshot") return make_overlay_snapshot(plan, index, disk);
    return make_qcow2(plan, index, disk);
}

}  // namespace

Result<std::vector<std::string>> make_overlay_files(const OverlayPlan& plan) {
    TRY_VOID(remove_overlay_files(plan));
    std::vector<std::string> out;
    for (std::size_t i = 0; i < plan.disks.size(); ++i) {
        TRY(const DiskNodes disk, find_nodes(plan.disks[i]));
        auto made = make_overlay(plan, i, disk);
        if (!made) return made.error();
        out.push_back(std::move(*made));
    }
    return out;
}

Result<> remove_overlay_files(const OverlayPlan& plan) {
    // All are looked at before one is taken away.
    const bool snapshots = plan.kind == "dm-snapshot";
    for (std::size_t i = 0; i < plan.disks.size(); ++i) {
        // Its loop devices have one user, the snapshot.
        if (snapshots) TRY_VOID(check_snapshot_idle(snapshot_of(plan, i)));
        if (snapshots) continue;
        const std::vector<std::string> loops = loops_over(file_of(plan, i));
        for (const std::string& loop : loops) TRY_VOID(check_idle(loop));
        if (loops.empty() && fs::exists(file_of(plan, i)))
            TRY_VOID(check_idle(file_of(plan, i).native()));
    }
    for (std::size_t i = 0; i < plan.disks.size(); ++i) {
        if (snapshots) TRY_VOID(remove_snapshot(snapshot_of(plan, i)));
        for (const std::string& base : loops_labelled(snapshot_of(plan, i))) TRY_VOID(detach(base));
        for (const std::string& loop : loops_over(file_of(plan, i))) TRY_VOID(detach(loop));
        TRY_VOID(remove_file_durably(file_of(plan, i)));
    }
    return {};
}

}  // namespace drover::agent
