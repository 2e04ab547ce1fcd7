#include "wire/tls_stream.h"

#include "base/assert.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include <openssl/err.h>

#include <poll.h>
#include <sys/socket.h>

namespace drover::wire {
namespace {

constexpr std::size_t receive_buffer_bytes = 256U << 10;
constexpr std::size_t seal_bytes_max = 256U << 10;
constexpr std::size_t record_bytes_max = 16384;

Error connection_lost(int number) {
    return Error(Errc::unavailable, "connection_lost",
                 std::string("the connection is gone: ") + std::strerror(number));
}

bool would_block(int number) {
    return number == EAGAIN || number == EWOULDBLOCK;
}

}  // namespace

Result<std::unique_ptr<TlsStream>> TlsStream::make(ssl_ctx_st* context, Fd socket, Role role) {
    SslPtr ssl(SSL_new(context));
    if (!ssl) return openssl_error("start TLS");
    std::unique_ptr<TlsStream> stream(new TlsStream(std::move(socket), std::move(ssl)));
    BIO* bio = BIO_new(bio_method());
    if (bio == nullptr) return openssl_error("start TLS");
    BIO_set_data(bio, stream.get());
    BIO_set_init(bio, 1);
    SSL_set_bio(stream->ssl_.get(), bio, bio);
    if (role == Role::server) {
        SSL_set_accept_state(stream->ssl_.get());
    } else {
        SSL_set_connect_state(stream->ssl_.get());
    }
    stream->arrived_.resize(receive_buffer_bytes);
    stream->landing_.resize(receive_buffer_bytes);
    return stream;
}

// ---- the memory that SSL reads from and writes to; called with ssl_mutex_ held ----

const BIO_METHOD* TlsStream::bio_method() {
    // Made once and never freed: connections may outlive static destruction.
    static const BIO_METHOD* const method = [] {
        BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "drover");
        DROVER_ASSERT(made != nullptr);
        BIO_meth_set_write_ex(made, bio_write);
        BIO_meth_set_read_ex(made, bio_read);
        BIO_meth_set_ctrl(made, bio_control);
        return made;
    }();
    return method;
}

int TlsStream::bio_write(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
    auto& sealed = static_cast<TlsStream*>(BIO_get_data(bio))->sealed_;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(data);
    sealed.insert(sealed.end(), bytes, bytes + size);
    *written = size;
    return 1;
}

int TlsStream::bio_read(BIO* bio, char* data, std::size_t size, std::size_t* read) {
    auto& stream = *static_cast<TlsStream*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const std::size_t count = std::min(size, stream.arrived_bytes_ - stream.taken_bytes_);
    *read = count;
    if (count == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    std::memcpy(data, stream.arrived_.data() + stream.taken_bytes_, count);
    stream.taken_bytes_ += count;
    return 1;
}

long TlsStream::bio_control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

// ---- handshake ----

Result<TlsStream::Step> TlsStream::handshake_step() {
    for (;;) {
        int reason = SSL_ERROR_NONE;
        std::optional<Error> failure;
        {
            const std::lock_guard lock(ssl_mutex_);
            ERR_clear_error();
            const int outcome = SSL_do_handshake(ssl_.get());
            if (outcome != 1) reason = SSL_get_error(ssl_.get(), outcome);
            if (reason != SSL_ERROR_NONE && reason != SSL_ERROR_WANT_READ) {
                failure = tls_error(ssl_.get(), "TLS handshake");
            }
        }
        // Also after a failure: it left an alert that tells the peer why.
        const auto flushed = flush_some();
        if (failure) return *failure;
        if (!flushed) return flushed.error();
        if (!*flushed) return Step::wants_write;
        if (reason == SSL_ERROR_NONE) return Step::done;
        TRY(const bool more, fill());
        if (!more) return Step::wants_read;
        if (peer_closed_) {
            return Error(Errc::unavailable, "connection_lost",
                         "the peer closed the connection during the TLS handshake");
        }
    }
}

Result<> TlsStream::handshake(Deadline deadline) {
    for (;;) {
        TRY(const Step step, handshake_step());
        if (step == Step::done) return {};
        TRY_VOID(wait(step == Step::wants_read ? POLLIN : POLLOUT, deadline));
    }
}

// ---- writing ----

Result<> TlsStream::write(ByteView first, ByteView second, Deadline deadline) {
    TRY_VOID(rekey_if_due(first.size() + second.size()));
    // The first record takes the short first piece and the beginning of the second.
    if (first.size() < record_bytes_max) {
        std::array<std::uint8_t, record_bytes_max> record;
        const std::size_t rest = std::min(second.size(), record.size() - first.size());
        std::copy(first.begin(), first.end(), record.begin());
        std::copy_n(second.begin(), rest,
                    record.begin() + static_cast<std::ptrdiff_t>(first.size()));
        TRY_VOID(seal(ByteView(record.data(), first.size() + rest)));
        second = second.subspan(rest);
        first = {};
    }
    for (ByteView piece : {first, second}) {
        while (!piece.empty()) {
            const std::size_t size = std::min(piece.size(), seal_bytes_max);
            TRY_VOID(seal(piece.first(size)));
            TRY_VOID(flush(deadline));
            piece = piece.subspan(size);
        }
    }
    return flush(deadline);
}

Result<> TlsStream::seal(ByteView plain) {
    if (aborted_) return cancelled();
    if (plain.empty()) return {};
    const std::lock_guard lock(ssl_mutex_);
    ERR_clear_error();
    std::size_t written = 0;
    // The memory behind SSL takes everything, so it never asks to be called again.
    if (SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written) != 1) {
        return tls_error(ssl_.get(), "TLS write");
    }
    DROVER_ASSERT(written == plain.size());
    return {};
}

