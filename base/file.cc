#include "base/file.h"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace drover {

void Fd::reset(int fd) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
}

Error errno_error(int number, std::string_view action, std::string_view path) {
    Errc code = Errc::io;
    if (number == ENOENT) code = Errc::not_found;
    if (number == EACCES || number == EPERM) code = Errc::denied;
    if (number == ENOSPC || number == EBUSY || number == EDQUOT) code = Errc::unavailable;
    return Error(code, "file_error",
                 std::string(action) + " " + std::string(path) + ": " +
                     std::generic_category().message(number));
}

Result<Bytes> read_file(const std::filesystem::path& path, std::size_t size_max) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    Bytes contents;
    std::array<std::uint8_t, 65536> chunk{};
    for (;;) {
        const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(errno, "read", path.native());
        if (got == 0) return contents;
        put_bytes(contents, ByteView(chunk).first(static_cast<std::size_t>(got)));
        if (contents.size() > size_max)
            return Error(Errc::invalid, "file_too_large",
                         path.native() + " is larger than " + std::to_string(size_max) + " bytes");
    }
}

Result<std::string> read_text(const std::filesystem::path& path, std::size_t size_max) {
    TRY(const Bytes contents, read_file(path, size_max));
    return std::string(as_text(contents));
}

Result<> write_all(int fd, ByteView contents, std::string_view path) {
    while (!contents.empty()) {
        const ssize_t put = ::write(fd, contents.data(), contents.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno_error(errno, "write", path);
        contents = contents.subspan(static_cast<std::size_t>(put));
    }
    return {};
}

Result<> sync_directory(const std::filesystem::path& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return errno_error(errno, "open", path.native());
    if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync", path.native());
    return {};
}

Result<> write_file_durably(const std::filesystem::path& path, ByteView contents, unsigned mode) {
    const std::string temporary = path.native() + ".new";
    {
        Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
        if (!fd.valid()) return errno_error(errno, "create", temporary);
        if (::fchmod(fd.get(), mode) != 0) return errno_error(errno, "chmod", temporary);
        TRY_VOID(write_all(fd.get(), contents, temporary));
        if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync", temporary);
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0)
        return errno_error(errno, "rename", temporary);
    return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

Result<> remove_file_durably(const std::filesystem::path& path) {
    if (::unlink(path.c_str()) != 0) {
        if (errno == ENOENT) return {};
        return errno_error(errno, "remove", path.native());
    }
    return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

Result<> make_directory_durably(const std::filesystem::path& path) {
    std::error_code failure;
    std::filesystem::create_directories(path, failure);
    if (failure) return errno_error(failure.value(), "create directory", path.native());
    if (::chmod(path.c_str(), 0700) != 0) return errno_error(errno, "chmod", path.native());
    return sync_directory(path.has_parent_path() ? path.parent_path() : ".");
}

}  // namespace drover
