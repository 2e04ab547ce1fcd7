#include "agent/local_socket.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace drover::agent {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t answer_bytes_max = 1U << 20;

/// sockaddr_un holds 107 characters; a directory's descriptor makes any path short enough.
struct ShortAddress {
    Fd directory;
    sockaddr_un address{};
};

Result<ShortAddress> short_address(const fs::path& socket) {
    ShortAddress out;
    out.directory.reset(::open(socket.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!out.directory.valid()) return errno_error(errno, "open", socket.parent_path().native());
    const std::string path =
        "/proc/self/fd/" + std::to_string(out.directory.get()) + "/" + socket.filename().native();
    if (path.size() >= sizeof(out.address.sun_path))
        return errno_error(ENAMETOOLONG, "address", socket.native());
    out.address.sun_family = AF_UNIX;
    std::memcpy(out.address.sun_path, path.c_str(), path.size() + 1);
    return out;
}

const sockaddr* as_address(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Result<std::string> ask_local_socket(const fs::path& socket, const std::string& line,
                                     std::int64_t timeout_ms) {
    TRY(const ShortAddress to, short_address(socket));
    const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return errno_error(errno, "create socket for", socket.native());
    if (::connect(fd.get(), as_address(to.address), sizeof(to.address)) != 0) {
        const int number = errno == ECONNREFUSED ? ENOENT : errno;
        return errno_error(number, "connect to", socket.native());
    }
    TRY_VOID(write_all(fd.get(), as_bytes(line + "\n"), socket.native()));
    std::string answer;
    std::array<char, 4096> chunk{};
    for (;;) {
        pollfd waiting{fd.get(), POLLIN, 0};
        const int ready = ::poll(&waiting, 1, static_cast<int>(timeout_ms));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0)
            return Error(Errc::timed_out, "local_timeout", socket.native() + " does not answer",
                         "nothing is known to have changed", "look at the process that owns it");
        const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno_error(errno, "read from", socket.native());
        if (got == 0) return answer;
        answer.append(chunk.data(), static_cast<std::size_t>(got));
        if (answer.size() > answer_bytes_max)
            return errno_error(EMSGSIZE, "read from", socket.native());
    }
}

Result<Fd> listen_local_socket(const fs::path& socket) {
    TRY(const ShortAddress at, short_address(socket));
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return errno_error(errno, "create socket for", socket.native());
    if (::unlink(socket.c_str()) != 0 && errno != ENOENT)
        return errno_error(errno, "remove", socket.native());
    if (::bind(fd.get(), as_address(at.address), sizeof(at.address)) != 0)
        return errno_error(errno, "bind", socket.native());
    if (::chmod(socket.c_str(), 0600) != 0) return errno_error(errno, "chmod", socket.native());
    if (::listen(fd.get(), 8) != 0) return errno_error(errno, "listen on", socket.native());
    return fd;
}

bool local_peer_is_trusted(int fd) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    return peer.uid == 0 || peer.uid == ::geteuid();
}

std::string read_line(int fd, std::size_t bytes_max) {
    std::string text;
    char byte = 0;
    while (text.size() < bytes_max && ::read(fd, &byte, 1) == 1 && byte != '\n') text += byte;
    return text;
}

}  // namespace drover::agent
