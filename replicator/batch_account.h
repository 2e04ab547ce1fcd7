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

    /// Before anything is done with a frame. Errors: invalid, if its batch is neither of the two,
    /// lower than its predecessor's, or closed.
    [[nodiscard]] Result<> admit(const FrameHeader& header);
    /// Counts a frame that was admitted, and whose content was checked and written.
    void add(const FrameHeader& header);

    [[nodiscard]] std::uint64_t frames(std::uint64_t batch) const;
    /// Also those that are not written yet.
    [[nodiscard]] std::uint64_t admitted(std::uint64_t batch) const;
    /// Over the encoded headers of the batch, in order of arrival.
    [[nodiscard]] Digest digest(std::uint64_t batch) const;

    [[nodiscard]] std::uint64_t committed() const { return committed_; }

    /// The COMMIT was compared with what arrived: from here on the batch is what was flushed, and a
    /// frame more, such as one that came twice, is refused.
    void close(std::uint64_t batch);
    void commit();

  private:
    struct Open {
        std::uint64_t admitted = 0;
        std::uint64_t frames = 0;
        DigestStream digest;
    };

    std::uint64_t committed_;
    bool is_closed_ = false;    ///< batch committed_ + 1
    std::array<Open, 2> open_;  ///< of batches committed_ + 1 and committed_ + 2
};

}  // namespace drover::replicator
