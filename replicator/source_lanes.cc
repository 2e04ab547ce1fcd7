#include "replicator/source_lanes.h"

#include "base/assert.h"
#include "replicator/bulk_lanes.h"

#include <algorithm>

namespace drover::replicator {

SourceLanes::SourceLanes(std::vector<BulkLane> lanes) {
    DROVER_ASSERT(!lanes.empty() && lanes.size() <= lanes_max);
    const bool is_ordered = lanes.size() == 1;
    for (BulkLane& lane : lanes)
        lanes_.push_back(
            std::make_unique<Lane>(FrameSender(lane.link, std::move(lane.packer), is_ordered)));
    if (is_ordered) return;
    for (const auto& lane : lanes_) lane->thread = Thread([this, own = lane.get()] { run(*own); });
}

SourceLanes::~SourceLanes() {
    if (lanes_.size() == 1) return;
    {
        const std::lock_guard lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
    }
    for (const auto& lane : lanes_) lane->sender.link().abort();
    for (const auto& lane : lanes_)
        if (lane->thread.joinable()) lane->thread.join();
}

void SourceLanes::note_read(std::int64_t ms, std::uint64_t limit_bytes_per_s) {
    if (lanes_.size() == 1) return lanes_.front()->sender.note_read(ms, limit_bytes_per_s);
    // While a lane waits for one piece, the reader reads those of the others too; and each lane has
    // its part of the limit.
    read_ms_ += ms * static_cast<std::int64_t>(lanes_.size());
    limit_bytes_per_s_ = limit_bytes_per_s / lanes_.size();
}

Result<> SourceLanes::send(FrameHeader header, ByteView content) {
    if (lanes_.size() == 1) return lanes_.front()->sender.send(header, content);
    while (!content.empty()) {
        const ByteView piece =
            content.first(std::min<std::uint64_t>(content.size(), stripe_left(header.offset)));
        const auto count = static_cast<unsigned>(lanes_.size());
        TRY_VOID(put(*lanes_[lane_of(header.disk, header.offset, count)], header, piece));
        header.offset += piece.size();
        content = content.subspan(piece.size());
    }
    return {};
}

Result<> SourceLanes::put(Lane& lane, const FrameHeader& header, ByteView piece) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
        return error_ || lane.filling.content.size() + piece.size() <= load_bytes_max;
    });
    if (error_) return *error_;
    Load& load = lane.filling;
    const bool was_empty = load.parts.empty();
    load.parts.push_back({header, piece.size()});
    put_bytes(load.content, piece);
    load.read_ms += std::exchange(read_ms_, 0);
    load.limit_bytes_per_s = limit_bytes_per_s_;
    // A busy thread looks when it is done.
    if (was_empty && !lane.is_busy) changed_.notify_all();
    return {};
}

// ---- a lane's thread ----

void SourceLanes::run(Lane& lane) {
    Load sending;
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [&] { return stopped_ || error_ || !lane.filling.parts.empty(); });
        if (stopped_ || error_ || lane.filling.parts.empty()) return;
        std::swap(sending, lane.filling);
        lane.is_busy = true;
        changed_.notify_all();
        lock.unlock();
        const Result<> sent = send_load(lane.sender, sending);
        sending.parts.clear();
        sending.content.clear();
        sending.read_ms = 0;
        lock.lock();
        lane.is_busy = false;
        lane.wire_bytes += lane.sender.take_wire_bytes();
        if (!sent && !error_) error_ = sent.error();
        changed_.notify_all();
    }
}

Result<> SourceLanes::send_load(FrameSender& sender, const Load& load) {
    sender.note_read(load.read_ms, load.limit_bytes_per_s);
    ByteView rest = load.content;
    for (const Load::Part& part : load.parts) {
        TRY_VOID(sender.send(part.header, rest.first(part.length)));
        rest = rest.subspan(part.length);
    }
    return sender.flush();
}

// ---- what was sent ----

/// The threads of several flush by themselves, whenever they have nothing more to send.
Result<> SourceLanes::flush() {
    return lanes_.size() == 1 ? lanes_.front()->sender.flush() : Result<>();
}

Result<> SourceLanes::settle() {
    if (lanes_.size() == 1) return flush();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] {
        return error_ || std::ranges::all_of(lanes_, [](const auto& lane) {
                   return !lane->is_busy && lane->filling.parts.empty();
               });
    });
    return error_ ? Result<>(*error_) : Result<>();
}

SentFrames SourceLanes::take_frames() {
    const bool is_ordered = lanes_.size() == 1;
    if (is_ordered) return std::exchange(lanes_.front()->sender.frames(), SentFrames(true));
    const std::lock_guard lock(mutex_);
    SentFrames all(is_ordered);
    for (const auto& lane : lanes_) {
        DROVER_ASSERT(!lane->is_busy && lane->filling.parts.empty());
        const SentFrames taken = std::exchange(lane->sender.frames(), SentFrames(is_ordered));
        all.count += taken.count;
        all.digest.add(taken.digest);
    }
    return all;
}

std::uint64_t SourceLanes::take_wire_bytes() {
    if (lanes_.size() == 1) return lanes_.front()->sender.take_wire_bytes();
    const std::lock_guard lock(mutex_);
    std::uint64_t bytes = 0;
    for (const auto& lane : lanes_) bytes += std::exchange(lane->wire_bytes, 0);
    return bytes;
}

}  // namespace drover::replicator
