/// Which blocks of a disk its mounted filesystems hold free: a first mirror need not read or send
/// them. Asks the live filesystems (ioctl), never the disk's own bitmaps: what lies on the disk of
/// a mounted filesystem is stale.
///
///   attach the tracker ─► read_free_space ─► mirror everything but the free ranges
///                          │ per filesystem: syncfs ─► ask ─► syncfs
///                          └ not understood, not mounted, not sure: used
///
/// The rule that makes a range safe to leave out (ADR 0016). The tracker is attached before this is
/// called. Each block was free at one moment t between the two syncs:
///   - written later than the attachment, whether before or after t: the tracker has marked it;
///   - never written since the attachment: whatever it holds was of no use at t, and nothing can
///     come to need it without writing it first;
///   - freed shortly before t: the second sync made that durable, so no crash brings its user back.
///
/// ext4 and xfs: FS_IOC_GETFSMAP. btrfs: device space that belongs to no chunk. Everything else
/// (LVM, LUKS, md, swap, gaps between partitions, filesystems that are not mounted, mounted
/// read-only or mounted in another mount namespace only) is used.
#pragma once

#include "replicator/device.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace drover::replicator {

/// Bytes. `end` is the first one after it.
struct ByteSpan {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;

    [[nodiscard]] std::uint64_t length() const { return end - begin; }

    bool operator==(const ByteSpan&) const = default;
};

/// What became of one filesystem that lies on the disk.
struct FilesystemAnswer {
    std::string mount_point;
    std::string type;              ///< as mountinfo names it: "ext4"
    ByteSpan place;                ///< of its device on the disk
    std::uint64_t free_bytes = 0;  ///< in whole blocks of the disk
    std::string why_used;          ///< not empty: all of it counts as used, for this reason
};

struct FreeSpace {
    /// Relative to the disk, ascending, apart from each other; begin and end are multiples of
    /// block_bytes: a block that is only partly free is used.
    std::vector<ByteSpan> ranges;
    std::vector<FilesystemAnswer> filesystems;  ///< in order of mounting

    [[nodiscard]] std::uint64_t bytes() const;
};

/// One entry of `ranges` has 16 bytes. A filesystem in more pieces keeps its largest ones.
constexpr std::size_t free_ranges_max = 4U << 20;

/// `disk` must be a whole disk. Writes nothing to it but makes its filesystems write back what they
/// hold (syncfs): blocks for as long as that takes. Needs root. A filesystem that cannot be asked
/// is no error: it counts as used, and its answer says why. Errors: unsupported (an image file);
/// those of reading `mountinfo`.
[[nodiscard]] Result<FreeSpace> read_free_space(
    BlockDevice& disk, const std::filesystem::path& mountinfo = "/proc/self/mountinfo");

/// Pure: sorted, merged, cut to whole blocks inside `place`. `free` and the result are relative to
/// the disk.
[[nodiscard]] std::vector<ByteSpan> whole_blocks(std::vector<ByteSpan> free, ByteSpan place);

}  // namespace drover::replicator
