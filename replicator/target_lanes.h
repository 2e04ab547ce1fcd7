/// The bulk connections of one session at the target. They arrive in any order; each is read by a
/// thread of its own, one frame at a time, and none before all are there. When one of them ends, so
/// do the others: the session is begun anew.
#pragma once

#include "base/threads.h"
#include "replicator/peer_message.h"
#include "wire/link.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace drover::replicator {

class TargetLanes {
  public:
    /// Called on the lanes' threads, those of different lanes side by side.
    struct Events {
        std::function<Result<>(unsigned lane, ByteView frame)> take;
        /// Of frames that were taken, some wait for others.
        std::function<bool(unsigned lane)> holds;
        /// Nothing more has arrived for them to wait for.
        std::function<Result<>(unsigned lane)> let_go;
        /// A frame was refused, or not all lanes came. Followed by ended().
        std::function<void(const Error& error)> failed;
        /// Nothing more arrives. Once for each lane that came.
        std::function<void()> ended;
    };

    TargetLanes(unsigned count, Events events, std::int64_t gather_ms = gather_ms_max);
    ~TargetLanes();  ///< after join()
    TargetLanes(const TargetLanes&) = delete;
    TargetLanes& operator=(const TargetLanes&) = delete;

    /// A link that says to be what there is already, or one of another number, is dropped.
    void add(const BulkHello& hello, std::unique_ptr<wire::Link> link);
    /// Ends every lane; those that come later are dropped. From any thread.
    void abort();
    /// After abort(): until no thread runs any more.
    void join();

    /// From the first lane to the last, and so the longest time in which nothing is read.
    static constexpr std::int64_t gather_ms_max = 30'000;

  private:
    struct Lane {
        std::unique_ptr<wire::Link> link;
        Thread thread;
    };

    void run(unsigned index);
    [[nodiscard]] Result<> read(unsigned index);
    [[nodiscard]] Result<> gather();

    const Events events_;
    const std::int64_t gather_ms_;
    Mutex mutex_;
    Condition changed_;
    std::vector<Lane> lanes_;
    std::size_t present_ = 0;
    bool closed_ = false;
};

}  // namespace drover::replicator
