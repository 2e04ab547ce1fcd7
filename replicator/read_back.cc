#include "replicator/read_back.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/mutation.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// Longest time in which nothing at all is read while somebody waits for it.
constexpr std::int64_t stall_ms_max = 30'000;

std::string text_of(const ByteRange& range) {
    return "disk " + std::to_string(range.disk) + " bytes " + std::to_string(range.offset) + "+" +
           std::to_string(range.length);
}

/// From the first byte of a span to its last.
std::uint64_t bytes_of(const std::vector<UnreadRange>& span) {
    return span.back().offset + span.back().length - span.front().offset;
}

/// With what makes the memory of the next span page-aligned.
std::uint64_t memory_for(const std::vector<UnreadRange>& span) {
    return (bytes_of(span) + direct_alignment - 1) / direct_alignment * direct_alignment;
}

Error bad_frame(const std::string& why) {
    return Error(Errc::invalid, "bad_frame", "a bulk frame cannot be read back: " + why,
                 "nothing of it was written", "check that both agents run matching versions");
}

Error gives_up(std::uint64_t bytes) {
    return Error(Errc::io, "read_back_differs",
                 std::to_string(bytes) +
                     " bytes read back from the target's disks are not those "
                     "that were written",
                 "the source; the target is not released",
                 "look at the target's disk, its controller and its memory in the kernel log; "
                 "exchange what is broken, then retry the job");
}

}  // namespace

ReadBack::ReadBack(std::vector<BlockDevice*> disks, std::vector<std::uint64_t> sizes_bytes,
                   ReadBackMemory& memory, const ReadBackLimits& limits)
    : disks_(std::move(disks)),
      sizes_bytes_(std::move(sizes_bytes)),
      memory_(memory),
      limits_(limits) {}

ReadBack::~ReadBack() {
    DROVER_ASSERT(!thread_.joinable());
}

Result<> ReadBack::begin_write(const FrameHeader& frame) {
    const std::uint64_t end = frame.offset + frame.raw_length;
    const bool ends_well = end % block_bytes == 0 || end == sizes_bytes_.at(frame.disk);
    if (frame.offset % block_bytes != 0 || !ends_well)
        return bad_frame("it does not cover whole blocks");
    std::unique_lock lock(mutex_);
    if (queue_.open_bytes() + frame.raw_length > limits_.open_bytes_max)
        return bad_frame("too much was sent without a commit");
    if (queue_.differing_bytes() > limits_.waiting_bytes_max)
        return gives_up(queue_.differing_bytes());
    changed_.wait(lock,
                  [this] { return queue_.ready_bytes() <= limits_.waiting_bytes_max || stopped_; });
    if (queue_.differing_bytes() > 0) repaired_in_ = frame.batch;
    queue_.forget(frame.disk, frame.offset, frame.raw_length);
    publish();
    return {};
}

void ReadBack::wrote(const FrameHeader& frame, std::shared_ptr<const ExtentHashes> hashes) {
    const std::lock_guard lock(mutex_);
    queue_.add(frame, std::move(hashes));
}

void ReadBack::flushed(std::uint64_t batch) {
    const std::lock_guard lock(mutex_);
    queue_.flushed(batch);
    has_flushed_ = true;
    publish();
    if (!thread_.joinable() && queue_.ready_bytes() > 0) thread_ = Thread([this] { run(); });
    changed_.notify_all();
}

bool ReadBack::doubts(std::uint64_t batch) {
    const std::lock_guard lock(mutex_);
    return queue_.differing_bytes() > 0 || batch < repaired_in_;
}

// ---- the thread ----

void ReadBack::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return stopped_ || queue_.ready_bytes() > 0; });
        const std::vector<Span> spans = queue_.next_many();
        if (stopped_ || spans.empty()) return;
        lock.unlock();
        const std::vector<Found> found = read(spans);
        lock.lock();
        for (std::size_t i = 0; i < spans.size(); ++i) take(spans[i], found[i]);
        publish();
        changed_.notify_all();
    }
}

