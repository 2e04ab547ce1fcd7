/// Links as the replication benchmarks need them: over plain TCP, to compare with peers that run
/// without TLS (drover itself never does), and with a count of what goes through.
#pragma once

#include "base/fd.h"
#include "wire/link.h"

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

namespace drover::bench {

[[nodiscard]] std::unique_ptr<wire::Link> dial_plain(std::uint16_t port, const std::string& peer);

/// Accepts on 127.0.0.1 until it is destroyed.
class PlainListener {
  public:
    using Accept = std::function<void(std::unique_ptr<wire::Link>)>;
    PlainListener(std::string peer, Accept accept);
    ~PlainListener();
    PlainListener(const PlainListener&) = delete;
    PlainListener& operator=(const PlainListener&) = delete;

    [[nodiscard]] std::uint16_t port() const { return port_; }

  private:
    void run();

    std::string peer_;
    Accept accept_;
    Fd socket_;
    std::uint16_t port_ = 0;
    std::thread thread_;
};

/// Adds the bytes of both directions, with the length of each frame and without those of TLS and
/// TCP, to `bytes`, which outlives it.
[[nodiscard]] std::unique_ptr<wire::Link> counted(std::unique_ptr<wire::Link> link,
                                                  std::atomic<std::uint64_t>& bytes);

}  // namespace drover::bench
