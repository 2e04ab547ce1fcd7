/// One bit per block of a disk, in words that may be shared with the kernel (a BPF array) or with a
/// file that outlives the process. All operations are atomic per word; callable from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

namespace drover::replicator {

/// Bytes per bit. A multiple of every sector size.
constexpr std::uint64_t block_bytes = 4096;

[[nodiscard]] constexpr std::uint64_t blocks_of(std::uint64_t size_bytes) {
    return (size_bytes + block_bytes - 1) / block_bytes;
}

[[nodiscard]] constexpr std::size_t words_of(std::uint64_t blocks) {
    return static_cast<std::size_t>((blocks + 63) / 64);
}

/// A view; the words must outlive it. Bits beyond `blocks` are never set by it.
class BlockMap {
  public:
    BlockMap() = default;

    BlockMap(std::uint64_t* words, std::uint64_t blocks)
        : words_(words),
          blocks_(blocks) {}

    [[nodiscard]] std::uint64_t blocks() const { return blocks_; }

    /// The view's beginning; at most all of it.
    [[nodiscard]] BlockMap first(std::uint64_t blocks) const {
        return {words_, blocks < blocks_ ? blocks : blocks_};
    }

    void set(std::uint64_t first_block, std::uint64_t count);
    void clear(std::uint64_t first_block, std::uint64_t count);
    [[nodiscard]] bool test(std::uint64_t block) const;

    void set_all() { set(0, blocks_); }

    void clear_all() { clear(0, blocks_); }

    /// Takes one word: exchanges it with zero, sequentially consistent. Word i holds blocks
    /// 64i..64i+63.
    [[nodiscard]] std::uint64_t take_word(std::size_t word);
    /// Takes only the bits of `bits`: whoever marked exactly those as pending before loses none to
    /// a crash in between. Returns those that were set. Sequentially consistent.
    [[nodiscard]] std::uint64_t take_bits(std::size_t word, std::uint64_t bits);
    [[nodiscard]] std::uint64_t word(std::size_t word) const;
    /// Bits beyond `blocks` are dropped.
    void or_word(std::size_t word, std::uint64_t bits);
    /// The bits of word `word` that stand for blocks of the disk.
    [[nodiscard]] std::uint64_t valid_bits(std::size_t word) const;

    /// this |= other; both of the same size.
    void merge(const BlockMap& other);
    /// other |= this, then this = 0, word by word.
    void move_to(BlockMap other);
    [[nodiscard]] bool any(std::uint64_t first_block, std::uint64_t count) const;
    [[nodiscard]] std::uint64_t count() const;

  private:
    std::uint64_t* words_ = nullptr;
    std::uint64_t blocks_ = 0;
};

}  // namespace drover::replicator
