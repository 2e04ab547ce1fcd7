#include "wire/tls_link.h"

#include "wire/tls_stream.h"

#include <array>
#include <atomic>

namespace drover::wire {
namespace {

/// A frame up to this size is collected; so many bytes of them go out together.
constexpr std::size_t small_bytes_max = 64U << 10;
constexpr std::size_t collected_bytes = 128U << 10;

class TlsLink final : public Link {
  public:
    TlsLink(std::unique_ptr<TlsStream> stream, std::string peer, std::size_t frame_bytes_max,
            std::int64_t send_timeout_ms)
        : stream_(std::move(stream)),
          peer_(std::move(peer)),
          frame_bytes_max_(frame_bytes_max),
          send_timeout_ms_(send_timeout_ms) {}

    Result<> send(ByteView head, ByteView body) override {
        TRY_VOID(flush());
        const std::size_t size = head.size() + body.size();
        if (dead_) return gone();
        if (size > frame_bytes_max_) return too_large(size);
        prefix_.clear();
        put_u32(prefix_, static_cast<std::uint32_t>(size));
        put_bytes(prefix_, head);
        return ended(stream_->write(prefix_, body, deadline_in(send_timeout_ms_)));
    }

    Result<> collect(ByteView head, ByteView body) override {
        const std::size_t size = head.size() + body.size();
        if (size > small_bytes_max || size > frame_bytes_max_) return send(head, body);
        if (dead_) return gone();
        put_u32(collected_, static_cast<std::uint32_t>(size));
        put_bytes(collected_, head);
        put_bytes(collected_, body);
        return collected_.size() < collected_bytes ? Result<>() : flush();
    }

    Result<> flush() override {
        if (collected_.empty()) return {};
        if (dead_) return gone();
        const Result<> sent = stream_->write(collected_, {}, deadline_in(send_timeout_ms_));
        collected_.clear();
        return ended(sent);
    }

    Result<Bytes> receive(std::int64_t timeout_ms) override {
        if (dead_) return gone();
        const Deadline deadline = deadline_in(timeout_ms);
        // What has arrived of a frame is kept over a time-out.
        while (length_filled_ < length_.size()) {
            TRY(const std::size_t count,
                read(std::span(length_).subspan(length_filled_), deadline));
            length_filled_ += count;
            if (length_filled_ == length_.size()) TRY_VOID(begin_frame());
        }
        while (frame_filled_ < frame_.size()) {
            TRY(const std::size_t count, read(std::span(frame_).subspan(frame_filled_), deadline));
            frame_filled_ += count;
        }
        length_filled_ = 0;
        frame_filled_ = 0;
        return std::exchange(frame_, {});
    }

    void abort() override {
        aborted_ = true;
        stream_->abort();
    }

    [[nodiscard]] const std::string& peer() const override { return peer_; }

  private:
    /// The length is checked before anything is allocated.
    Result<> begin_frame() {
        const std::size_t size = get_u32(length_, 0);
        if (size > frame_bytes_max_) {
            dead_ = true;
            return too_large(size);
        }
        frame_.resize(size);
        return {};
    }

    Result<std::size_t> read(std::span<std::uint8_t> out, Deadline deadline) {
        auto count = stream_->read_some(out, deadline);
        if (count && *count == 0) {
            dead_ = true;
            return gone();
        }
        if (!count && count.error().code() != Errc::timed_out) dead_ = true;
        return count;
    }

    Result<> ended(Result<> result) {
        if (!result) dead_ = true;
        return result;
    }

    [[nodiscard]] Error gone() const {
        if (aborted_) return Error(Errc::cancelled, "link_aborted", "the link was aborted");
        return Error(Errc::unavailable, "link_closed", "the connection is closed");
    }

    [[nodiscard]] Error too_large(std::size_t size) const {
        return Error(Errc::invalid, "frame_too_large",
                     "a frame of " + std::to_string(size) + " bytes; the limit is " +
                         std::to_string(frame_bytes_max_));
    }

    const std::unique_ptr<TlsStream> stream_;
    const std::string peer_;
    const std::size_t frame_bytes_max_;
    const std::int64_t send_timeout_ms_;
    std::atomic<bool> dead_ = false;
    std::atomic<bool> aborted_ = false;

    Bytes prefix_;     ///< of the sending thread: length and head
    Bytes collected_;  ///< of the sending thread: whole frames with their lengths

    std::array<std::uint8_t, 4> length_{};  ///< of the receiving thread, as are the following
    std::size_t length_filled_ = 0;
    Bytes frame_;
    std::size_t frame_filled_ = 0;
};

}  // namespace

std::unique_ptr<Link> make_tls_link(std::unique_ptr<TlsStream> stream, std::string peer,
                                    std::size_t frame_bytes_max, std::int64_t send_timeout_ms) {
    return std::make_unique<TlsLink>(std::move(stream), std::move(peer), frame_bytes_max,
                                     send_timeout_ms);
}

Result<std::unique_ptr<Link>> dial_tls(const TlsIdentity& identity, const DialOptions& options) {
    const Deadline deadline = deadline_in(options.timeout_ms);
    TRY(const auto context, make_tls_context(identity, TlsMode::client));
    TRY(auto socket, dial_tcp(options.host, options.port, deadline));
    TRY(auto stream, TlsStream::make(context.get(), std::move(socket), TlsStream::Role::client));
    stream->set_rekey_bytes(options.rekey_bytes);
    TRY_VOID(stream->handshake(deadline));
    TRY(auto peer, checked_peer(stream->ssl(), options.expected_peer));
    auto link = make_tls_link(std::move(stream), std::move(peer), options.frame_bytes_max,
                              options.send_timeout_ms);
    TRY(const auto greeting, link->receive(deadline - deadline_in(0)));
    if (!greeting.empty()) {
        return Error(Errc::invalid, "protocol_error", "the peer did not begin with an empty frame");
    }
    return link;
}

}  // namespace drover::wire
