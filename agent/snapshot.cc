#include "agent/snapshot.h"

#include "agent/hooks.h"
#include "base/file.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace drover::agent {
namespace {

constexpr std::int64_t limit_ms = 30'000;
/// What is copied when a part of it is written, in sectors of 512 bytes: a block of the journal.
constexpr std::uint64_t chunk_sectors = 8;
/// Of the answer that lists the kernel's targets; there are fewer than a hundred, each of 40 bytes.
constexpr std::size_t answer_bytes = 65536;

Error unsupported(const std::string& why) {
    return Error(Errc::unsupported, "overlay_unsupported", why);
}

Result<std::string> program(const std::string& name) {
    for (const char* directory : {"/usr/sbin/", "/sbin/"})
        if (const std::string path = directory + name; ::access(path.c_str(), X_OK) == 0)
            return path;
    return unsupported(name + " is not installed");
}

/// The kernel's own node, which needs no udev; empty if there is no device of this name.
std::string find(const std::string& name) {
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/block", failed)) {
        const auto found = read_text(entry.path() / "dm/name", 4096);
        if (found && *found == name + "\n") return "/dev/" + entry.path().filename().native();
    }
    return {};
}

/// Does the kernel know snapshots, as of now?
Result<bool> is_known() {
    const Fd control(::open("/dev/mapper/control", O_RDWR | O_CLOEXEC));
    if (!control.valid())
        return unsupported(std::string("no device mapper: ") + std::strerror(errno));
    alignas(dm_ioctl) std::array<char, answer_bytes> answer{};
    const auto asked = reinterpret_cast<dm_ioctl*>(answer.data());
    asked->version[0] = DM_VERSION_MAJOR;
    asked->data_size = answer.size();
    asked->data_start = sizeof(dm_ioctl);
    if (::ioctl(control.get(), DM_LIST_VERSIONS, asked) != 0)
        return unsupported(std::string("the device mapper lists no targets: ") +
                           std::strerror(errno));
    for (std::size_t at = asked->data_start; at + sizeof(dm_target_versions) < asked->data_size;) {
        const auto* target = reinterpret_cast<const dm_target_versions*>(&answer.at(at));
        const std::string_view name(target->name);
        if (name == "snapshot") return true;
        if (target->next == 0) break;
        at += target->next;
    }
    return false;
}

}  // namespace

Result<> can_snapshot() {
    TRY_VOID(program("dmsetup"));
    TRY(const bool known, is_known());
    if (known) return {};
    TRY(const std::string modprobe, program("modprobe"));
    // Whether it helped is seen by looking again.
    (void)run_program({modprobe, "-q", "dm-snapshot"}, limit_ms);
    TRY(const bool loaded, is_known());
    return loaded ? Result<>() : unsupported("this kernel has no dm-snapshot");
}

Result<std::string> make_snapshot(const std::string& name, const std::string& base,
                                  std::uint64_t sectors, const std::string& writes) {
    TRY(const std::string dmsetup, program("dmsetup"));
    const std::string table = "0 " + std::to_string(sectors) + " snapshot " + base + " " + writes +
                              " N " + std::to_string(chunk_sectors);
    TRY_VOID(run_program({dmsetup, "create", name, "--noudevrules", "--table", table}, limit_ms));
    if (std::string path = find(name); !path.empty()) return path;
    return unsupported("dmsetup made " + name + ", which is not there");
}

Result<> check_snapshot_idle(const std::string& name) {
    const std::string path = find(name);
    if (path.empty()) return {};
    const Fd device(::open(path.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    if (device.valid() || errno != EBUSY) return {};
    return Error(Errc::unavailable, "disk_busy",
                 "the test's " + path + " is in use: somebody holds it exclusively",
                 "the test and the journal; replication waits",
                 "stop what uses it, for example in the test-stop hook, then revert again");
}

Result<> remove_snapshot(const std::string& name) {
    if (find(name).empty()) return {};
    TRY_VOID(check_snapshot_idle(name));
    TRY(const std::string dmsetup, program("dmsetup"));
    return run_program({dmsetup, "remove", "--retry", "--noudevrules", name}, limit_ms);
}

}  // namespace drover::agent
