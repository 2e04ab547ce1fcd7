#include "replicator/scan_tracker.h"

#include "base/assert.h"
#include "base/file.h"
#include "base/random.h"
#include "replicator/aligned_buffer.h"
#include "replicator/digest.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr std::size_t read_bytes = 1U << 20;
constexpr std::size_t hash_words = 2;

std::uint64_t chunks_of(std::uint64_t size_bytes) {
    return (size_bytes + scan_chunk_bytes - 1) / scan_chunk_bytes;
}

std::size_t dirty_words(std::uint64_t size_bytes) {
    return words_of(blocks_of(size_bytes));
}

struct Entry {
    std::uint64_t low = 0;
    std::uint64_t high = 0;

    bool operator==(const Entry&) const = default;
};

/// All-zero means "unknown"; no content has that hash in practice, and if one had, it would only be
/// sent once more.
Entry entry_of(ByteView chunk) {
    const Digest digest = digest_of(chunk);
    return {get_u64(digest.view(), 0), get_u64(digest.view(), 8)};
}

}  // namespace

Result<std::unique_ptr<ChangeTracker>> ScanTracker::open(BlockDevice& device,
                                                         const TrackerOptions& options) {
    const DeviceFacts& facts = device.facts();
    const auto path = options.state_directory / ("scan-" + std::to_string(options.disk) + ".map");
    const MapKey key{"scan-1",         options.job,    options.disk,
                     facts.size_bytes, facts.identity, options.boot_id};
    const std::uint64_t words =
        1 + dirty_words(facts.size_bytes) + chunks_of(facts.size_bytes) * hash_words;
    TRY_VOID(make_directory_durably(options.state_directory));
    // Without a stable identity another disk of the same size could pass for this one.
    if (!facts.identity.empty()) {
        TRY(auto found, SharedMap::adopt(path, key, words));
        if (found)
            return std::unique_ptr<ChangeTracker>(
                new ScanTracker(device, std::move(*found), path, true));
    }
    SystemRandom random;
    TRY(SharedMap created, SharedMap::create(path, key, random.uuid(), words));
    return std::unique_ptr<ChangeTracker>(new ScanTracker(device, std::move(created), path, false));
}

BlockMap ScanTracker::dirty() {
    return {map_.words().data() + 1, blocks_of(device_.facts().size_bytes)};
}

Result<> ScanTracker::refresh() {
    const std::uint64_t size = device_.facts().size_bytes;
    const AlignedBuffer buffer(read_bytes);
    for (std::uint64_t offset = 0; offset < size; offset += read_bytes) {
        const auto data = buffer.first(std::min<std::uint64_t>(read_bytes, size - offset));
        TRY_VOID(device_.read(offset, data));
        compare(offset, data);
    }
    return {};
}

void ScanTracker::compare(std::uint64_t offset, ByteView data) {
    const std::lock_guard lock(mutex_);
    std::uint64_t* table = map_.words().data() + 1 + dirty_words(device_.facts().size_bytes);
    BlockMap changed = dirty();
    for (std::size_t at = 0; at < data.size(); at += scan_chunk_bytes) {
        const ByteView chunk =
            data.subspan(at, std::min<std::size_t>(scan_chunk_bytes, data.size() - at));
        const std::uint64_t* entry = table + (offset + at) / scan_chunk_bytes * hash_words;
        if (entry_of(chunk) == Entry{entry[0], entry[1]}) continue;
        const std::uint64_t first = (offset + at) / block_bytes;
        const std::uint64_t count = blocks_of(chunk.size());
        bool news = false;
        for (std::uint64_t i = 0; i < count; ++i) news = news || !changed.test(first + i);
        changed.set(first, count);
        if (news) std::atomic_ref(map_.words()[0]).fetch_add(1);
    }
}

void ScanTracker::observe(std::uint64_t offset, ByteView data) {
    DROVER_ASSERT(offset % scan_chunk_bytes == 0);
    const std::lock_guard lock(mutex_);
    std::uint64_t* table = map_.words().data() + 1 + dirty_words(device_.facts().size_bytes);
    for (std::size_t at = 0; at < data.size(); at += scan_chunk_bytes) {
        const Entry sent =
            entry_of(data.subspan(at, std::min<std::size_t>(scan_chunk_bytes, data.size() - at)));
        std::uint64_t* entry = table + (offset + at) / scan_chunk_bytes * hash_words;
        entry[0] = sent.low;
        entry[1] = sent.high;
    }
}

std::uint64_t ScanTracker::seq() {
    return std::atomic_ref(map_.words()[0]).load();
}

Result<Audit> ScanTracker::audit() {
    return Audit{Audit::Verdict::exact, 0, "content comparison"};
}

void ScanTracker::forget() {
    // The file is only a shortcut: one that cannot be removed is void after the next reboot anyway.
    SharedMap::remove(path_);
}

}  // namespace drover::replicator