Result<> TlsStream::rekey_if_due(std::size_t bytes) {
    written_since_rekey_ += bytes;
    if (written_since_rekey_ < rekey_bytes_) return {};
    written_since_rekey_ = 0;
    const std::lock_guard lock(ssl_mutex_);
    ERR_clear_error();
    if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
        SSL_do_handshake(ssl_.get()) != 1) {
        return tls_error(ssl_.get(), "TLS key update");
    }
    return {};
}

Result<> TlsStream::flush(Deadline deadline) {
    for (;;) {
        TRY(const bool done, flush_some());
        if (done) return {};
        TRY_VOID(wait(POLLOUT, deadline));
    }
}

Result<bool> TlsStream::flush_some() {
    for (;;) {
        if (sent_bytes_ == sending_.size()) {
            sending_.clear();
            sent_bytes_ = 0;
            const std::lock_guard lock(ssl_mutex_);
            if (sealed_.empty()) return true;
            std::swap(sending_, sealed_);
        }
        const ssize_t count = ::send(fd(), sending_.data() + sent_bytes_,
                                     sending_.size() - sent_bytes_, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (aborted_) return cancelled();
        if (count >= 0) {
            sent_bytes_ += static_cast<std::size_t>(count);
        } else if (would_block(errno)) {
            return false;
        } else if (errno != EINTR) {
            return connection_lost(errno);
        }
    }
}

// ---- reading ----

Result<std::size_t> TlsStream::read_some(std::span<std::uint8_t> out, Deadline deadline) {
    DROVER_ASSERT(!out.empty());
    for (;;) {
        {
            const std::lock_guard lock(ssl_mutex_);
            ERR_clear_error();
            std::size_t filled = 0;
            std::size_t count = 0;
            int outcome = 1;
            while (filled < out.size() && outcome == 1) {
                outcome = SSL_read_ex(ssl_.get(), out.data() + filled, out.size() - filled, &count);
                if (outcome == 1) filled += count;
            }
            if (filled > 0) return filled;
            const int reason = SSL_get_error(ssl_.get(), outcome);
            if (reason == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
            if (reason != SSL_ERROR_WANT_READ) return tls_error(ssl_.get(), "TLS read");
        }
        if (peer_closed_) return std::size_t{0};
        TRY(const bool more, fill());
        if (!more) TRY_VOID(wait(POLLIN, deadline));
    }
}

Result<bool> TlsStream::fill() {
    for (;;) {
        const ssize_t count = ::recv(fd(), landing_.data(), landing_.size(), MSG_DONTWAIT);
        if (aborted_) return cancelled();
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && would_block(errno)) return false;
        if (count < 0) return connection_lost(errno);
        if (count == 0) {
            peer_closed_ = true;
            return true;
        }
        const std::lock_guard lock(ssl_mutex_);
        if (taken_bytes_ != arrived_bytes_) {
            // SSL asked for more although it had not taken everything. What arrived decides over
            // this, so it ends the connection and not the process.
            return Error(Errc::invalid, "tls_failed", "TLS did not take what had arrived");
        }
        std::swap(arrived_, landing_);
        arrived_bytes_ = static_cast<std::size_t>(count);
        taken_bytes_ = 0;
        return true;
    }
}

// ---- waiting ----

Result<> TlsStream::wait(short events, Deadline deadline) {
    for (;;) {
        if (aborted_) return cancelled();
        const std::int64_t left = deadline - deadline_in(0);
        if (left <= 0) return Error(Errc::timed_out, "link_timed_out", "the peer took too long");
        pollfd waiting{fd(), events, 0};
        const int ready =
            ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
        if (ready < 0 && errno != EINTR) return connection_lost(errno);
        if (ready > 0) return aborted_ ? Result<>(cancelled()) : Result<>();
    }
}

void TlsStream::abort() {
    aborted_ = true;
    ::shutdown(fd(), SHUT_RDWR);  // Wakes whoever polls.
}

Error TlsStream::cancelled() const {
    return Error(Errc::cancelled, "link_aborted", "the link was aborted");
}

}  // namespace drover::wire
