/// The target's count of what arrived of the open batches, so that a COMMIT can be compared with
/// it. At most two batches are known: the next one to commit and the one after it. Pure.
#pragma once

#include "base/result.h"
#include "replicator/digest.h"
#include "replicator/frame.h"

#include <array>
#include <cstdint>

namespace drover::replicator {

class BatchAccount {
  public:
    /// `committed`: the last durable batch.
    explicit BatchAccount(std::uint64_t committed)
        : committed_(committed) {}

    /// Errors: invalid, if the frame's batch is neither of the two or lower than its predecessor's.
    [[nodiscard]] Result<> check(const FrameHeader& header) const;
    /// Counts a frame whose content was checked and written.
    void add(const FrameHeader& header);

    [[nodiscard]] std::uint64_t frames(std::uint64_t batch) const;
    /// Over the encoded headers of the batch, in order of arrival.
    [[nodiscard]] Digest digest(std::uint64_t batch) const;

    [[nodiscard]] std::uint64_t committed() const { return committed_; }

    void commit();

  private:
    struct Open {
        std::uint64_t frames = 0;
        DigestStream digest;
    };

    std::uint64_t committed_;
    std::array<Open, 2> open_;  ///< of batches committed_ + 1 and committed_ + 2
};

}  // namespace drover::replicator
