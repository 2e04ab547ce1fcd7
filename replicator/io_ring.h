/// Reads and writes at depth through io_uring: one thread keeps many of them under way, with about
/// one system call for each few.
#pragma once

#include "replicator/transfers.h"

#include <memory>

struct io_uring;

namespace drover::replicator {

/// One user at a time, from any thread.
class IoRing {
  public:
    enum class Way { read, write };

    /// Null where the kernel does not give one: it is forbidden here, or too old.
    [[nodiscard]] static std::unique_ptr<IoRing> make();
    ~IoRing();
    IoRing(const IoRing&) = delete;
    IoRing& operator=(const IoRing&) = delete;

    /// Keeps up to `depth` under way, 1 to depth_max. Returns when nothing is under way any more:
    /// everything was moved, or there is a failure().
    void run(int fd, Way way, Transfers& transfers, unsigned depth);

    static constexpr unsigned depth_max = 64;

  private:
    explicit IoRing(std::unique_ptr<io_uring> ring);

    void begin(int fd, Way way, const Transfer& transfer, std::size_t part);
    void wait(unsigned at_least);
    void reap(Transfers& transfers);

    std::unique_ptr<io_uring> ring_;
};

}  // namespace drover::replicator
