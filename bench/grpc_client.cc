#include "bench/grpc_client.h"

#include "bench/measure.h"

#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace drover::bench {
namespace {

enum FrameType : std::uint8_t {
    frame_data = 0,
    frame_headers = 1,
    frame_reset = 3,
    frame_settings = 4,
    frame_ping = 6,
    frame_goaway = 7,
    frame_window_update = 8,
};

constexpr std::uint8_t flag_ack = 1;
constexpr std::uint8_t flag_end_stream = 1;
constexpr std::uint8_t flag_end_headers = 4;
constexpr std::size_t frame_header_bytes = 9;
constexpr std::size_t grpc_header_bytes = 5;
constexpr std::uint16_t setting_header_table_size = 1;
/// The window that every connection starts with.
constexpr std::size_t window_bytes = 65'535;

void put_be(Bytes& out, std::uint32_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        out.push_back(static_cast<std::uint8_t>(value >> shift));
}

std::uint32_t get_be(ByteView bytes, std::size_t at, std::size_t size) {
    std::uint32_t value = 0;
    for (const auto byte : bytes.subspan(at, size)) value = value << 8 | byte;
    return value;
}

void put_frame(Bytes& out, std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
               ByteView payload) {
    put_be(out, static_cast<std::uint32_t>(payload.size()), 3);
    out.push_back(type);
    out.push_back(flags);
    put_be(out, stream, 4);
    put_bytes(out, payload);
}

void put_text(Bytes& out, std::string_view text) {
    out.push_back(static_cast<std::uint8_t>(text.size()));
    put_bytes(out, as_bytes(text));
}

/// HPACK (RFC 7541) without its dynamic table: two fields of the static table, the others literal.
Bytes request_headers(const std::string& method) {
    Bytes out = {0x83, 0x86};  // :method POST, :scheme http
    out.push_back(0x04);       // :path
    put_text(out, method);
    out.push_back(0x01);  // :authority
    put_text(out, "127.0.0.1");
    put_bytes(out, Bytes{0x0f, 0x10});  // content-type
    put_text(out, "application/grpc");
    out.push_back(0x00);
    put_text(out, "te");
    put_text(out, "trailers");
    return out;
}

}  // namespace

GrpcClient::~GrpcClient() {
    if (fd_ >= 0) ::close(fd_);
}

bool GrpcClient::connect(std::uint16_t port, const std::string& method) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        ::close(fd_);
        fd_ = -1;
        return false;
    }
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    method_ = method;
    Bytes hello;
    put_bytes(hello, as_bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    Bytes settings;
    put_be(settings, setting_header_table_size, 2);
    put_be(settings, 0, 4);
    put_frame(hello, frame_settings, 0, 0, settings);
    send(hello);
    return true;
}

/// Requests are small and few are under way, so the server's window is never exhausted: it opens it
/// again after a quarter, and all requests under way together take less than the rest.
std::uint32_t GrpcClient::call(ByteView message) {
    const std::uint32_t stream = next_stream_;
    next_stream_ += 2;
    Bytes out;
    put_frame(out, frame_headers, flag_end_headers, stream, request_headers(method_));
    Bytes body = {0};  // not compressed
    put_be(body, static_cast<std::uint32_t>(message.size()), 4);
    put_bytes(body, message);
    put_frame(out, frame_data, flag_end_stream, stream, body);
    open_calls_[stream];
    send(out);
    return stream;
}

void GrpcClient::send(const Bytes& bytes) const {
    ByteView left = bytes;
    while (!left.empty()) {
        const ssize_t sent = ::send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) fail("grpc: the connection broke");
        left = left.subspan(static_cast<std::size_t>(sent));
    }
}

void GrpcClient::receive(std::vector<GrpcReply>& replies) {
    std::array<std::uint8_t, 65536> buffer{};
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (got <= 0) fail("grpc: the server closed the connection");
    put_bytes(received_, ByteView(buffer).first(static_cast<std::size_t>(got)));
    std::size_t at = 0;
    while (received_.size() - at >= frame_header_bytes) {
        const ByteView frame = ByteView(received_).subspan(at);
        const std::size_t size = get_be(frame, 0, 3);
        if (frame.size() < frame_header_bytes + size) break;
        on_frame(frame[3], frame[4], get_be(frame, 5, 4) & 0x7fffffffU,
                 frame.subspan(frame_header_bytes, size), replies);
        at += frame_header_bytes + size;
    }
    received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(at));
}

void GrpcClient::on_frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                          ByteView payload, std::vector<GrpcReply>& replies) {
    Bytes out;
    if (type == frame_settings && (flags & flag_ack) == 0)
        put_frame(out, frame_settings, flag_ack, 0, {});
    if (type == frame_ping && (flags & flag_ack) == 0)
        put_frame(out, frame_ping, flag_ack, 0, payload);
    if (type == frame_reset || type == frame_goaway) fail("grpc: the server refused a call");
    if (type == frame_data) {
        put_bytes(open_calls_.at(stream), payload);
        data_unacknowledged_ += payload.size();
        if (data_unacknowledged_ > window_bytes / 2) {
            Bytes more;
            put_be(more, static_cast<std::uint32_t>(data_unacknowledged_), 4);
            put_frame(out, frame_window_update, 0, 0, more);
            data_unacknowledged_ = 0;
        }
    }
    if (!out.empty()) send(out);
    const bool may_end = type == frame_data || type == frame_headers;
    if (!may_end || (flags & flag_end_stream) == 0) return;
    const auto ended = open_calls_.extract(stream);
    // A call that failed has a status in its trailers and no message.
    if (ended.mapped().size() < grpc_header_bytes) fail("grpc: a call failed");
    replies.push_back(
        {stream, Bytes(ended.mapped().begin() + grpc_header_bytes, ended.mapped().end())});
}

}  // namespace drover::bench
