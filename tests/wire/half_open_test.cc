/// A peer that vanishes: its host is gone, no FIN and no RST will ever come. In a network of its
/// own, whose only interface is taken down. Needs root; takes as long as the kernel is given.
#include "base/file.h"
#include "tests/wire/parties.h"
#include "wire/tls_link.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace drover::wire {
namespace {

/// What the documentation promises, and what a busy machine may take on top.
constexpr std::int64_t found_ms_max = 30'000 + 10'000;
constexpr std::int64_t longer_ms = 100'000;

bool set_loopback(bool up) {
    const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return false;
    const int flags = up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP;
    request.ifr_flags = static_cast<short>(flags);
    return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

struct Pair {
    std::unique_ptr<Link> dialled;
    std::unique_ptr<Link> accepted;
};

/// Of the calling thread's network.
struct Connected {
    explicit Connected(const parties::Parties& parties) {
        ListenOptions options;
        options.host = "127.0.0.1";
        options.send_timeout_ms = longer_ms;
        listener = listen_tls(parties.target, options, [this](std::unique_ptr<Link> link) {
                       const std::lock_guard lock(mutex);
                       arrived.push_back(std::move(link));
                       changed.notify_all();
                   }).value();
        idle = connect(parties);
        busy = connect(parties);
    }

    Pair connect(const parties::Parties& parties) {
        DialOptions options;
        options.host = "127.0.0.1";
        options.port = listener->port();
        options.send_timeout_ms = longer_ms;
        Pair pair;
        pair.dialled = dial_tls(parties.source, options).value();
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return !arrived.empty(); });
        pair.accepted = std::move(arrived.back());
        arrived.clear();
        return pair;
    }

    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::unique_ptr<Link>> arrived;
    std::unique_ptr<TlsListener> listener;
    Pair idle;  ///< nobody says anything
    Pair busy;  ///< one side sends as much as it can
};

struct Found {
    std::int64_t ms = 0;
    Errc code = Errc::none;
};

template <class Call>
std::future<Found> time_of(Call call) {
    return std::async(std::launch::async, [call] {
        const auto began = std::chrono::steady_clock::now();
        const Errc code = call();
        const auto took = std::chrono::steady_clock::now() - began;
        return Found{std::chrono::duration_cast<std::chrono::milliseconds>(took).count(), code};
    });
}

Errc wait_for_frame(Link& link) {
    const auto got = link.receive(longer_ms);
    return got ? Errc::none : got.error().code();
}

Errc send_for_ever(Link& link) {
    const Bytes body(256U << 10);
    for (;;)
        if (const auto sent = link.send({}, body); !sent) return sent.error().code();
}

TEST_CASE("half-open: a vanished peer is found on both sides, whether anything is sent or not") {
    std::vector<Found> found;
    bool is_possible = true;
    std::thread apart([&] {
        is_possible = ::unshare(CLONE_NEWNET) == 0 && set_loopback(true);
        if (!is_possible) return;
        const parties::Parties parties;
        Connected peers(parties);
        is_possible = set_loopback(false);
        if (!is_possible) return;
        std::vector<std::future<Found>> waiting;
        waiting.push_back(time_of([&] { return wait_for_frame(*peers.idle.dialled); }));
        waiting.push_back(time_of([&] { return wait_for_frame(*peers.idle.accepted); }));
        waiting.push_back(time_of([&] { return send_for_ever(*peers.busy.dialled); }));
        waiting.push_back(time_of([&] { return wait_for_frame(*peers.busy.accepted); }));
        for (auto& one : waiting) found.push_back(one.get());
    });
    apart.join();
    if (!is_possible) {
        WARN("skipped: a network of its own needs root");
        return;
    }
    REQUIRE(found.size() == 4);
    for (const Found& one : found) {
        INFO("found after " << one.ms << " ms");
        CHECK(one.code == Errc::unavailable);
        CHECK(one.ms < found_ms_max);
    }
}

}  // namespace
}  // namespace drover::wire
