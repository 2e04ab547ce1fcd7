/// One TLS connection over a socket, for blocking use with deadlines by one reading and one writing
/// thread. Internal to wire/; the Link and the HTTPS client are built on it.
///
/// OpenSSL's object is not thread-safe, so a mutex guards it; it is held only while records are
/// sealed or opened in memory, never while waiting for the network:
///
///   write ─► SSL (locked) ─► sealed_ ─► send(2)            recv(2) ─► arrived_ ─► SSL (locked) ─►
///   read
#pragma once

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "wire/openssl.h"
#include "wire/tcp.h"
#include "wire/tls_context.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>

namespace drover::wire {

class TlsStream {
  public:
    enum class Role { client, server };
    enum class Step { done, wants_read, wants_write };

    /// `socket` is connected. Errors: invalid.
    static Result<std::unique_ptr<TlsStream>> make(ssl_ctx_st* context, Fd socket, Role role);

    /// As far as it goes without waiting. Errors: denied, unavailable.
    [[nodiscard]] Result<Step> handshake_step();
    /// Until done. Errors: denied, unavailable, timed_out, cancelled.
    [[nodiscard]] Result<> handshake(Deadline deadline);

    /// Writes everything; pieces go out together. Errors: unavailable, timed_out, cancelled.
    [[nodiscard]] Result<> write(ByteView first, ByteView second, Deadline deadline);
    /// At least one byte; 0 bytes when the peer has closed. After timed_out the stream is still
    /// usable. Errors: denied, unavailable, timed_out, cancelled.
    [[nodiscard]] Result<std::size_t> read_some(std::span<std::uint8_t> out, Deadline deadline);

    /// From any thread: all present and future waits end with cancelled.
    void abort();

    /// New keys after this many bytes written: AES-GCM must not seal more than 2^24.5 records with
    /// one.
    void set_rekey_bytes(std::uint64_t bytes) { rekey_bytes_ = bytes; }

    [[nodiscard]] int fd() const { return socket_.get(); }

    [[nodiscard]] ssl_st* ssl() const { return ssl_.get(); }

  private:
    TlsStream(Fd socket, SslPtr ssl)
        : socket_(std::move(socket)),
          ssl_(std::move(ssl)) {}

    static int bio_write(BIO* bio, const char* data, std::size_t size, std::size_t* written);
    static int bio_read(BIO* bio, char* data, std::size_t size, std::size_t* read);
    static long bio_control(BIO* bio, int command, long, void*);
    static const BIO_METHOD* bio_method();

    [[nodiscard]] Result<> seal(ByteView plain);
    [[nodiscard]] Result<> rekey_if_due(std::size_t bytes);
    /// Takes what SSL has sealed and sends it.
    [[nodiscard]] Result<> flush(Deadline deadline);
    /// Sends what goes without waiting; true when nothing is left.
    [[nodiscard]] Result<bool> flush_some();
    /// One recv(2) into arrived_; false when there was nothing to read yet.
    [[nodiscard]] Result<bool> fill();
    [[nodiscard]] Result<> wait(short events, Deadline deadline);
    [[nodiscard]] Error cancelled() const;

    Fd socket_;
    std::mutex ssl_mutex_;  ///< guards ssl_, sealed_ and arrived_
    SslPtr ssl_;
    Bytes sealed_;                   ///< records that SSL made, not yet taken for sending
    Bytes arrived_;                  ///< buffer with bytes from the socket
    std::size_t arrived_bytes_ = 0;  ///< how many of it are meant
    std::size_t taken_bytes_ = 0;    ///< how many of those SSL has taken

    Bytes sending_;               ///< of the writing thread
    std::size_t sent_bytes_ = 0;  ///< how many of sending_ the socket took
    Bytes landing_;               ///< of the reading thread
    std::uint64_t rekey_bytes_ = std::uint64_t{64} << 30;
    std::uint64_t written_since_rekey_ = 0;
    bool peer_closed_ = false;
    std::atomic<bool> aborted_ = false;
};

class Link;

/// A Link over a stream whose handshake is done and whose peer was checked.
[[nodiscard]] std::unique_ptr<Link> make_tls_link(std::unique_ptr<TlsStream> stream,
                                                  std::string peer, std::size_t frame_bytes_max,
                                                  std::int64_t send_timeout_ms);

}  // namespace drover::wire
