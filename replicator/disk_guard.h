/// Recognises a target disk by what lies on it: digests of up to 64 of its blocks, stored in the
/// checkpoint and compared whenever the disks are opened. It finds a disk that was exchanged
/// or overwritten behind our back. A few blocks changed in between, or an older state of this disk
/// with equal samples, are left to the comparison of both disks before the release.
///
///   frame over a sampled block ─► its sample leaves the checkpoint, durably ─► the frame is
///   written COMMIT ─► flush ─► blocks at rest are read back ─► checkpoint with their digests
///
/// So whatever moment a crash chooses, every sample in the file is of a block to which nothing was
/// written since a flush: only somebody else can have changed it. The price is one checkpoint more
/// when a sampled block is overwritten. Where that happens again soon, the sample stays away for
/// twice as many batches, so that in the long run a block costs at most one in rest_batches_max.
#pragma once

#include "replicator/device.h"
#include "replicator/digest.h"
#include "schemas/model.h"

#include <vector>

namespace drover::replicator {

constexpr std::size_t samples_max = 64;
/// Longest time without a sample after the last write to a block; a sample that lived so long was
/// not of a hot one.
constexpr std::uint64_t rest_batches_max = 256;

struct BlockSample {
    std::uint64_t offset = 0;  ///< bytes; of a whole block
    Digest digest;

    bool operator==(const BlockSample&) const = default;
};

/// Of one disk, offsets ascending.
using Samples = std::vector<BlockSample>;

/// Where the samples of a disk lie, ascending: all blocks of a tiny disk; else the first block, the
/// one at 1 MiB (where partition tables and file systems begin), the last whole one, and one in
/// each of 61 equal parts, chosen by XXH3-128 of (job 16, disk u32, size u64, part u32; its first
/// eight bytes as a little-endian number, modulo the blocks of the part). Part of the checkpoint's
/// format. Pure.
[[nodiscard]] std::vector<std::uint64_t> sample_offsets(const JobId& job, std::size_t disk,
                                                        std::uint64_t size_bytes);

/// What lies there now. Places beyond the end of the device are left out. Errors: io.
[[nodiscard]] Result<Samples> take_samples(BlockDevice& device,
                                           const std::vector<std::uint64_t>& offsets);

[[nodiscard]] std::vector<std::uint64_t> offsets_of(const Samples& samples);

/// When each place of a disk may have a sample. Works on numbers alone; `samples` are those of the
/// checkpoint. The caller serialises everything but covers().
class DiskGuard {
  public:
    DiskGuard(const JobId& job, std::size_t disk, std::uint64_t size_bytes);

    [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

    /// Whether a sampled place lies in the range. From any thread.
    [[nodiscard]] bool covers(std::uint64_t offset, std::uint64_t length) const;

    /// Before a frame of `batch` is written there: takes the samples of its blocks out. True if
    /// there were any.
    [[nodiscard]] bool touch(std::uint64_t offset, std::uint64_t length, std::uint64_t batch,
                             Samples& samples);

    /// Places below `mirrored_upto` that lack a sample and had rest enough when all frames of
    /// `batch` were flushed.
    [[nodiscard]] std::vector<std::uint64_t> due(std::uint64_t batch, std::uint64_t mirrored_upto,
                                                 const Samples& samples) const;

    /// Adds what was read at places that were due, unless they were touched meanwhile.
    void add(const Samples& fresh, std::uint64_t batch, Samples& samples) const;

  private:
    struct Place {
        std::uint64_t offset = 0;
        std::uint64_t due_batch = 0;  ///< the first whose COMMIT may sample it
        std::uint64_t rest_batches = 0;
    };

    [[nodiscard]] std::vector<Place>::const_iterator first_behind(std::uint64_t offset) const;

    std::uint64_t size_bytes_;
    std::vector<Place> places_;  ///< ascending; offsets never change
};

}  // namespace drover::replicator
