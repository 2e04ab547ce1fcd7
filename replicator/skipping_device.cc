#include "replicator/skipping_device.h"

#include "base/assert.h"

#include <algorithm>
#include <atomic>

namespace drover::replicator {
namespace {

// Payload of the map, in words.
constexpr std::size_t begun_at = 0;
constexpr std::size_t blocks_at = 8;

}  // namespace

SkippingDevice::SkippingDevice(std::unique_ptr<BlockDevice> disk, SharedMap map,
                               std::filesystem::path path)
    : disk_(std::move(disk)),
      map_(std::move(map)),
      path_(std::move(path)) {
    DROVER_ASSERT(map_.words().size() == map_words(facts().size_bytes));
}

std::uint64_t SkippingDevice::map_words(std::uint64_t size_bytes) {
    return blocks_at + words_of(blocks_of(size_bytes));
}

bool SkippingDevice::is_begun() const {
    return std::atomic_ref(map_.words()[begun_at]).load() != 0;
}

void SkippingDevice::set_begun(bool begun) {
    std::atomic_ref(map_.words()[begun_at]).store(begun ? 1 : 0);
}

BlockMap SkippingDevice::skipped() const {
    return {map_.words().data() + blocks_at, blocks_of(facts().size_bytes)};
}

void SkippingDevice::begin(const std::vector<ByteSpan>& ranges) {
    set_begun(false);
    BlockMap map = skipped();
    map.clear_all();
    for (const ByteSpan& span : ranges) {
        DROVER_ASSERT(span.begin % block_bytes == 0 && span.end % block_bytes == 0);
        map.set(span.begin / block_bytes, span.length() / block_bytes);
    }
    // Last: killed before it, there is no map.
    set_begun(true);
}

void SkippingDevice::revoke() {
    set_begun(false);
    skipped().clear_all();
}

void SkippingDevice::keep(std::uint64_t first_block, std::uint64_t count) {
    skipped().clear(first_block, count);
}

void SkippingDevice::forget() {
    SharedMap::remove(path_);
}

void SkippingDevice::add_kept(const ReadPart& part, std::vector<ReadPart>& kept) const {
    const BlockMap map = skipped();
    const std::uint64_t end = part.offset + part.out.size();
    std::uint64_t at = part.offset;
    while (at < end) {
        // A run of blocks of one kind.
        std::uint64_t block = at / block_bytes;
        const bool skips = map.test(block);
        while (++block * block_bytes < end && map.test(block) == skips) continue;
        const std::uint64_t upto = std::min(end, block * block_bytes);
        const auto piece = part.out.subspan(static_cast<std::size_t>(at - part.offset),
                                            static_cast<std::size_t>(upto - at));
        if (skips) {
            std::ranges::fill(piece, std::uint8_t{0});
        } else {
            kept.push_back({at, piece});
        }
        at = upto;
    }
}

Result<> SkippingDevice::read(std::uint64_t offset, std::span<std::uint8_t> out) {
    if (!is_begun()) return disk_->read(offset, out);
    const ReadPart part{offset, out};
    return read_many(std::span(&part, 1));
}

Result<> SkippingDevice::read_many(std::span<const ReadPart> parts) {
    if (!is_begun()) return disk_->read_many(parts);
    std::vector<ReadPart> kept;
    for (const ReadPart& part : parts) add_kept(part, kept);
    return disk_->read_many(kept);
}

Result<> SkippingDevice::write(std::uint64_t offset, ByteView data) {
    return disk_->write(offset, data);
}

Result<> SkippingDevice::write_many(std::span<const WritePart> parts) {
    return disk_->write_many(parts);
}

Result<> SkippingDevice::write_zeroes(std::uint64_t offset, std::uint64_t length) {
    return disk_->write_zeroes(offset, length);
}

Result<> SkippingDevice::flush() {
    return disk_->flush();
}

Result<std::uint64_t> SkippingDevice::present_size_bytes() {
    return disk_->present_size_bytes();
}

}  // namespace drover::replicator
