// The simulator's operator new: a fifth of a wave's time went into malloc, whose thread cache holds
// seven blocks of a size. Blocks of up to 32 KiB come from slabs of one size each and go back to a
// list of that size; nothing of it is ever given back. Not in builds with a sanitizer, which brings
// its own.
#include "base/assert.h"

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include <sys/mman.h>

namespace {

constexpr std::size_t granule = 16;
constexpr std::size_t fine_bytes_max = 1024;  ///< multiples of a granule; powers of two beyond
constexpr std::size_t bytes_max = 32U << 10;
constexpr std::size_t fine_classes = fine_bytes_max / granule;
constexpr std::size_t classes = fine_classes + 5;
constexpr std::size_t slab_bytes = 64U << 10;
constexpr std::size_t region_bytes = 16ULL << 30;  ///< of addresses, not of memory

struct Block {
    Block* next;
};

static_assert(bytes_max == fine_bytes_max << (classes - fine_classes));

constexpr std::size_t class_of(std::size_t bytes) {
    if (bytes <= fine_bytes_max) return bytes == 0 ? 0 : (bytes - 1) / granule;
    return fine_classes + static_cast<std::size_t>(std::bit_width((bytes - 1) / fine_bytes_max)) -
           1;
}

constexpr std::size_t bytes_of(std::size_t size_class) {
    if (size_class < fine_classes) return (size_class + 1) * granule;
    return fine_bytes_max << (size_class - fine_classes + 1);
}

static_assert(bytes_of(class_of(1)) == granule && bytes_of(class_of(1024)) == 1024);
static_assert(bytes_of(class_of(1025)) == 2048 && bytes_of(class_of(bytes_max)) == bytes_max);

/// Where slabs are taken from, by all threads; what a slab is cut into stands beside it.
struct Region {
    std::uintptr_t begin = 0;
    std::size_t bytes = 0;
    std::atomic<std::size_t> used = 0;
    std::array<std::uint8_t, region_bytes / slab_bytes> class_of_slab = {};

    Region() {
        void* const mapped = ::mmap(nullptr, region_bytes, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        // Without it everything comes from malloc.
        if (mapped == MAP_FAILED) return;
        begin = reinterpret_cast<std::uintptr_t>(mapped);
        bytes = region_bytes;
    }

    /// 0 when there is none left.
    std::uintptr_t take_slab(std::size_t size_class) {
        if (used.load() >= bytes) return 0;
        const std::size_t at = used.fetch_add(slab_bytes);
        if (at >= bytes) return 0;
        class_of_slab.at(at / slab_bytes) = static_cast<std::uint8_t>(size_class);
        return begin + at;
    }
};

/// Made at the first allocation, which comes before any other initialisation, and never destroyed.
Region& region() {
    alignas(Region) static std::array<std::byte, sizeof(Region)> place;
    static Region* const made = new (place.data()) Region();
    return *made;
}

/// A thread may free what another allocated: it keeps the block.
thread_local std::array<Block*, classes> free_blocks = {};

Block* cut_slab(std::size_t size_class) {
    const std::uintptr_t slab = region().take_slab(size_class);
    if (slab == 0) return nullptr;
    const std::size_t bytes = bytes_of(size_class);
    Block* first = nullptr;
    for (std::size_t at = slab_bytes / bytes * bytes; at != 0; at -= bytes)
        first = new (reinterpret_cast<void*>(slab + at - bytes)) Block{first};
    return first;
}

void* allocate(std::size_t bytes) {
    if (bytes <= bytes_max) {
        Block*& first = free_blocks[class_of(bytes)];
        if (first == nullptr) first = cut_slab(class_of(bytes));
        if (first != nullptr) return std::exchange(first, first->next);
    }
    void* const allocated = std::malloc(bytes);
    DROVER_ASSERT(allocated != nullptr || bytes == 0);
    return allocated;
}

void release(void* block) {
    const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(block) - region().begin;
    if (block == nullptr || at >= region().bytes) return std::free(block);
    Block*& first = free_blocks[region().class_of_slab[at / slab_bytes]];
    first = new (block) Block{first};
}

}  // namespace

void* operator new(std::size_t bytes) {
    return allocate(bytes);
}

void operator delete(void* block) noexcept {
    release(block);
}

void operator delete(void* block, std::size_t) noexcept {
    release(block);
}
