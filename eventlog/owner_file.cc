#include "eventlog/owner_file.h"

#include "base/crash_point.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace drover::eventlog {
namespace {

constexpr std::size_t owner_bytes_max = 512;

std::string host_name() {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
    return name.data();
}

/// "host=… pid=… boot=…"; the boot id tells a pid from before a reboot.
std::string own_text() {
    auto boot = read_text("/proc/sys/kernel/random/boot_id", 64);
    std::string boot_id = boot ? *boot : std::string("unknown");
    while (!boot_id.empty() && boot_id.back() == '\n') boot_id.pop_back();
    return "host=" + host_name() + " pid=" + std::to_string(::getpid()) + " boot=" + boot_id + "\n";
}

Error owned_by(const std::filesystem::path& path) {
    auto text = read_text(path, owner_bytes_max);
    std::string owner = text ? printable(*text, owner_bytes_max) : std::string();
    while (!owner.empty() && (owner.back() == '?' || owner.back() == ' ')) owner.pop_back();
    if (owner.empty()) owner = "a process that has not written its name yet";
    return Error(Errc::unavailable, "log_owned",
                 path.parent_path().native() + " is in use by " + owner, "nothing was touched",
                 "stop that process, or use another directory");
}

}  // namespace

Result<OwnerFile> OwnerFile::acquire(const std::filesystem::path& path) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return owned_by(path);
        return errno_error(errno, "lock", path.native());
    }
    DROVER_CRASH_POINT("owner.locked");
    // Written over and then cut, not cut first: on a full volume the old block must not be given
    // up.
    const std::string text = own_text();
    TRY_VOID(write_all(fd.get(), as_bytes(text), path.native()));
    if (::ftruncate(fd.get(), static_cast<off_t>(text.size())) != 0)
        return errno_error(errno, "write", path.native());
    DROVER_CRASH_POINT("owner.written");
    return OwnerFile(std::move(fd));
}

}  // namespace drover::eventlog
