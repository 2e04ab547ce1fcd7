#include "replicator/read_back_queue.h"

#include "base/assert.h"
#include "replicator/zero_runs.h"

#include <algorithm>

namespace drover::replicator {
namespace {

std::uint64_t end_of(const UnreadRange& range) {
    return range.offset + range.length;
}

/// A part of a range, with what its extent must read as.
UnreadRange part_of(const UnreadRange& range, std::uint64_t offset, std::uint64_t length) {
    UnreadRange part = range;
    part.skipped += offset - range.offset;
    part.offset = offset;
    part.length = length;
    return part;
}

bool block_is_right(const UnreadRange& range, std::uint64_t at, ByteView block) {
    const ExtentHashes& hashes = *range.hashes;
    if (hashes.is_zero) return is_zero(block);
    return digest_of(block) == hashes.blocks.at((range.skipped + at) / block_bytes);
}

}  // namespace

std::shared_ptr<const ExtentHashes> hashes_of(const Frame& frame) {
    auto hashes = std::make_shared<ExtentHashes>();
    hashes->is_zero = frame.header.kind != FrameKind::data;
    hashes->length = frame.header.raw_length;
    hashes->whole = frame.header.digest;
    if (frame.payload.size() <= block_bytes && !hashes->is_zero) {
        hashes->blocks.push_back(hashes->whole);
        return hashes;
    }
    hashes->blocks.reserve(frame.payload.size() / block_bytes + 1);
    for (std::size_t at = 0; at < frame.payload.size(); at += block_bytes)
        hashes->blocks.push_back(digest_of(frame.payload.subspan(
            at, std::min<std::size_t>(block_bytes, frame.payload.size() - at))));
    return hashes;
}

std::vector<ByteRange> differing(const UnreadRange& range, ByteView bytes) {
    DROVER_ASSERT(bytes.size() == range.length);
    const bool is_whole = range.length == range.hashes->length;
    if (range.hashes->is_zero ? is_zero(bytes)
                              : is_whole && digest_of(bytes) == range.hashes->whole)
        return {};
    std::vector<ByteRange> wrong;
    for (std::size_t at = 0; at < bytes.size(); at += block_bytes) {
        const std::size_t length = std::min<std::size_t>(block_bytes, bytes.size() - at);
        if (block_is_right(range, at, bytes.subspan(at, length))) continue;
        const std::uint64_t offset = range.offset + at;
        if (!wrong.empty() && wrong.back().offset + wrong.back().length == offset) {
            wrong.back().length += length;
        } else {
            wrong.push_back({range.disk, offset, length});
        }
    }
    // Then a hash itself was damaged in memory: which one, nobody knows.
    if (wrong.empty() && is_whole) wrong.push_back({range.disk, range.offset, range.length});
    return wrong;
}

void ReadBackQueue::put(Ranges& ranges, std::uint64_t& bytes, UnreadRange range) {
    bytes += range.length;
    if (&ranges != &open_) ++unsettled_[range.batch];
    const Key key{range.disk, range.offset};
    const bool is_new = ranges.emplace(key, std::move(range)).second;
    DROVER_ASSERT(is_new);
}

void ReadBackQueue::take(Ranges& ranges, std::uint64_t& bytes, Ranges::iterator at) {
    bytes -= at->second.length;
    if (&ranges != &open_) {
        const auto count = unsettled_.find(at->second.batch);
        if (--count->second == 0) unsettled_.erase(count);
    }
    ranges.erase(at);
}

void ReadBackQueue::cut(Ranges& ranges, std::uint64_t& bytes, std::uint32_t disk,
                        std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = offset + length;
    auto at = ranges.lower_bound({disk, offset});
    if (at != ranges.begin()) {
        const auto before = std::prev(at);
        if (before->second.disk == disk && end_of(before->second) > offset) at = before;
    }
    while (at != ranges.end() && at->second.disk == disk && at->second.offset < end) {
        const UnreadRange old = at->second;
        const auto next = std::next(at);
        take(ranges, bytes, at);
        if (old.offset < offset) put(ranges, bytes, part_of(old, old.offset, offset - old.offset));
        if (end_of(old) > end) put(ranges, bytes, part_of(old, end, end_of(old) - end));
        at = next;
    }
}

void ReadBackQueue::forget(std::uint32_t disk, std::uint64_t offset, std::uint64_t length) {
    cut(open_, open_bytes_, disk, offset, length);
    cut(ready_, ready_bytes_, disk, offset, length);
    cut(differing_, differing_bytes_, disk, offset, length);
}

void ReadBackQueue::add(const FrameHeader& frame, std::shared_ptr<const ExtentHashes> hashes) {
    DROVER_ASSERT(frame.offset % block_bytes == 0);
    put(open_, open_bytes_,
        {frame.disk, frame.offset, frame.raw_length, frame.batch, 0, std::move(hashes)});
}

void ReadBackQueue::flushed(std::uint64_t batch) {
    flushed_ = std::max(flushed_, batch);
    for (auto at = open_.begin(); at != open_.end();) {
        const auto next = std::next(at);
        if (at->second.batch <= batch) {
            UnreadRange range = at->second;
            take(open_, open_bytes_, at);
            put(ready_, ready_bytes_, std::move(range));
        }
        at = next;
    }
}

void ReadBackQueue::drop_open() {
    open_.clear();
    open_bytes_ = 0;
}

std::vector<UnreadRange> ReadBackQueue::next() {
    std::vector<UnreadRange> span;
    if (ready_.empty()) return span;
    auto at = ready_.lower_bound(cursor_);
    if (at == ready_.end()) at = ready_.begin();
    const std::uint64_t first = at->second.offset;
    for (; at != ready_.end(); ++at) {
        const UnreadRange& range = at->second;
        const bool joins = span.empty() || (range.disk == span.back().disk &&
                                            range.offset - end_of(span.back()) <= gap_bytes_max &&
                                            end_of(range) - first <= span_bytes_max);
        if (!joins) break;
        span.push_back(range);
    }
    cursor_ = {span.back().disk, end_of(span.back())};
    return span;
}

std::vector<std::vector<UnreadRange>> ReadBackQueue::next_many() {
    std::vector<std::vector<UnreadRange>> spans;
    for (std::uint64_t bytes = 0; bytes < many_bytes_max;) {
        const Key before = cursor_;
        std::vector<UnreadRange> span = next();
        const bool follows =
            !span.empty() && (spans.empty() || (span.front().disk == spans.back().back().disk &&
                                                span.front().offset > spans.back().back().offset));
        if (!follows) {
            cursor_ = before;
            break;
        }
        bytes += end_of(span.back()) - span.front().offset;
        spans.push_back(std::move(span));
    }
    return spans;
}

bool ReadBackQueue::settle(const UnreadRange& range, std::span<const ByteRange> wrong) {
    const auto at = ready_.find({range.disk, range.offset});
    if (at == ready_.end() || !(at->second == range)) return false;
    take(ready_, ready_bytes_, at);
    for (const ByteRange& part : wrong)
        put(differing_, differing_bytes_, part_of(range, part.offset, part.length));
    return true;
}

std::vector<ByteRange> ReadBackQueue::differing_ranges(std::size_t count) const {
    std::vector<ByteRange> ranges;
    for (const auto& [key, range] : differing_) {
        if (ranges.size() == count) break;
        ranges.push_back({range.disk, range.offset, range.length});
    }
    return ranges;
}

std::uint64_t ReadBackQueue::settled_batch() const {
    return unsettled_.empty() ? flushed_ : unsettled_.begin()->first - 1;
}

}  // namespace drover::replicator