/// All of a span with one read, and all spans at depth; what lies between the ranges of a span is
/// not looked at.
std::vector<ReadBack::Found> ReadBack::read(const std::vector<Span>& spans) {
    std::vector<Found> found;
    for (const Span& span : spans) found.emplace_back(span.size());
    if (DROVER_MUTANT("readback_skipped")) return found;
    std::uint64_t bytes = 0;
    for (const Span& span : spans) bytes += memory_for(span);
    if (buffer_bytes_ < bytes) {
        buffer_.emplace(bytes);
        buffer_bytes_ = bytes;
    }
    std::vector<ReadPart> parts;
    auto memory = buffer_->first(bytes);
    for (const Span& span : spans) {
        parts.push_back({span.front().offset, memory.first(bytes_of(span))});
        memory = memory.subspan(memory_for(span));
    }
    const bool is_read = disks_.at(spans.front().front().disk)->read_many(parts).has_value();
    for (std::size_t s = 0; s < spans.size(); ++s) {
        for (std::size_t i = 0; i < spans[s].size(); ++i) {
            const UnreadRange& range = spans[s][i];
            const auto at = static_cast<std::size_t>(range.offset - parts[s].offset);
            found[s][i] = is_read
                              ? differing(range, ByteView(parts[s].out).subspan(at, range.length))
                              : read_alone(range);
        }
    }
    return found;
}

/// What cannot be read is not known to be right, and written again it often can.
std::vector<ByteRange> ReadBack::read_alone(const UnreadRange& range) {
    const auto bytes = buffer_->first(range.length);
    const auto is_read = disks_.at(range.disk)->read(range.offset, bytes);
    if (is_read) return differing(range, bytes);
    log::warn("replicator", "reading back failed: " + is_read.error().text());
    return {{range.disk, range.offset, range.length}};
}

/// Under the mutex.
void ReadBack::take(const Span& span, const Found& found) {
    for (std::size_t i = 0; i < span.size(); ++i) {
        if (!queue_.settle(span[i], found[i])) continue;
        read_bytes_ += span[i].length;
        for (const ByteRange& wrong : found[i]) {
            differed_bytes_ += wrong.length;
            log::error("replicator",
                       "read back other bytes than were written; the source is asked "
                       "for them again: " +
                           text_of(wrong));
        }
    }
}

// ---- what is known ----

/// Under the mutex.
ReadBackFound ReadBack::facts_now() const {
    ReadBackFound facts;
    facts.verified_batch = has_flushed_ ? queue_.settled_batch() : memory_.verified_batch.load();
    facts.unverified_bytes = queue_.ready_bytes() + queue_.differing_bytes();
    facts.read_bytes = read_bytes_;
    facts.differed_bytes = differed_bytes_;
    facts.differing = queue_.differing_ranges(mismatches_max);
    return facts;
}

/// Under the mutex.
void ReadBack::publish() {
    if (has_flushed_) memory_.verified_batch = queue_.settled_batch();
    memory_.unverified_bytes = queue_.ready_bytes() + queue_.differing_bytes();
}

ReadBackFound ReadBack::facts() {
    const std::lock_guard lock(mutex_);
    return facts_now();
}

Result<ReadBackFound> ReadBack::finish(const Between& between) {
    std::unique_lock lock(mutex_);
    while (queue_.ready_bytes() > 0) {
        const std::uint64_t before = queue_.ready_bytes();
        const bool moved = changed_.wait_for(
            lock, stall_ms_max, [&] { return stopped_ || queue_.ready_bytes() != before; });
        if (!moved || stopped_)
            return Error(Errc::timed_out, "read_back_stalled",
                         "the target's disks do not answer while " + std::to_string(before) +
                             " bytes are to be read back",
                         "everything that was acknowledged", "the source tries again by itself");
        lock.unlock();
        const Result<> alive = between();
        lock.lock();
        if (!alive) return alive.error();
    }
    return facts_now();
}

void ReadBack::end(std::int64_t ms) {
    {
        std::unique_lock lock(mutex_);
        queue_.drop_open();
        changed_.wait_for(lock, ms, [this] { return queue_.ready_bytes() == 0; });
        stopped_ = true;
        publish();
        changed_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
}

}  // namespace drover::replicator
