#include "wire/tcp.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

namespace drover::wire {
namespace {

struct AddressesDeleter {
    void operator()(addrinfo* list) const { freeaddrinfo(list); }
};

using Addresses = std::unique_ptr<addrinfo, AddressesDeleter>;

constexpr int backlog = 64;

void set_int(int fd, int level, int option, int value) {
    // Failing to tune a socket is no reason to do without it.
    (void)::setsockopt(fd, level, option, &value, sizeof value);
}

Result<Addresses> addresses_of(const std::string& host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    const int failed = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
    if (failed != 0) {
        const Errc code = failed == EAI_AGAIN ? Errc::unavailable : Errc::invalid;
        return Error(code, "host_not_found", printable(host, 253) + ": " + gai_strerror(failed));
    }
    return Addresses(list);
}

/// 0, or the errno of the connection attempt; ETIMEDOUT at the deadline.
int finish_connect(int fd, Deadline deadline) {
    for (;;) {
        const std::int64_t left = deadline - deadline_in(0);
        if (left <= 0) return ETIMEDOUT;
        pollfd waiting{fd, POLLOUT, 0};
        const int ready =
            ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
        if (ready < 0 && errno != EINTR) return errno;
        if (ready <= 0) continue;
        int number = 0;
        socklen_t size = sizeof number;
        if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) != 0) return errno;
        return number;
    }
}

}  // namespace

Deadline deadline_in(std::int64_t timeout_ms) {
    using namespace std::chrono;
    const auto now = steady_clock::now().time_since_epoch();
    return duration_cast<milliseconds>(now).count() + timeout_ms;
}

void set_tcp_options(int fd) {
    // Buffer sizes are left to the kernel: setting them would end its own, better tuning.
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000);
}

Result<Fd> dial_tcp(const std::string& host, std::uint16_t port, Deadline deadline) {
    TRY(const auto addresses, addresses_of(host, port, 0));
    int number = EHOSTUNREACH;
    for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
        Fd fd(::socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!fd.valid()) {
            number = errno;
            continue;
        }
        number = ::connect(fd.get(), at->ai_addr, at->ai_addrlen) == 0 ? 0 : errno;
        if (number == EINPROGRESS) number = finish_connect(fd.get(), deadline);
        if (number == 0) {
            set_tcp_options(fd.get());
            return fd;
        }
    }
    return Error(number == ETIMEDOUT ? Errc::timed_out : Errc::unavailable, "peer_unreachable",
                 printable(host, 253) + ":" + std::to_string(port) + ": " + std::strerror(number));
}

Result<Fd> listen_tcp(const std::string& host, std::uint16_t port) {
    TRY(const auto addresses, addresses_of(host, port, AI_PASSIVE | AI_NUMERICHOST));
    const addrinfo& at = *addresses;
    Fd fd(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return errno_error(errno, "make a socket for", host);
    set_int(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    // An agent starts before the network: the address may come later than the listener.
    const bool is_ipv6 = at.ai_family == AF_INET6;
    set_int(fd.get(), is_ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, is_ipv6 ? IPV6_FREEBIND : IP_FREEBIND,
            1);
    if (::bind(fd.get(), at.ai_addr, at.ai_addrlen) != 0 || ::listen(fd.get(), backlog) != 0) {
        const int number = errno;
        return Error(Errc::unavailable, "port_taken",
                     "cannot listen on " + printable(host, 253) + ":" + std::to_string(port) +
                         ": " + std::strerror(number),
                     "nothing was changed", "free the port or configure another one");
    }
    return fd;
}

std::uint16_t port_of(int fd) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    if (address.ss_family == AF_INET6) {
        return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
    }
    return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

}  // namespace drover::wire
