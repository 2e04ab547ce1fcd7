/// The target's count of what arrived of the open batches, so that a COMMIT can be compared with
/// it. At most two batches are known: the next one to commit and the one after it. Pure.
///
/// On several lanes a frame of the second batch may arrive before the last of the first. It waits:
///
///   frames of k ─► COMMIT k: all of them are there ─► close(k) ─► frames of k + 1 are admitted
#pragma once

#include "base/result.h"
#include "replicator/batch_digest.h"
#include "replicator/frame.h"

#include <array>
#include <cstdint>

namespace drover::replicator {

class BatchAccount {
  public:
    /// `committed`: the last durable batch. `lanes`: that carry the frames.
    explicit BatchAccount(std::uint64_t committed, unsigned lanes = 1)
        : committed_(committed),
          is_ordered_(lanes == 1),
          open_{Open(is_ordered_), Open(is_ordered_)} {}

    /// The barrier: the frame is of the batch after one that is not closed yet, of which frames may
    /// still be on their way in other lanes. Never on one lane.
    [[nodiscard]] bool must_wait(const FrameHeader& header) const;
    /// Before anything is done with a frame that need not wait. Errors: invalid, if its batch is
    /// neither of the two, lower than its predecessor's, or closed.
    [[nodiscard]] Result<> admit(const FrameHeader& header);
    /// Counts a frame that was admitted, and whose content was checked and written.
    void add(const FrameHeader& header);

    [[nodiscard]] std::uint64_t frames(std::uint64_t batch) const;
    /// Also those that are not written yet.
    [[nodiscard]] std::uint64_t admitted(std::uint64_t batch) const;
    /// Over the encoded headers of the batch, on one lane in order of arrival.
    [[nodiscard]] Digest digest(std::uint64_t batch) const;

    [[nodiscard]] std::uint64_t committed() const { return committed_; }

    /// The COMMIT was compared with what arrived: from here on the batch is what was flushed, and a
    /// frame more, such as one that came twice, is refused.
    void close(std::uint64_t batch);
    void commit();

  private:
    struct Open {
        explicit Open(bool is_ordered)
            : digest(is_ordered) {}

        std::uint64_t admitted = 0;
        std::uint64_t frames = 0;
        BatchDigest digest;
    };

    std::uint64_t committed_;
    const bool is_ordered_;
    bool is_closed_ = false;    ///< batch committed_ + 1
    std::array<Open, 2> open_;  ///< of batches committed_ + 1 and committed_ + 2
};

}  // namespace drover::replicator
