#include "base/file.h"
#include "base/random.h"
#include "tests/wire/parties.h"
#include "tests/wire/raw_socket.h"
#include "wire/memory_link.h"
#include "wire/tls_link.h"
#include "wire/tls_stream.h"

#include <cstring>
#include <future>
#include <thread>

#include <catch2/catch.hpp>

#include <malloc.h>

namespace drover::wire {
namespace {

constexpr std::int64_t patience_ms = 10'000;

using LinkPtr = std::unique_ptr<Link>;
using LinkPair = std::pair<LinkPtr, LinkPtr>;

/// A listener of `identity` on 127.0.0.1 that keeps what it accepts.
class Host {
  public:
    explicit Host(const TlsIdentity& identity, ListenOptions options = {}) {
        options.host = "127.0.0.1";
        listener_ = listen_tls(identity, options, [this](LinkPtr link) {
                        const std::lock_guard lock(mutex_);
                        accepted_.push_back(std::move(link));
                        changed_.notify_all();
                    }).value();
    }

    [[nodiscard]] DialOptions dial() const {
        DialOptions options;
        options.host = "127.0.0.1";
        options.port = listener_->port();
        return options;
    }

    /// The next accepted link; nullptr if none comes.
    [[nodiscard]] LinkPtr next() {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::milliseconds(patience_ms),
                          [&] { return !accepted_.empty(); });
        if (accepted_.empty()) return nullptr;
        LinkPtr link = std::move(accepted_.front());
        accepted_.erase(accepted_.begin());
        return link;
    }

