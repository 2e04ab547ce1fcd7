#include "replicator/region_reader.h"

#include "base/assert.h"

namespace drover::replicator {
namespace {

/// Where the next piece of memory may begin, for direct I/O.
std::uint64_t aligned(std::uint64_t bytes) {
    return (bytes + direct_alignment - 1) / direct_alignment * direct_alignment;
}

}  // namespace

RegionReader::~RegionReader() {
    {
        const std::lock_guard lock(mutex_);
        is_over_ = true;
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

void RegionReader::begin(std::vector<Extent> extents) {
    DROVER_ASSERT(!outcome_ && parts_.empty());
    std::uint64_t bytes = 0;
    for (const Extent& extent : extents) bytes += aligned(extent.length);
    turn_ = 1 - turn_;
    Buffer& buffer = buffers_[turn_];
    if (buffer.bytes < bytes) {
        buffer.memory.emplace(bytes);
        buffer.bytes = bytes;
    }
    std::uint64_t at = 0;
    for (const Extent& extent : extents) {
        parts_.push_back(
            {extent.offset, buffer.memory->first(at + extent.length).subspan(at, extent.length)});
        at += aligned(extent.length);
    }
    if (!std::exchange(has_begun_, true)) {
        outcome_ = disk_.read_many(parts_);
        return;
    }
    const std::lock_guard lock(mutex_);
    is_wanted_ = true;
    if (!thread_.joinable()) thread_ = Thread([this] { run(); });
    changed_.notify_all();
}

Result<std::vector<RegionReader::Piece>> RegionReader::wait() {
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return outcome_.has_value(); });
        // A simulated process that was killed is not waited for.
        if (!outcome_) return Error(Errc::cancelled, "replica_stopped", "reading was given up");
    }
    const Result<> outcome = *std::exchange(outcome_, std::nullopt);
    const std::vector<ReadPart> parts = std::exchange(parts_, {});
    if (!outcome) return outcome.error();
    std::vector<Piece> pieces;
    pieces.reserve(parts.size());
    for (const ReadPart& part : parts) pieces.push_back({part.offset, part.out});
    return pieces;
}

void RegionReader::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return is_wanted_ || is_over_; });
        if (!is_wanted_) return;
        is_wanted_ = false;
        lock.unlock();
        Result<> outcome = disk_.read_many(parts_);
        lock.lock();
        outcome_ = std::move(outcome);
        changed_.notify_all();
    }
}

}  // namespace drover::replicator
