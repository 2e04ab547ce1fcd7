#include "wire/connection.h"

#include "base/random.h"
#include "schemas/codec.h"
#include "tests/wire/parties.h"
#include "tests/wire/raw_socket.h"
#include "wire/tls_link.h"

#include <chrono>
#include <optional>
#include <thread>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <catch2/catch.hpp>

namespace drover::wire {
namespace {

namespace asio = boost::asio;
using ConnectionPtr = std::shared_ptr<Connection>;
using Connected = Result<ConnectionPtr>;

constexpr auto patience = std::chrono::seconds(20);

asio::awaitable<void> dial_into(asio::io_context& io, TlsIdentity identity, std::uint16_t port,
                                std::string expected, std::optional<Connected>& out) {
    auto made = co_await connect(io, std::move(identity), "127.0.0.1", port, std::move(expected));
    out.emplace(std::move(made));
}

asio::awaitable<void> receive_into(ConnectionPtr connection, std::optional<Result<Bytes>>& out) {
    auto message = co_await connection->receive();
    out.emplace(std::move(message));
}

/// Sends back everything that comes.
asio::awaitable<void> echo(ConnectionPtr connection) {
    for (;;) {
        auto message = co_await connection->receive();
        if (!message) co_return;
        if (!connection->post(std::move(*message))) co_return;
    }
}

/// One io_context on the test's own thread, with an acceptor that keeps what it accepts.
class World {
  public:
    explicit World(const TlsIdentity& identity) {
        acceptor_ = accept(io_, identity, "127.0.0.1", 0, [this](ConnectionPtr connection) {
                        accepted_.push_back(std::move(connection));
                    }).value();
    }

    ~World() {
        for (const ConnectionPtr& connection : accepted_) connection->close();
    }

    /// Runs until `done`; false when that takes too long.
    template <class Done>
    [[nodiscard]] bool run_until(Done done) {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (!done()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            if (io_.stopped()) io_.restart();
            io_.run_one_for(std::chrono::milliseconds(10));
        }
        return true;
    }

    [[nodiscard]] Connected dial(const TlsIdentity& identity, std::string expected = {}) {
        std::optional<Connected> out;
        asio::co_spawn(io_, dial_into(io_, identity, port(), std::move(expected), out),
                       asio::detached);
        REQUIRE(run_until([&] { return out.has_value(); }));
        return *out;
    }

    [[nodiscard]] Result<Bytes> receive(const ConnectionPtr& connection) {
        std::optional<Result<Bytes>> out;
        asio::co_spawn(io_, receive_into(connection, out), asio::detached);
        REQUIRE(run_until([&] { return out.has_value(); }));
        return *out;
    }

    [[nodiscard]] ConnectionPtr accepted(std::size_t index = 0) {
        REQUIRE(run_until([&] { return accepted_.size() > index; }));
        return accepted_[index];
    }

    [[nodiscard]] std::size_t accepted_count() const { return accepted_.size(); }

    [[nodiscard]] std::uint16_t port() const { return acceptor_->port(); }

    asio::io_context& io() { return io_; }

    Acceptor& acceptor() { return *acceptor_; }

