#include "replicator/target_lanes.h"

#include "base/assert.h"
#include "base/log.h"
#include "replicator/bulk_lanes.h"

namespace drover::replicator {
namespace {

/// A source scanning a large disk is silent for long; a dead one is replaced by its successor.
constexpr std::int64_t idle_ms_max = 3'600'000;

}  // namespace

TargetLanes::TargetLanes(unsigned count, Events events, std::int64_t gather_ms)
    : events_(std::move(events)),
      gather_ms_(gather_ms),
      lanes_(count) {
    DROVER_ASSERT(count >= 1 && count <= lanes_max);
}

TargetLanes::~TargetLanes() {
    for (const Lane& lane : lanes_) DROVER_ASSERT(!lane.thread.joinable());
}

void TargetLanes::add(const BulkHello& hello, std::unique_ptr<wire::Link> link) {
    const std::lock_guard lock(mutex_);
    const bool is_wanted = !closed_ && hello.lanes == lanes_.size() && !lanes_.at(hello.lane).link;
    if (!is_wanted) {
        log::info("replicator", "a bulk link that the session has no use for was dropped");
        link->abort();
        return;
    }
    Lane& lane = lanes_[hello.lane];
    lane.link = std::move(link);
    lane.thread = Thread([this, index = unsigned{hello.lane}] { run(index); });
    ++present_;
    changed_.notify_all();
}

void TargetLanes::abort() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    for (const Lane& lane : lanes_)
        if (lane.link) lane.link->abort();
    changed_.notify_all();
}

void TargetLanes::join() {
    // No thread starts after abort(), so this reads what will not change any more.
    for (Lane& lane : lanes_)
        if (lane.thread.joinable()) lane.thread.join();
}

// ---- a lane's thread ----

void TargetLanes::run(unsigned index) {
    if (const auto done = read(index); !done) events_.failed(done.error());
    abort();
    {
        // Closed, not only shut down: a source that sends into a full window would learn of it no
        // sooner than its own time-out.
        const std::lock_guard lock(mutex_);
        lanes_[index].link.reset();
    }
    events_.ended();
}

/// Success when the link has ended.
Result<> TargetLanes::read(unsigned index) {
    TRY_VOID(gather());
    wire::Link& link = *lanes_[index].link;
    for (;;) {
        const bool holds = events_.holds(index);
        const auto bytes = link.receive(holds ? 0 : idle_ms_max);
        if (bytes) {
            TRY_VOID(events_.take(index, *bytes));
            continue;
        }
        if (!holds || bytes.error().code() != Errc::timed_out) return {};
        TRY_VOID(events_.let_go(index));
    }
}

Result<> TargetLanes::gather() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, gather_ms_, [this] { return closed_ || present_ == lanes_.size(); });
    if (closed_ || present_ == lanes_.size()) return {};
    return Error(Errc::timed_out, "lanes_missing",
                 "only " + std::to_string(present_) + " of " + std::to_string(lanes_.size()) +
                     " bulk connections of the session arrived",
                 "everything that was acknowledged",
                 "the source tries again by itself; look for what limits connections between the "
                 "hosts, or set streams = 1");
}

}  // namespace drover::replicator
