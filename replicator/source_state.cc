#include "replicator/source_state.h"

#include "base/assert.h"
#include "base/file.h"
#include "base/sha256.h"
#include "replicator/pass_plan.h"

#include <atomic>
#include <numeric>

namespace drover::replicator {
namespace {

// Payload of the map, in words.
constexpr std::size_t generation_at = 0;  // two words
constexpr std::size_t acked_at = 2;
constexpr std::size_t known_at = 3;
constexpr std::size_t counters_at = 4;
constexpr std::size_t unread_upto_at = 28;  // of each half; 0: it is empty
constexpr std::size_t unread_now_at = 30;   // the half that takes what is acknowledged
constexpr std::size_t disks_at = 32;        // phase and cursor of each disk
constexpr std::size_t maps_at = disks_at + 2 * disks_max;

std::string fingerprint(const SourceStateKey& key) {
    Bytes text;
    for (const std::uint64_t size : key.sizes_bytes) put_u64(text, size);
    for (const Generation& generation : key.tracker_generations) put_bytes(text, generation.view());
    return sha256(text).hex();
}

std::uint64_t words_needed(const std::vector<std::uint64_t>& sizes_bytes) {
    std::uint64_t words = maps_at;
    for (const std::uint64_t size : sizes_bytes) words += 4 * words_of(blocks_of(size));
    return words;
}

}  // namespace

Error changes_unknown(const std::string& why) {
    return Error(Errc::conflict, "changes_unknown",
                 "what was written on the target since its activation is not known exactly: " + why,
                 "all data on the target, which is down; the source as it was fenced",
                 "abandon the way back with the acknowledgement that those writes are lost; copies "
                 "of them can be made from the target's disks before that");
}

SourceState::SourceState(SharedMap map, std::filesystem::path path,
                         const std::vector<std::uint64_t>& sizes_bytes)
    : map_(std::move(map)),
      path_(std::move(path)) {
    std::size_t at = maps_at;
    for (const std::uint64_t size : sizes_bytes) {
        maps_.push_back({at, blocks_of(size)});
        at += 4 * words_of(blocks_of(size));
    }
}

Result<SourceState> SourceState::open(const std::filesystem::path& directory,
                                      const SourceStateKey& key, const Uuid& fresh) {
    DROVER_ASSERT(key.sizes_bytes.size() <= disks_max);
    TRY_VOID(make_directory_durably(directory));
    const auto path = directory / "source.map";
    const std::uint64_t total =
        std::accumulate(key.sizes_bytes.begin(), key.sizes_bytes.end(), std::uint64_t{0});
    const MapKey map_key{"source-2", key.job, 0, total, fingerprint(key), key.boot_id};
    const std::uint64_t words = words_needed(key.sizes_bytes);
    if (key.trackers_resumed) {
        TRY(auto found, SharedMap::adopt(path, map_key, words));
        if (found) {
            SourceState state(std::move(*found), path, key.sizes_bytes);
            // Without a generation its maker was killed before it had said anything in it.
            const bool is_begun = !state.generation().is_zero();
            if (is_begun && key.fence_point && state.generation() != *key.fence_point)
                return changes_unknown("an earlier look at them was in doubt");
            if (is_begun && (state.is_known_to_target() || !key.fence_point)) return state;
            if (key.fence_point) return begin(std::move(state), key, fresh);
        }
    }
    const bool existed = SharedMap::exists(path);
    if (key.fence_point && (existed || !key.trackers_resumed))
        return changes_unknown("they were not tracked without a gap");
    TRY(SharedMap created, SharedMap::create(path, map_key, fresh, words));
    SourceState state(std::move(created), path, key.sizes_bytes);
    state.lost_earlier_ = existed;
    return begin(std::move(state), key, fresh);
}

/// Of a new map. Killed on the way to a fence point, all of it is done again: nothing was taken
/// from the trackers yet.
Result<SourceState> SourceState::begin(SourceState state, const SourceStateKey& key,
                                       const Uuid& fresh) {
    state.renew_generation(key.fence_point ? *key.fence_point : fresh);
    if (!key.fence_point) return state;
    for (std::size_t i = 0; i < state.disks(); ++i) state.set_phase(i, CopyPhase::tracked);
    state.set_acked_batch(0, true);
    return state;
}

std::uint64_t SourceState::load(std::size_t word) const {
    return std::atomic_ref(map_.words()[word]).load();
}

void SourceState::store(std::size_t word, std::uint64_t value) {
    std::atomic_ref(map_.words()[word]).store(value);
}

Generation SourceState::generation() const {
    Bytes bytes;
    put_u64(bytes, load(generation_at));
    put_u64(bytes, load(generation_at + 1));
    return *Generation::from(bytes);
}

void SourceState::renew_generation(const Generation& fresh) {
    // Killed between the two stores, the mixture matches no target either: compared as a whole.
    store(known_at, 0);
    store(generation_at, get_u64(fresh.view(), 0));
    store(generation_at + 1, get_u64(fresh.view(), 8));
}

bool SourceState::is_known_to_target() const {
    return load(known_at) != 0;
}

std::uint64_t SourceState::acked_batch() const {
    return load(acked_at);
}

void SourceState::set_acked_batch(std::uint64_t batch, bool by_target) {
    store(acked_at, batch);
    if (by_target) store(known_at, 1);
}

CopyPhase SourceState::phase(std::size_t disk) const {
    const std::uint64_t value = load(disks_at + 2 * disk);
    DROVER_ASSERT(value <= static_cast<std::uint64_t>(CopyPhase::tracked));
    return static_cast<CopyPhase>(value);
}

void SourceState::set_phase(std::size_t disk, CopyPhase phase) {
    store(disks_at + 2 * disk, static_cast<std::uint64_t>(phase));
}

std::uint64_t SourceState::cursor(std::size_t disk) const {
    return load(disks_at + 2 * disk + 1);
}

void SourceState::set_cursor(std::size_t disk, std::uint64_t bytes) {
    store(disks_at + 2 * disk + 1, bytes);
}

BlockMap SourceState::pending(std::size_t disk, std::uint64_t batch) const {
    const Maps& maps = maps_[disk];
    const std::size_t skip = batch % 2 == 0 ? 0 : words_of(maps.blocks);
    return {map_.words().data() + maps.first_word + skip, maps.blocks};
}

BlockMap SourceState::unread(std::size_t disk, std::size_t half) const {
    const Maps& maps = maps_[disk];
    return {map_.words().data() + maps.first_word + (2 + half) * words_of(maps.blocks),
            maps.blocks};
}

void SourceState::end_batch(std::uint64_t batch) {
    const std::size_t half = load(unread_now_at) % 2;
    // Killed on the way, a block is pending or unread: it is sent again either way.
    store(unread_upto_at + half, batch);
    for (std::size_t i = 0; i < disks(); ++i) pending(i, batch).move_to(unread(i, half));
}

void SourceState::note_read_back(std::uint64_t batch) {
    for (const std::size_t half : {0U, 1U}) {
        if (load(unread_upto_at + half) == 0 || load(unread_upto_at + half) > batch) continue;
        for (std::size_t i = 0; i < disks(); ++i) unread(i, half).clear_all();
        store(unread_upto_at + half, 0);
    }
    // What is acknowledged from now on must not keep the other half from becoming empty.
    const std::size_t other = (load(unread_now_at) + 1) % 2;
    if (load(unread_upto_at + other) == 0) store(unread_now_at, other);
}

void SourceState::forget_unread() {
    for (const std::size_t half : {0U, 1U}) {
        for (std::size_t i = 0; i < disks(); ++i) unread(i, half).clear_all();
        store(unread_upto_at + half, 0);
    }
}

bool SourceState::has_unread() const {
    return load(unread_upto_at) != 0 || load(unread_upto_at + 1) != 0;
}

std::uint64_t SourceState::unread_bytes() const {
    if (!has_unread()) return 0;
    std::uint64_t blocks = 0;
    for (std::size_t i = 0; i < disks(); ++i)
        blocks += count_union(unread(i, 0), unread(i, 1), unread(i, 1));
    return blocks * block_bytes;
}

std::uint64_t SourceState::counter(Counter counter) const {
    return load(counters_at + static_cast<std::size_t>(counter));
}

void SourceState::add(Counter counter, std::uint64_t by) {
    std::atomic_ref(map_.words()[counters_at + static_cast<std::size_t>(counter)]).fetch_add(by);
}

void SourceState::set(Counter counter, std::uint64_t value) {
    store(counters_at + static_cast<std::size_t>(counter), value);
}

void SourceState::forget() {
    // Only a shortcut is lost if it stays: it is void without its trackers.
    SharedMap::remove(path_);
}

}  // namespace drover::replicator
