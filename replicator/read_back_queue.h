/// What a target has written and not yet read again: ranges with the hashes that they must have.
/// Every written byte is in at most one entry, the one of the last write, so that nothing is ever
/// compared with a hash that a later write has replaced.
///
///   add ─► open ── flushed(batch) ─► ready ── next, settle ─┬─► equal: gone
///            └─ drop_open                                   └─► differing, until written again
///   forget: cuts the range out of all three
///
/// Pure; the lock is its user's.
#pragma once

#include "replicator/block_map.h"
#include "replicator/frame.h"
#include "schemas/model.h"

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace drover::replicator {

/// What an extent must read as. The hash of the whole is the source's, the others are taken here
/// before the whole was found good: they tell where it differs, and serve what is left of it when a
/// part was written again.
struct ExtentHashes {
    bool is_zero = false;
    std::uint64_t length = 0;
    Digest whole;
    std::vector<Digest> blocks;  ///< of block_bytes each, the last may be shorter; empty for zeroes
};

/// `frame`: as it arrived. Call before check_content(), which then covers the blocks' hashes too.
[[nodiscard]] std::shared_ptr<const ExtentHashes> hashes_of(const Frame& frame);

struct UnreadRange {
    std::uint32_t disk = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::uint64_t batch = 0;
    std::uint64_t skipped = 0;  ///< bytes of the extent before `offset`
    /// Shared by what is left of one extent.
    std::shared_ptr<const ExtentHashes> hashes;

    bool operator==(const UnreadRange&) const = default;
};

/// Where `bytes`, read at the range, are not what was sent. Empty: nowhere.
[[nodiscard]] std::vector<ByteRange> differing(const UnreadRange& range, ByteView bytes);

class ReadBackQueue {
  public:
    /// The range is about to be written: what was known of it is void.
    void forget(std::uint32_t disk, std::uint64_t offset, std::uint64_t length);
    /// The frame was written, over a range that was forgotten before. On whole blocks.
    void add(const FrameHeader& frame, std::shared_ptr<const ExtentHashes> hashes);
    /// Everything of batches up to `batch` is on the disks and may be read.
    void flushed(std::uint64_t batch);
    /// What was not flushed will be sent again.
    void drop_open();

    /// The next ranges to read at once: of one disk, ascending, close together, at most
    /// span_bytes_max from the first byte to the last. Goes round the disks, so that what is
    /// written again all the time keeps nothing else waiting. Empty: nothing is ready.
    [[nodiscard]] std::vector<UnreadRange> next();
    /// As next(), again and again while the spans are of one disk and ascend, until they have
    /// many_bytes_max: to be read at depth.
    [[nodiscard]] std::vector<std::vector<UnreadRange>> next_many();
    /// `range`, as next() gave it, was read. Nothing if it was written meanwhile. True: that was
    /// still so, and `wrong`, if not empty, stays as differing.
    bool settle(const UnreadRange& range, std::span<const ByteRange> wrong);

    [[nodiscard]] std::uint64_t open_bytes() const { return open_bytes_; }

    [[nodiscard]] std::uint64_t ready_bytes() const { return ready_bytes_; }

    [[nodiscard]] std::uint64_t differing_bytes() const { return differing_bytes_; }

    /// At most `count` ranges.
    [[nodiscard]] std::vector<ByteRange> differing_ranges(std::size_t count) const;
    /// No batch up to this one has a range that is ready or differs.
    [[nodiscard]] std::uint64_t settled_batch() const;

    static constexpr std::uint64_t span_bytes_max = 4U << 20;
    /// Reading so much in between costs less than another read.
    static constexpr std::uint64_t gap_bytes_max = 64U << 10;
    static constexpr std::uint64_t many_bytes_max = 1U << 20;

  private:
    using Key = std::pair<std::uint32_t, std::uint64_t>;  ///< disk, offset
    using Ranges = std::map<Key, UnreadRange>;

    void cut(Ranges& ranges, std::uint64_t& bytes, std::uint32_t disk, std::uint64_t offset,
             std::uint64_t length);
    void put(Ranges& ranges, std::uint64_t& bytes, UnreadRange range);
    void take(Ranges& ranges, std::uint64_t& bytes, Ranges::iterator at);

    Ranges open_;
    Ranges ready_;
    Ranges differing_;
    std::uint64_t open_bytes_ = 0;
    std::uint64_t ready_bytes_ = 0;
    std::uint64_t differing_bytes_ = 0;
    std::map<std::uint64_t, std::uint64_t> unsettled_;  ///< ranges by batch, ready or differing
    std::uint64_t flushed_ = 0;
    Key cursor_{0, 0};
};

}  // namespace drover::replicator
