#include "replicator/source_skip.h"

#include "base/file.h"
#include "base/log.h"
#include "replicator/skipping_device.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr std::uint64_t region_blocks = region_bytes_max / block_bytes;

SkippingDevice* skips_of(const SourceJob& job, std::size_t disk) {
    return job.config.disks[disk].skips;
}

/// In pieces of extent_bytes_max.
void append(std::vector<Extent>& extents, std::uint64_t begin, std::uint64_t end) {
    while (begin < end) {
        const std::uint64_t length = std::min(extent_bytes_max, end - begin);
        extents.push_back({begin, length});
        begin += length;
    }
}

/// What is left out between two blocks becomes part of the region.
void add_skipped(BlockMap skipped, BlockMap pending, std::uint64_t from, std::uint64_t upto,
                 std::uint64_t size_bytes, Region& region) {
    for (std::uint64_t block = from; block < upto;) {
        const std::uint64_t first = block;
        while (block < upto && skipped.test(block)) ++block;
        if (block == first) {
            ++block;
            continue;
        }
        pending.set(first, block - first);
        const std::uint64_t end = std::min(block * block_bytes, size_bytes);
        region.bytes += end - first * block_bytes;
        append(region.extents, first * block_bytes, end);
    }
    std::ranges::sort(region.extents, {}, &Extent::offset);
}

/// What to leave out; nothing if it cannot be known.
std::vector<ByteSpan> ask(SourceJob& job, std::size_t disk) {
    SourceDisk& about = job.config.disks[disk];
    const std::string which =
        "job=" + uuid_text(job.config.ticket.job) + " disk=" + std::to_string(disk);
    // A scan compares content, which is not what the mirror is to hold.
    if (!about.free_space || about.tracker->kind() == "scan") {
        log::info("replicator", "free space is not left out: changes are not tracked by the kernel",
                  which);
        return {};
    }
    auto space = about.free_space(about.skips->whole());
    if (!space) {
        log::warn("replicator", "free space is not left out: " + space.error().text(), which);
        return {};
    }
    for (const FilesystemAnswer& answer : space->filesystems) {
        if (!answer.why_used.empty())
            log::info("replicator",
                      "all of " + answer.mount_point + " is copied: " + answer.why_used, which);
    }
    log::info("replicator",
              "left out as free: " + std::to_string(space->bytes()) +
                  " bytes; the target holds "
                  "zeroes there",
              which);
    return std::move(space->ranges);
}

}  // namespace

Result<> open_skips(SourceConfig& config, SourceStateKey& key, Random& random) {
    for (std::size_t i = 0; i < config.disks.size(); ++i) {
        SourceDisk& disk = config.disks[i];
        const auto path = config.state_directory / ("free-" + std::to_string(i) + ".map");
        // The choice may have changed since, what was left out has not.
        if (!disk.free_space && !SharedMap::exists(path)) continue;
        TRY_VOID(make_directory_durably(config.state_directory));
        const std::uint64_t size = disk.device->facts().size_bytes;
        const MapKey map_key{"free-1",
                             config.ticket.job,
                             static_cast<std::uint32_t>(i),
                             size,
                             uuid_text(disk.tracker->generation()),
                             config.boot_id};
        const std::uint64_t words = SkippingDevice::map_words(size);
        TRY(auto map, SharedMap::adopt(path, map_key, words));
        if (!map) {
            key.trackers_resumed = false;
            TRY(map, SharedMap::create(path, map_key, random.uuid(), words));
        }
        auto device =
            std::make_unique<SkippingDevice>(std::move(disk.device), std::move(*map), path);
        disk.skips = device.get();
        disk.device = std::move(device);
    }
    return {};
}

void begin_sweep(SourceJob& job, std::size_t disk) {
    BlockMap dirty = job.tracker(disk).dirty();
    SkippingDevice* const skips = skips_of(job, disk);
    if (skips == nullptr) {
        dirty.set_all();
        return;
    }
    // Once known it only shrinks: what was written since is not in it.
    if (!skips->is_begun()) skips->begin(ask(job, disk));
    // Only what is used. Were a bit set for what is left out, a write there could not be told from
    // it.
    const BlockMap skipped = skips->skipped();
    for (std::size_t word = 0; word < words_of(dirty.blocks()); ++word)
        dirty.or_word(word, ~skipped.word(word));
}

Region take_to_send(SourceJob& job, std::size_t disk, BlockMap pending, std::uint64_t first_block) {
    const BlockMap dirty = job.tracker(disk).dirty();
    const std::uint64_t size = job.size(disk);
    const std::uint64_t granule = job.tracker(disk).observe_bytes();
    SkippingDevice* const skips = skips_of(job, disk);
    if (skips == nullptr || !skips->is_begun())
        return take_region(dirty, pending, first_block, size, granule);
    const bool sweeps = job.state.phase(disk) == CopyPhase::mirroring;
    // A sweep looks at a window: beyond it there may be terabytes that are left out.
    const std::uint64_t upto =
        sweeps ? std::min(dirty.blocks(), first_block / 64 * 64 + region_blocks) : dirty.blocks();
    const std::uint64_t bytes = std::min(size, upto * block_bytes);
    Region region =
        take_region(dirty.first(upto), pending.first(upto), first_block, bytes, granule);
    for (const Extent& extent : region.extents)
        skips->keep(extent.offset / block_bytes, blocks_of(extent.length));
    if (sweeps)
        add_skipped(skips->skipped(), pending, first_block, region.next_block, size, region);
    return region;
}

void revoke_skips(SourceJob& job, std::size_t disk) {
    SkippingDevice* const skips = skips_of(job, disk);
    if (skips == nullptr || !skips->is_begun()) return;
    // First dirty: killed in between, it is sent.
    job.tracker(disk).dirty().merge(skips->skipped());
    skips->revoke();
}

void forget_skips(SourceJob& job, std::size_t disk) {
    if (SkippingDevice* const skips = skips_of(job, disk)) skips->forget();
}

std::uint64_t skipped_bytes(const SourceJob& job, std::size_t disk) {
    const SkippingDevice* const skips = skips_of(job, disk);
    return skips != nullptr && skips->is_begun() ? skips->skipped().count() * block_bytes : 0;
}

}  // namespace drover::replicator
