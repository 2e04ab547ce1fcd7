/// A plain TCP client on 127.0.0.1 that says what no honest peer would.
#pragma once

#include "base/bytes.h"
#include "base/file.h"

#include <cstring>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

namespace drover::wire {

class RawSocket {
  public:
    explicit RawSocket(std::uint16_t port)
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ =
            ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }

    [[nodiscard]] bool is_connected() const { return connected_; }

    /// As far as the peer lets us: it may have closed already.
    void send(ByteView bytes) {
        while (!bytes.empty()) {
            const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0) return;
            bytes = bytes.subspan(static_cast<std::size_t>(count));
        }
    }

    void end_sending() { ::shutdown(fd_.get(), SHUT_WR); }

    /// True when the peer ends the connection within the time, in whatever way.
    [[nodiscard]] bool read_to_end(int timeout_ms) {
        std::uint8_t buffer[4096];
        for (;;) {
            pollfd waiting{fd_.get(), POLLIN, 0};
            if (::poll(&waiting, 1, timeout_ms) <= 0) return false;
            if (::recv(fd_.get(), buffer, sizeof buffer, 0) <= 0) return true;
        }
    }

  private:
    Fd fd_;
    bool connected_ = false;
};

}  // namespace drover::wire
