#include "base/log.h"
#include "wire/tls_link.h"
#include "wire/tls_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <thread>
#include <vector>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

namespace drover::wire {
namespace {

/// After the process ran out of descriptors: without a pause the loop would spin.
constexpr std::int64_t accept_pause_ms = 100;

/// One thread drives the listening socket and all unfinished handshakes.
class Listener final : public TlsListener {
  public:
    Listener(Fd listening, Fd wake, TlsContextPtr context, ListenOptions options, Accept accept)
        : listening_(std::move(listening)),
          wake_(std::move(wake)),
          context_(std::move(context)),
          options_(std::move(options)),
          accept_(std::move(accept)),
          port_(port_of(listening_.get())),
          thread_([this] { run(); }) {}

    ~Listener() override {
        (void)::eventfd_write(wake_.get(), 1);
        thread_.join();
    }

    [[nodiscard]] std::uint16_t port() const override { return port_; }

  private:
    struct Handshake {
        std::unique_ptr<TlsStream> stream;
        Deadline deadline = 0;
        short events = POLLIN;
    };

    void run() {
        for (;;) {
            auto watched = watch();
            const int ready = ::poll(watched.data(), watched.size(), next_timeout_ms());
            if (ready < 0 && errno != EINTR) {
                log::error("wire", "the listener cannot poll", "port=" + std::to_string(port_));
                return;
            }
            if (ready < 0) continue;
            if (watched[0].revents != 0) return;
            advance(watched);
            if (watched[1].revents != 0) accept_waiting();
        }
    }

    /// wake, listening socket, then the handshakes in their order.
    [[nodiscard]] std::vector<pollfd> watch() const {
        const bool paused = deadline_in(0) < accept_paused_until_;
        std::vector<pollfd> watched{{wake_.get(), POLLIN, 0},
                                    {paused ? -1 : listening_.get(), POLLIN, 0}};
        for (const Handshake& handshake : handshakes_) {
            watched.push_back({handshake.stream->fd(), handshake.events, 0});
        }
        return watched;
    }

    [[nodiscard]] int next_timeout_ms() const {
        const Deadline now = deadline_in(0);
        Deadline next = now + 60'000;
        if (now < accept_paused_until_) next = accept_paused_until_;
        for (const Handshake& handshake : handshakes_) next = std::min(next, handshake.deadline);
        return static_cast<int>(std::max<std::int64_t>(next - now, 0));
    }

    void advance(const std::vector<pollfd>& watched) {
        const Deadline now = deadline_in(0);
        std::vector<Handshake> unfinished;
        for (std::size_t i = 0; i < handshakes_.size(); ++i) {
            Handshake& handshake = handshakes_[i];
            if (now >= handshake.deadline) continue;
            if (watched[i + 2].revents == 0 || !is_finished(handshake)) {
                unfinished.push_back(std::move(handshake));
            }
        }
        handshakes_ = std::move(unfinished);
    }

    /// One step of a handshake; hands the link over when it was the last. True also after a
    /// failure.
    [[nodiscard]] bool is_finished(Handshake& handshake) {
        const auto step = handshake.stream->handshake_step();
        if (!step) {
            log::debug("wire", "a peer was refused: " + step.error().text());
            return true;
        }
        if (*step == TlsStream::Step::done) {
            hand_over(std::move(handshake.stream));
            return true;
        }
        handshake.events = *step == TlsStream::Step::wants_read ? POLLIN : POLLOUT;
        return false;
    }

    void hand_over(std::unique_ptr<TlsStream> stream) {
        auto peer = checked_peer(stream->ssl(), {});
        if (!peer) {
            log::warn("wire", "a peer was refused: " + peer.error().text());
            return;
        }
        auto link = make_tls_link(std::move(stream), std::move(*peer), options_.frame_bytes_max,
                                  options_.send_timeout_ms);
        if (!greet(*link)) return;
        accept_(std::move(link));
    }

    /// The empty frame by which a dialling peer learns that it was accepted. A new socket's buffer
    /// always has room for it.
    [[nodiscard]] static bool greet(Link& link) { return link.send({}).has_value(); }

    void accept_waiting() {
        for (;;) {
            Fd socket(::accept4(listening_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            if (!socket.valid()) {
                const bool exhausted =
                    errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
                if (exhausted) accept_paused_until_ = deadline_in(accept_pause_ms);
                return;
            }
            if (handshakes_.size() >= options_.unauthenticated_max) continue;  // Closes it.
            set_tcp_options(socket.get());
            auto stream =
                TlsStream::make(context_.get(), std::move(socket), TlsStream::Role::server);
            if (!stream) continue;
            (*stream)->set_rekey_bytes(options_.rekey_bytes);
            handshakes_.push_back(
                {std::move(*stream), deadline_in(options_.handshake_timeout_ms), POLLIN});
        }
    }

    const Fd listening_;
    const Fd wake_;
    const TlsContextPtr context_;
    const ListenOptions options_;
    const Accept accept_;
    const std::uint16_t port_;
    std::vector<Handshake> handshakes_;
    Deadline accept_paused_until_ = 0;
    std::thread thread_;  ///< last: it starts when everything above is there
};

}  // namespace

Result<std::unique_ptr<TlsListener>> listen_tls(const TlsIdentity& identity,
                                                const ListenOptions& options,
                                                TlsListener::Accept accept) {
    TRY(auto context, make_tls_context(identity, TlsMode::mutual_server));
    TRY(auto listening, listen_tcp(options.host, options.port));
    Fd wake(::eventfd(0, EFD_CLOEXEC));
    if (!wake.valid()) return errno_error(errno, "make an event for", "the listener");
    return std::unique_ptr<TlsListener>(std::make_unique<Listener>(
        std::move(listening), std::move(wake), std::move(context), options, std::move(accept)));
}

}  // namespace drover::wire
