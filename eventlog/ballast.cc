#include "eventlog/ballast.h"

#include "base/file.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace drover::eventlog {

std::uint64_t volume_free_bytes(const std::filesystem::path& path) {
    struct statvfs volume {};

    if (::statvfs(path.c_str(), &volume) != 0) return 0;
    return std::uint64_t{volume.f_bavail} * volume.f_frsize;
}

Result<bool> keep_ballast(const std::filesystem::path& path, std::uint64_t bytes) {
    if (bytes == 0) return false;
    std::error_code absent;
    if (std::filesystem::file_size(path, absent) == bytes && !absent) return true;
    if (volume_free_bytes(path.parent_path()) / 2 < bytes) return false;
    Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd.valid()) return errno_error(errno, "create", path.native());
    if (const int number = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes)); number != 0) {
        ::unlink(path.c_str());
        return errno_error(number, "allocate", path.native());
    }
    if (::fsync(fd.get()) != 0) return errno_error(errno, "sync", path.native());
    TRY_VOID(sync_directory(path.parent_path()));
    return true;
}

Result<bool> release_ballast(const std::filesystem::path& path) {
    std::error_code absent;
    if (!std::filesystem::exists(path, absent)) return false;
    TRY_VOID(remove_file_durably(path));
    return true;
}

}  // namespace drover::eventlog
