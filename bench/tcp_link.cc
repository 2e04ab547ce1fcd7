#include "bench/tcp_link.h"

#include "bench/measure.h"
#include "wire/tcp.h"

#include <array>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr std::int64_t dial_timeout_ms = 10'000;

Error gone() {
    return Error(Errc::unavailable, "link_closed", "the connection is closed");
}

/// The framing of wire/link.h over a blocking socket.
class PlainLink final : public wire::Link {
  public:
    PlainLink(Fd socket, std::string peer)
        : socket_(std::move(socket)),
          peer_(std::move(peer)) {
        wire::set_tcp_options(socket_.get());
        const int flags = ::fcntl(socket_.get(), F_GETFL);
        ::fcntl(socket_.get(), F_SETFL, flags & ~O_NONBLOCK);
    }

    Result<> send(ByteView head, ByteView body) override {
        prefix_.clear();
        put_u32(prefix_, static_cast<std::uint32_t>(head.size() + body.size()));
        put_bytes(prefix_, head);
        std::array<iovec, 2> parts{};
        parts[0] = {prefix_.data(), prefix_.size()};
        parts[1] = {const_cast<std::uint8_t*>(body.data()), body.size()};
        while (parts[0].iov_len + parts[1].iov_len > 0) {
            msghdr message{};
            message.msg_iov = parts.data();
            message.msg_iovlen = parts.size();
            const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
            if (sent <= 0) return gone();
            advance(parts, static_cast<std::size_t>(sent));
        }
        return {};
    }

    Result<Bytes> receive(std::int64_t timeout_ms) override {
        pollfd watched{socket_.get(), POLLIN, 0};
        if (::poll(&watched, 1, static_cast<int>(timeout_ms)) == 0)
            return Error(Errc::timed_out, "timed_out", "nothing came");
        std::array<std::uint8_t, 4> length{};
        if (!fill(length)) return gone();
        const std::size_t size = get_u32(length, 0);
        if (size > wire::bulk_frame_bytes_max)
            return Error(Errc::invalid, "frame_too_large", "a frame is too large");
        Bytes frame(size);
        if (!fill(frame)) return gone();
        return frame;
    }

    void abort() override { ::shutdown(socket_.get(), SHUT_RDWR); }

    [[nodiscard]] const std::string& peer() const override { return peer_; }

  private:
    static void advance(std::array<iovec, 2>& parts, std::size_t sent) {
        for (iovec& part : parts) {
            const std::size_t now = std::min(sent, part.iov_len);
            part.iov_base = static_cast<std::uint8_t*>(part.iov_base) + now;
            part.iov_len -= now;
            sent -= now;
        }
    }

    bool fill(std::span<std::uint8_t> out) {
        if (out.empty()) return true;
        return ::recv(socket_.get(), out.data(), out.size(), MSG_WAITALL) ==
               static_cast<ssize_t>(out.size());
    }

    Fd socket_;
    std::string peer_;
    Bytes prefix_;
};

class CountedLink final : public wire::Link {
  public:
    CountedLink(std::unique_ptr<wire::Link> link, std::atomic<std::uint64_t>& bytes)
        : link_(std::move(link)),
          bytes_(bytes) {}

    Result<> collect(ByteView head, ByteView body) override {
        bytes_ += length_bytes + head.size() + body.size();
        return link_->collect(head, body);
    }

    Result<> flush() override { return link_->flush(); }

    Result<> send(ByteView head, ByteView body) override {
        bytes_ += length_bytes + head.size() + body.size();
        return link_->send(head, body);
    }

    Result<Bytes> receive(std::int64_t timeout_ms) override {
        auto frame = link_->receive(timeout_ms);
        if (frame) bytes_ += length_bytes + frame->size();
        return frame;
    }

    void abort() override { link_->abort(); }

    [[nodiscard]] const std::string& peer() const override { return link_->peer(); }

  private:
    static constexpr std::uint64_t length_bytes = 4;

    std::unique_ptr<wire::Link> link_;
    std::atomic<std::uint64_t>& bytes_;
};

}  // namespace

std::unique_ptr<wire::Link> dial_plain(std::uint16_t port, const std::string& peer) {
    auto socket = wire::dial_tcp("127.0.0.1", port, wire::deadline_in(dial_timeout_ms));
    if (!socket) fail(socket.error().text());
    return std::make_unique<PlainLink>(std::move(*socket), peer);
}

PlainListener::PlainListener(std::string peer, Accept accept)
    : peer_(std::move(peer)),
      accept_(std::move(accept)) {
    auto socket = wire::listen_tcp("127.0.0.1", 0);
    if (!socket) fail(socket.error().text());
    socket_ = std::move(*socket);
    port_ = wire::port_of(socket_.get());
    thread_ = std::thread([this] { run(); });
}

PlainListener::~PlainListener() {
    ::shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
}

void PlainListener::run() {
    for (;;) {
        pollfd watched{socket_.get(), POLLIN, 0};
        if (::poll(&watched, 1, -1) < 0 || (watched.revents & POLLHUP) != 0) return;
        Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (socket.valid()) accept_(std::make_unique<PlainLink>(std::move(socket), peer_));
    }
}

std::unique_ptr<wire::Link> counted(std::unique_ptr<wire::Link> link,
                                    std::atomic<std::uint64_t>& bytes) {
    return std::make_unique<CountedLink>(std::move(link), bytes);
}

}  // namespace drover::bench
