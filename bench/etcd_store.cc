#include "bench/child.h"
#include "bench/grpc_client.h"
#include "bench/measure.h"
#include "bench/store.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr std::uint16_t client_port = 23'790;
constexpr std::uint16_t peer_port = 23'800;
constexpr int start_tries_max = 200;
constexpr useconds_t start_retry_us = 50'000;
/// As etcd's own benchmark tool at this many clients: producers share connections.
constexpr std::size_t connections_max = 8;

std::string url(std::uint16_t port) {
    return "http://127.0.0.1:" + std::to_string(port);
}

// Protocol Buffers by hand; the numbers are those of etcd's rpc.proto.

void put_varint(Bytes& out, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::uint8_t>(value | 0x80));
    out.push_back(static_cast<std::uint8_t>(value));
}

void put_number(Bytes& out, std::uint8_t field, std::uint64_t value) {
    out.push_back(static_cast<std::uint8_t>(field << 3));
    put_varint(out, value);
}

void put_blob(Bytes& out, std::uint8_t field, ByteView bytes) {
    out.push_back(static_cast<std::uint8_t>(field << 3 | 2));
    put_varint(out, bytes.size());
    put_bytes(out, bytes);
}

/// The position in the key is as wide for every event, so that keys stand in order.
Bytes key_of(const Uuid& stream, std::uint32_t seq) {
    Bytes key(stream.data.begin(), stream.data.end());
    for (int shift = 24; shift >= 0; shift -= 8)
        key.push_back(static_cast<std::uint8_t>(seq >> shift));
    return key;
}

/// Compare{version of key EQUAL (0) or GREATER (1) than zero}.
Bytes version_is(ByteView key, bool greater) {
    Bytes out;
    put_number(out, 1, greater ? 1 : 0);
    put_number(out, 2, 0);
    put_blob(out, 3, key);
    put_number(out, 4, 0);
    return out;
}

/// TxnRequest: the version before must be there and this one must not.
Bytes transaction(const StoreAppend& append) {
    const Bytes key = key_of(append.stream, append.expected + 1);
    Bytes out;
    put_blob(out, 1, version_is(key, false));
    if (append.expected > 0)
        put_blob(out, 1, version_is(key_of(append.stream, append.expected), true));
    Bytes put;
    put_blob(put, 1, key);
    put_blob(put, 2, append.payload);
    Bytes operation;
    put_blob(operation, 2, put);
    put_blob(out, 2, operation);
    return out;
}

/// TxnResponse: field 1 is a header to skip, field 2 says whether the comparison held. A field that
/// is false is not sent.
bool succeeded(ByteView reply) {
    if (reply.size() < 2 || reply[0] != (1 << 3 | 2)) fail("etcd: a reply of another form");
    const ByteView rest = reply.subspan(std::min<std::size_t>(reply.size(), 2U + reply[1]));
    return rest.size() >= 2 && rest[0] == 2 << 3 && rest[1] == 1;
}

class EtcdStore final : public Store {
  public:
    explicit EtcdStore(const std::string& directory)
        : output_(directory + "/output"),
          server_({"/usr/bin/etcd", "--name", "bench", "--data-dir", directory + "/data",
                   "--listen-client-urls", url(client_port), "--advertise-client-urls",
                   url(client_port), "--listen-peer-urls", url(peer_port),
                   "--initial-advertise-peer-urls", url(peer_port), "--initial-cluster",
                   "bench=" + url(peer_port), "--log-level", "error"},
                  output_, "", SIGTERM) {}

    [[nodiscard]] std::string name() const override { return "etcd"; }

    void open(std::size_t producers) override {
        connections_.clear();
        polled_.clear();
        for (std::size_t i = 0; i < std::min(producers, connections_max); ++i) {
            connections_.push_back(std::make_unique<Connection>());
            connect(connections_.back()->client);
            polled_.push_back({connections_.back()->client.fd(), POLLIN, 0});
        }
    }

    void submit(const StoreAppend& append) override {
        Connection& connection = *connections_[append.producer % connections_.size()];
        connection.producers[connection.client.call(transaction(append))] = append.producer;
    }

    void complete(std::vector<StoreDone>& done) override {
        const std::size_t before = done.size();
        while (done.size() == before) {
            if (::poll(polled_.data(), polled_.size(), -1) < 0 && errno != EINTR)
                fail("poll failed");
            for (std::size_t i = 0; i < polled_.size(); ++i)
                if (polled_[i].revents != 0) take(*connections_[i], done);
        }
    }

  private:
    struct Connection {
        GrpcClient client;
        std::map<std::uint32_t, std::size_t> producers;  ///< by call
    };

    void connect(GrpcClient& client) {
        for (int tries = 0; tries < start_tries_max; ++tries) {
            if (client.connect(client_port, "/etcdserverpb.KV/Txn")) return;
            if (server_.has_ended()) break;
            ::usleep(start_retry_us);
        }
        fail("etcd does not start, see " + output_);
    }

    static void take(Connection& connection, std::vector<StoreDone>& done) {
        std::vector<GrpcReply> replies;
        connection.client.receive(replies);
        for (const GrpcReply& reply : replies) {
            const auto call = connection.producers.extract(reply.call);
            done.push_back({call.mapped(), !succeeded(reply.message)});
        }
    }

    std::string output_;
    Child server_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::vector<pollfd> polled_;
};

}  // namespace

std::unique_ptr<Store> make_etcd_store(const std::string& directory) {
    return std::make_unique<EtcdStore>(directory);
}

}  // namespace drover::bench
