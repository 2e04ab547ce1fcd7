/// Reads one region of a source disk at depth while the one before it is sent. What is read was
/// taken before: its dirty bits are in the pending map of the open batch.
///
///   begin(region 0) ─► wait ─► begin(region 1) ─► send region 0 ─► wait ─► …
///
/// Its thread starts with the second region: most passes have none.
#pragma once

#include "base/threads.h"
#include "replicator/aligned_buffer.h"
#include "replicator/device.h"
#include "replicator/pass_plan.h"

#include <array>
#include <optional>

namespace drover::replicator {

class RegionReader {
  public:
    explicit RegionReader(BlockDevice& disk)
        : disk_(disk) {}

    ~RegionReader();  ///< waits for what is being read
    RegionReader(const RegionReader&) = delete;
    RegionReader& operator=(const RegionReader&) = delete;

    /// One region at a time. `extents` are those of a Region.
    void begin(std::vector<Extent> extents);

    struct Piece {
        std::uint64_t offset = 0;
        ByteView data;
    };

    /// What begin() asked for, until the begin() after the next. Errors: io.
    [[nodiscard]] Result<std::vector<Piece>> wait();

  private:
    /// The memory of one region, as large as the largest so far.
    struct Buffer {
        std::optional<AlignedBuffer> memory;
        std::uint64_t bytes = 0;
    };

    void run();

    BlockDevice& disk_;
    std::array<Buffer, 2> buffers_;
    std::size_t turn_ = 0;         ///< the buffer of the region that is being read
    std::vector<ReadPart> parts_;  ///< of that region
    bool has_begun_ = false;       ///< a region before

    Mutex mutex_;
    Condition changed_;
    bool is_wanted_ = false;  ///< to the thread: read parts_
    bool is_over_ = false;
    std::optional<Result<>> outcome_;
    Thread thread_;
};

}  // namespace drover::replicator