    [[nodiscard]] std::size_t accepted() {
        const std::lock_guard lock(mutex_);
        return accepted_.size();
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<LinkPtr> accepted_;
    std::unique_ptr<TlsListener> listener_;
};

LinkPair tls_pair(DialOptions tuning = {}, ListenOptions options = {}) {
    static const parties::Parties parties;
    Host host(parties.target, options);
    DialOptions dial = host.dial();
    dial.send_timeout_ms = tuning.send_timeout_ms;
    dial.frame_bytes_max = tuning.frame_bytes_max;
    dial.rekey_bytes = tuning.rekey_bytes;
    LinkPtr first = dial_tls(parties.source, dial).value();
    LinkPtr second = host.next();
    REQUIRE(second != nullptr);
    return {std::move(first), std::move(second)};
}

Errc code_of(const Result<LinkPtr>& result) {
    return result ? Errc::none : result.error().code();
}

Bytes pattern(std::size_t size, std::uint64_t seed) {
    Bytes out(size);
    SeededRandom(seed).fill(out);
    return out;
}

// ---- what every Link does ----

/// One body for both implementations: a fake that passes may be trusted by the simulator.
template <class Make>
void check_link_contract(Make make) {
    SECTION("frames arrive whole and in order, empty ones too") {
        auto [first, second] = make();
        const Bytes head{1, 2, 3};
        const Bytes body = pattern(100'000, 1);
        REQUIRE(first->send(head, body).has_value());
        REQUIRE(first->send({}).has_value());
        REQUIRE(first->send(head).has_value());
        Bytes joined = head;
        joined.insert(joined.end(), body.begin(), body.end());
        CHECK(second->receive(patience_ms).value() == joined);
        CHECK(second->receive(patience_ms).value().empty());
        CHECK(second->receive(patience_ms).value() == head);
    }
    SECTION("what is collected arrives in order, before what is sent later, or once flushed") {
        auto [first, second] = make();
        const Bytes head{1, 2, 3};
        std::vector<Bytes> sent;
        const auto joined = [&](const Bytes& body) {
            Bytes all = head;
            all.insert(all.end(), body.begin(), body.end());
            return all;
        };
        for (std::size_t i = 0; i < 100; ++i) {
            // Around what is collected at all, and more than is kept.
            sent.push_back(pattern(i % 10 == 9 ? 65'000 + 100 * i : i * 50, i));
            REQUIRE(first->collect(head, sent.back()).has_value());
            if (i == 50) REQUIRE(first->send(head, sent.emplace_back(Bytes{9})).has_value());
        }
        REQUIRE(first->flush().has_value());
        REQUIRE(first->flush().has_value());
        for (const Bytes& body : sent) CHECK(second->receive(patience_ms).value() == joined(body));
        first->abort();
        const auto collected = first->collect(head);
        const auto flushed = collected ? first->flush() : collected;
        CHECK(flushed.error().code() == Errc::cancelled);
    }
    SECTION("a time-out leaves the link usable") {
        auto [first, second] = make();
        const auto late = second->receive(10);
        REQUIRE_FALSE(late.has_value());
        CHECK(late.error().code() == Errc::timed_out);
        REQUIRE(first->send(Bytes{7}).has_value());
        CHECK(second->receive(patience_ms).value() == Bytes{7});
    }
    SECTION("abort wakes a blocked receive and a blocked send, and ends later calls") {
        auto [first, second] = make();
        Link& link = *first;
        auto receiving = std::async(std::launch::async, [&] { return link.receive(60'000); });
        auto sending = std::async(std::launch::async, [&] {
            const Bytes body(1U << 20);
            for (;;) {
                if (const auto sent = link.send({}, body); !sent) return sent;
            }
        });
        CHECK(receiving.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
        link.abort();
        CHECK(receiving.get().error().code() == Errc::cancelled);
        CHECK(sending.get().error().code() == Errc::cancelled);
        CHECK(link.send(Bytes{1}).error().code() == Errc::cancelled);
        CHECK(link.receive(0).error().code() == Errc::cancelled);
    }
    SECTION("a peer that goes away makes both calls unavailable, after what it had sent") {
        auto [first, second] = make();
        REQUIRE(first->send(Bytes{5}).has_value());
        first.reset();
        CHECK(second->receive(patience_ms).value() == Bytes{5});
        CHECK(second->receive(patience_ms).error().code() == Errc::unavailable);
        Errc sent = Errc::none;
        for (int i = 0; i < 1000 && sent == Errc::none; ++i) {
            const auto result = second->send(Bytes(1000));
            if (!result) sent = result.error().code();
        }
        CHECK(sent == Errc::unavailable);
    }
}

TEST_CASE("link contract: in memory") {
    check_link_contract([] { return make_memory_links(); });
}

TEST_CASE("link contract: TLS") {
    check_link_contract([] { return tls_pair(); });
}

TEST_CASE("memory link: the pipe is cut after the frames that may pass") {
    MemoryLinkOptions options;
    options.cut_after_frames = 2;
    auto [first, second] = make_memory_links(options);
    CHECK(first->peer() == options.second_identity);
    CHECK(second->peer() == options.first_identity);
    REQUIRE(first->send(Bytes{1}).has_value());
    REQUIRE(first->send(Bytes{2}).has_value());
    CHECK_FALSE(first->send(Bytes{3}).has_value());
    CHECK(second->receive(0).value() == Bytes{1});
    CHECK(second->receive(0).value() == Bytes{2});
    CHECK(second->receive(0).error().code() == Errc::unavailable);
}

// ---- who may talk to whom ----

TEST_CASE("tls link: both ends know each other by certificate") {
    auto [first, second] = tls_pair();
    CHECK(first->peer() == "drover:agent:target");
    CHECK(second->peer() == "drover:agent:source");
}

TEST_CASE("tls link: a dialler without a certificate is refused, and nothing is handed over") {
    const parties::Parties parties;
    Host host(parties.target);
    CHECK(code_of(dial_tls(parties.anonymous(), host.dial())) == Errc::denied);
    CHECK(host.accepted() == 0);
}

TEST_CASE("tls link: a certificate of another authority is refused by the listener") {
    const parties::Parties parties;
    Host host(parties.target);
    CHECK(code_of(dial_tls(parties.impostor(), host.dial())) == Errc::denied);
    CHECK(host.accepted() == 0);
}

TEST_CASE("tls link: a listener of another authority is refused by the dialler") {
    const parties::Parties parties;
    Host host(parties.foreign);
    CHECK(code_of(dial_tls(parties.source, host.dial())) == Errc::denied);
    CHECK(host.accepted() == 0);
}

TEST_CASE("tls link: another peer than the expected one is refused") {
    const parties::Parties parties;
    Host host(parties.target);
    DialOptions options = host.dial();
    options.expected_peer = "drover:server";
    const auto refused = dial_tls(parties.source, options);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().id() == "unexpected_peer");
    options.expected_peer = "drover:agent:target";
    CHECK(dial_tls(parties.source, options).has_value());
}

TEST_CASE(
    "tls link: a port where nobody listens is unavailable; a taken port cannot be listened on") {
    const parties::Parties parties;
    DialOptions options;
    options.host = "127.0.0.1";
    {
        Host host(parties.target);
        options = host.dial();
        ListenOptions same;
        same.host = "127.0.0.1";
        same.port = options.port;
        const auto second = listen_tls(parties.target, same, [](LinkPtr) {});
        REQUIRE_FALSE(second.has_value());
        CHECK(second.error().id() == "port_taken");
    }
    CHECK(code_of(dial_tls(parties.source, options)) == Errc::unavailable);
}

// ---- hostile peers ----

TEST_CASE("tls link: garbage is answered by closing, and the listener goes on") {
    const parties::Parties parties;
    Host host(parties.target);
    const std::vector<Bytes> inputs{pattern(4096, 3), Bytes(70'000, 0x16),
                                    Bytes{0x16, 0x03, 0x01, 0xff, 0xff, 0x01},
                                    Bytes{'G', 'E', 'T', ' ', '/', '\r', '\n', '\r', '\n'}};
    for (const Bytes& input : inputs) {
        RawSocket socket(host.dial().port);
        socket.send(input);
        socket.end_sending();
        CHECK(socket.read_to_end(patience_ms));
    }
    CHECK(host.accepted() == 0);
    CHECK(dial_tls(parties.source, host.dial()).has_value());
}

TEST_CASE("tls link: connections that never finish a handshake are bounded in number and time") {
    const parties::Parties parties;
    ListenOptions options;
    options.unauthenticated_max = 2;
    options.handshake_timeout_ms = 200;
    Host host(parties.target, options);
    RawSocket slow_one(host.dial().port);
    RawSocket slow_two(host.dial().port);
    RawSocket surplus(host.dial().port);
    CHECK(surplus.read_to_end(150));  // Closed at once: earlier than any handshake's deadline.
    CHECK(slow_one.read_to_end(patience_ms));
    CHECK(slow_two.read_to_end(patience_ms));
    CHECK(dial_tls(parties.source, host.dial()).has_value());
}

TEST_CASE("tls link: a frame larger than the limit is refused by its length alone") {
    ListenOptions narrow;
    narrow.frame_bytes_max = 1000;
    auto [first, second] = tls_pair({}, narrow);
    CHECK(second->send(Bytes(1001)).error().code() == Errc::invalid);
    REQUIRE(first->send(Bytes(1001)).has_value());
    const auto refused = second->receive(patience_ms);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().id() == "frame_too_large");
    CHECK_FALSE(second->receive(0).has_value());
}

TEST_CASE("tls link: a peer that stops reading makes send time out") {
    DialOptions impatient;
    impatient.send_timeout_ms = 100;
    auto [first, second] = tls_pair(impatient);
    const Bytes body(1U << 20);
    Errc ended = Errc::none;
    for (int i = 0; i < 200 && ended == Errc::none; ++i) {
        const auto sent = first->send({}, body);
        if (!sent) ended = sent.error().code();
    }
    CHECK(ended == Errc::timed_out);
    CHECK(first->send(Bytes{1}).error().code() == Errc::unavailable);
}

/// Bytes that the process has taken and not given back; 0 where nobody can tell.
std::size_t memory_in_use() {
    const struct mallinfo2 info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

TEST_CASE("tls link: while a peer does not read, neither end piles anything up") {
    DialOptions impatient;
    impatient.send_timeout_ms = 300;
    impatient.frame_bytes_max = bulk_frame_bytes_max;
    ListenOptions options;
    options.frame_bytes_max = bulk_frame_bytes_max;
    auto [first, second] = tls_pair(impatient, options);
    const Bytes body(1U << 20);
    REQUIRE(first->send({}, body).has_value());
    REQUIRE(second->receive(patience_ms).has_value());
    const std::size_t before = memory_in_use();
    int taken = 0;
    while (first->send({}, body)) ++taken;
    const std::size_t after = memory_in_use();
    INFO("frames of 1 MiB in the kernel's buffers: " << taken);
    CHECK(after <= before + (2U << 20));
    // What the kernel keeps is bounded by its own settings; a queue of ours would not be.
    CHECK(taken < 200);
}

TEST_CASE("tls link: a connection that ends in the middle of a frame leaves no frame") {
    const parties::Parties parties;
    Host host(parties.target);
    const Bytes half = pattern(5000, 4);
    for (const std::size_t said : {std::size_t{5001}, std::size_t{100'000}}) {
        const Deadline deadline = deadline_in(patience_ms);
        const auto context = make_tls_context(parties.source, TlsMode::client).value();
        auto socket = dial_tcp("127.0.0.1", host.dial().port, deadline).value();
        auto stream =
            TlsStream::make(context.get(), std::move(socket), TlsStream::Role::client).value();
        REQUIRE(stream->handshake(deadline).has_value());
        LinkPtr accepted = host.next();
        REQUIRE(accepted != nullptr);
        Bytes length;
        put_u32(length, 3);
        REQUIRE(stream->write(length, Bytes{1, 2, 3}, deadline).has_value());
        length.clear();
        put_u32(length, static_cast<std::uint32_t>(said));
        REQUIRE(stream->write(length, half, deadline).has_value());
        CHECK(accepted->receive(patience_ms).value() == Bytes{1, 2, 3});
        // Half a frame is not handed over, and waiting for the rest may go on.
        CHECK(accepted->receive(20).error().code() == Errc::timed_out);
        stream.reset();
        const auto ended = accepted->receive(patience_ms);
        REQUIRE_FALSE(ended.has_value());
        CHECK(ended.error().code() == Errc::unavailable);
        CHECK(accepted->receive(0).error().code() == Errc::unavailable);
    }
}

// ---- volume ----

/// Sends `count` frames of `size` and checks as many from the other side, in two threads.
void exchange(Link& link, std::uint64_t own_seed, std::uint64_t peer_seed, int count,
              std::size_t size, bool& equal) {
    const Bytes mine = pattern(size, own_seed);
    const Bytes theirs = pattern(size, peer_seed);
    bool received_all = true;
    std::thread receiver([&] {
        for (int i = 0; i < count && received_all; ++i) {
            const auto frame = link.receive(patience_ms);
            received_all = frame && frame->size() == size + 4 &&
                           get_u32(*frame, 0) == unsigned(i) &&
                           std::memcmp(frame->data() + 4, theirs.data(), size) == 0;
        }
    });
    bool sent_all = true;
    for (int i = 0; i < count && sent_all; ++i) {
        Bytes head;
        put_u32(head, static_cast<std::uint32_t>(i));
        sent_all = link.send(head, mine).has_value();
    }
    receiver.join();
    equal = sent_all && received_all;
}

void check_volume(LinkPair pair, int count) {
    constexpr std::size_t size = (1U << 20) - 17;
    bool first_equal = false;
    bool second_equal = false;
    std::thread other([&] { exchange(*pair.second, 2, 1, count, size, second_equal); });
    exchange(*pair.first, 1, 2, count, size, first_equal);
    other.join();
    CHECK(first_equal);
    CHECK(second_equal);
}

TEST_CASE("tls link: 64 MiB both ways at once arrive byte for byte") {
    DialOptions wide;
    wide.frame_bytes_max = bulk_frame_bytes_max;
    ListenOptions options;
    options.frame_bytes_max = bulk_frame_bytes_max;
    check_volume(tls_pair(wide, options), 64);
}

TEST_CASE("tls link: keys change on the way without a trace in the data") {
    DialOptions tuning;
    tuning.rekey_bytes = 1U << 20;
    ListenOptions options;
    options.rekey_bytes = 3U << 20;
    check_volume(tls_pair(tuning, options), 16);
}

}  // namespace
}  // namespace drover::wire