  private:
    asio::io_context io_;
    std::unique_ptr<Acceptor> acceptor_;
    std::vector<ConnectionPtr> accepted_;
};

TEST_CASE("connection: both ends know each other, and messages arrive whole and in order") {
    const parties::Parties parties;
    World world(parties.server);
    const Connected dialled = world.dial(parties.source, server_identity);
    REQUIRE(dialled.has_value());
    const ConnectionPtr here = *dialled;
    const ConnectionPtr there = world.accepted();
    CHECK(here->peer() == "drover:server");
    CHECK(there->peer() == "drover:agent:source");
    CHECK(there->remote_address() == "127.0.0.1");
    Bytes large(message_bytes_max);
    SeededRandom(1).fill(large);
    REQUIRE(here->post(Bytes{1, 2, 3}));
    REQUIRE(here->post(large));
    REQUIRE(there->post(Bytes{4}));
    CHECK(world.receive(there).value() == Bytes{1, 2, 3});
    CHECK(world.receive(there).value() == large);
    CHECK(world.receive(here).value() == Bytes{4});
    here->close();
}

TEST_CASE("connection: many messages both ways at once arrive byte for byte") {
    const parties::Parties parties;
    World world(parties.server);
    const ConnectionPtr here = world.dial(parties.source, server_identity).value();
    asio::co_spawn(world.io(), echo(world.accepted()), asio::detached);
    for (int round = 0; round < 8; ++round) {
        std::vector<Bytes> sent;
        for (std::uint64_t i = 0; i < 4; ++i) {
            sent.emplace_back(500'000 + i);
            SeededRandom(i).fill(sent.back());
            REQUIRE(here->post(sent.back()));
        }
        for (const Bytes& message : sent) CHECK(world.receive(here).value() == message);
    }
    here->close();
}

TEST_CASE("connection: what was queued before close still arrives") {
    const parties::Parties parties;
    World world(parties.server);
    const ConnectionPtr here = world.dial(parties.source, server_identity).value();
    const ConnectionPtr there = world.accepted();
    const Bytes last(1'000'000, 7);
    // Unread bytes at the closing end must not turn the end into a reset.
    REQUIRE(here->post(Bytes(100'000)));
    REQUIRE(there->post(last));
    there->close();
    CHECK_FALSE(there->post(Bytes{1}));
    CHECK(world.receive(here).value() == last);
    const auto ended = world.receive(here);
    REQUIRE_FALSE(ended.has_value());
    CHECK(ended.error().code() == Errc::unavailable);
}

TEST_CASE("connection: close ends a receive that waits, although the peer does nothing") {
    const parties::Parties parties;
    World world(parties.server);
    const ConnectionPtr here = world.dial(parties.source, server_identity).value();
    std::optional<Result<Bytes>> out;
    asio::co_spawn(world.io(), receive_into(here, out), asio::detached);
    world.io().poll();
    here->close();
    REQUIRE(world.run_until([&] { return out.has_value(); }));
    CHECK(out->error().code() == Errc::unavailable);
}

TEST_CASE("connection: a peer that reads too slowly is closed at the queue's bound") {
    const parties::Parties parties;
    World world(parties.server);
    const ConnectionPtr here = world.dial(parties.source, server_identity).value();
    bool open = true;
    int posted = 0;
    while (open && posted < 20) {
        open = here->post(Bytes(1U << 20));
        ++posted;
    }
    CHECK_FALSE(open);
    CHECK(posted == 9);
    CHECK_FALSE(world.receive(here).has_value());
}

TEST_CASE("connection: certificates that are missing or foreign are refused on both sides") {
    const parties::Parties parties;
    World world(parties.server);
    for (const TlsIdentity& identity : {parties.anonymous(), parties.impostor(), parties.foreign}) {
        const Connected refused = world.dial(identity, server_identity);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().code() == Errc::denied);
    }
    CHECK(world.accepted_count() == 0);
}

TEST_CASE("connection: another peer than the expected one is refused") {
    const parties::Parties parties;
    World world(parties.target);
    const Connected refused = world.dial(parties.source, server_identity);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().id() == "unexpected_peer");
}

TEST_CASE("connection: garbage is answered by closing, and the acceptor goes on") {
    const parties::Parties parties;
    World world(parties.server);
    Bytes garbage(10'000);
    SeededRandom(5).fill(garbage);
    RawSocket socket(world.port());
    REQUIRE(socket.is_connected());
    socket.send(garbage);
    socket.end_sending();
    REQUIRE(world.run_until([&] { return socket.read_to_end(0); }));
    CHECK(world.accepted_count() == 0);
    CHECK(world.dial(parties.source, server_identity).has_value());
}

TEST_CASE("connection: a message larger than the limit is refused by its length alone") {
    const parties::Parties parties;
    World world(parties.server);
    // A Link speaks the same frames, and may be told to send larger ones.
    DialOptions options;
    options.host = "127.0.0.1";
    options.port = world.port();
    options.frame_bytes_max = 2 * message_bytes_max;
    std::optional<Result<std::unique_ptr<Link>>> link;
    std::thread dialler([&] {
        link.emplace(dial_tls(parties.source, options));
        // The peer hangs up before it has read all of it.
        if (*link) (void)(**link)->send(Bytes(message_bytes_max + 1));
    });
    const auto refused = world.receive(world.accepted());
    dialler.join();
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().id() == "frame_too_large");
}

TEST_CASE(
    "connection: a port where nobody listens is unavailable, a taken one cannot be listened on") {
    const parties::Parties parties;
    World world(parties.server);
    const auto second =
        accept(world.io(), parties.server, "127.0.0.1", world.port(), [](const ConnectionPtr&) {});
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().id() == "port_taken");
    world.acceptor().stop();
    const Connected refused = world.dial(parties.source, server_identity);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code() == Errc::unavailable);
    const auto bad =
        accept(world.io(), parties.server, "no address", 0, [](const ConnectionPtr&) {});
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().code() == Errc::invalid);
}

}  // namespace
}  // namespace drover::wire
