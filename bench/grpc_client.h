/// Just enough of gRPC over HTTP/2 (RFC 9113, without TLS) to call one unary method many times on
/// one connection, so that etcd is spoken to in its own protocol and not through its JSON gateway.
#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace drover::bench {

struct GrpcReply {
    std::uint32_t call = 0;
    Bytes message;
};

class GrpcClient {
  public:
    /// Connects to 127.0.0.1; false if nobody listens there.
    [[nodiscard]] bool connect(std::uint16_t port, const std::string& method);
    ~GrpcClient();
    GrpcClient() = default;
    GrpcClient(const GrpcClient&) = delete;
    GrpcClient& operator=(const GrpcClient&) = delete;

    /// Sends `message`; the reply has the returned number.
    std::uint32_t call(ByteView message);

    /// Reads what has arrived, waiting for the first byte. A call that failed ends the program.
    void receive(std::vector<GrpcReply>& replies);

    [[nodiscard]] int fd() const { return fd_; }

  private:
    void send(const Bytes& bytes) const;
    /// Handles one frame; `type` and `flags` as in RFC 9113 section 6.
    void on_frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, ByteView payload,
                  std::vector<GrpcReply>& replies);

    int fd_ = -1;
    std::string method_;
    std::uint32_t next_stream_ = 1;
    Bytes received_;
    std::map<std::uint32_t, Bytes> open_calls_;
    std::size_t data_unacknowledged_ = 0;
};

}  // namespace drover::bench
