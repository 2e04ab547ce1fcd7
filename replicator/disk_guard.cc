#include "replicator/disk_guard.h"

#include "replicator/aligned_buffer.h"
#include "replicator/block_map.h"

#include <algorithm>
#include <set>

namespace drover::replicator {
namespace {

constexpr std::uint64_t first_partition_block = (1U << 20) / block_bytes;
constexpr std::uint64_t parts = samples_max - 3;

std::uint64_t draw(const JobId& job, std::size_t disk, std::uint64_t size_bytes,
                   std::uint64_t part) {
    Bytes key;
    put_bytes(key, job.view());
    put_u32(key, static_cast<std::uint32_t>(disk));
    put_u64(key, size_bytes);
    put_u32(key, static_cast<std::uint32_t>(part));
    return get_u64(digest_of(key).view(), 0);
}

bool is_before(const BlockSample& left, const BlockSample& right) {
    return left.offset < right.offset;
}

}  // namespace

std::vector<std::uint64_t> sample_offsets(const JobId& job, std::size_t disk,
                                          std::uint64_t size_bytes) {
    // What follows the last whole block of an odd-sized image has no sample.
    const std::uint64_t blocks = size_bytes / block_bytes;
    std::set<std::uint64_t> chosen;
    if (blocks <= samples_max) {
        for (std::uint64_t block = 0; block < blocks; ++block) chosen.insert(block);
    } else {
        chosen = {0, std::min(first_partition_block, blocks - 1), blocks - 1};
        for (std::uint64_t part = 0; part < parts; ++part) {
            const std::uint64_t begin = blocks * part / parts;
            const std::uint64_t end = blocks * (part + 1) / parts;
            chosen.insert(begin + draw(job, disk, size_bytes, part) % (end - begin));
        }
    }
    std::vector<std::uint64_t> offsets;
    for (const std::uint64_t block : chosen) offsets.push_back(block * block_bytes);
    return offsets;
}

Result<Samples> take_samples(BlockDevice& device, const std::vector<std::uint64_t>& offsets) {
    const std::uint64_t size = device.facts().size_bytes;
    const AlignedBuffer buffer(block_bytes);
    const auto block = buffer.first(block_bytes);
    Samples samples;
    for (const std::uint64_t offset : offsets) {
        if (size < block_bytes || offset > size - block_bytes) continue;
        TRY_VOID(device.read(offset, block));
        samples.push_back({offset, digest_of(block)});
    }
    return samples;
}

std::vector<std::uint64_t> offsets_of(const Samples& samples) {
    std::vector<std::uint64_t> offsets;
    for (const BlockSample& sample : samples) offsets.push_back(sample.offset);
    return offsets;
}

DiskGuard::DiskGuard(const JobId& job, std::size_t disk, std::uint64_t size_bytes)
    : size_bytes_(size_bytes) {
    for (const std::uint64_t offset : sample_offsets(job, disk, size_bytes))
        places_.push_back({offset, 0, 0});
}

/// The first place whose block ends behind `offset`.
std::vector<DiskGuard::Place>::const_iterator DiskGuard::first_behind(std::uint64_t offset) const {
    return std::partition_point(places_.begin(), places_.end(), [&](const Place& place) {
        return place.offset + block_bytes <= offset;
    });
}

bool DiskGuard::covers(std::uint64_t offset, std::uint64_t length) const {
    const auto place = first_behind(offset);
    return place != places_.end() && place->offset < offset + length;
}

bool DiskGuard::touch(std::uint64_t offset, std::uint64_t length, std::uint64_t batch,
                      Samples& samples) {
    bool any = false;
    const auto skipped = static_cast<std::size_t>(first_behind(offset) - places_.cbegin());
    for (std::size_t i = skipped; i < places_.size(); ++i) {
        Place& place = places_[i];
        if (place.offset >= offset + length) break;
        const auto sample = std::lower_bound(samples.begin(), samples.end(),
                                             BlockSample{place.offset, {}}, is_before);
        if (sample != samples.end() && sample->offset == place.offset) {
            samples.erase(sample);
            const bool is_hot = batch < place.due_batch + rest_batches_max;
            place.rest_batches =
                is_hot ? std::clamp<std::uint64_t>(2 * place.rest_batches, 1, rest_batches_max) : 0;
            any = true;
        }
        place.due_batch = batch + place.rest_batches;
    }
    return any;
}

std::vector<std::uint64_t> DiskGuard::due(std::uint64_t batch, std::uint64_t mirrored_upto,
                                          const Samples& samples) const {
    std::vector<std::uint64_t> offsets;
    for (const Place& place : places_) {
        if (place.offset + block_bytes > mirrored_upto) break;
        const bool has_sample = std::binary_search(samples.begin(), samples.end(),
                                                   BlockSample{place.offset, {}}, is_before);
        if (!has_sample && place.due_batch <= batch) offsets.push_back(place.offset);
    }
    return offsets;
}

void DiskGuard::add(const Samples& fresh, std::uint64_t batch, Samples& samples) const {
    for (const BlockSample& sample : fresh) {
        // A frame that came since is of a later batch.
        if (first_behind(sample.offset)->due_batch > batch) continue;
        samples.insert(std::lower_bound(samples.begin(), samples.end(), sample, is_before), sample);
    }
}

}  // namespace drover::replicator
