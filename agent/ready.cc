#include "agent/ready.h"

#include "base/file.h"
#include "base/log.h"

#include <cerrno>
#include <cstddef>
#include <cstring>

#include <sys/socket.h>
#include <sys/un.h>

namespace drover::agent {

Result<> notify_manager(const std::string& socket, std::string_view state) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const bool is_abstract = socket.starts_with('@');
    const bool known = is_abstract || socket.starts_with('/');
    if (!known || socket.size() >= sizeof address.sun_path)
        return Error(Errc::invalid, "notify_socket_invalid",
                     "NOTIFY_SOCKET is neither a path nor an abstract name: " +
                         printable(socket, sizeof address.sun_path),
                     "the agent runs on; its service manager does not know",
                     "start drover-agent by its unit");
    std::memcpy(address.sun_path, socket.data(), socket.size());
    if (is_abstract) address.sun_path[0] = '\0';
    // A path ends with its zero byte, an abstract name with its last byte.
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size() +
                                             (is_abstract ? 0 : 1));
    const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return errno_error(errno, "make a socket for", socket);
    const ssize_t sent = ::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL,
                                  reinterpret_cast<const sockaddr*>(&address), size);
    if (sent < 0) return errno_error(errno, "notify", socket);
    return {};
}

void say_ready(Executor& executor, std::int64_t limit_ms, const std::string& socket) {
    for (const JobId& job : executor.wait_for_fences(limit_ms))
        log::error("fence", "not back in time: the host goes on starting without it",
                   "job=" + job.hex());
    if (socket.empty()) return;
    auto told = notify_manager(socket, "READY=1");
    if (!told) log::error("agent", told.error().text());
}

}  // namespace drover::agent
