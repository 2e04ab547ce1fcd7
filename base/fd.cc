#include "base/fd.h"

#include <cerrno>
#include <system_error>

#include <fcntl.h>
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

Result<> write_all(int fd, ByteView contents, std::string_view path) {
    while (!contents.empty()) {
        const ssize_t put = ::write(fd, contents.data(), contents.size());
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno_error(errno, "write", path);
        contents = contents.subspan(static_cast<std::size_t>(put));
    }
    return {};
}

}  // namespace drover
