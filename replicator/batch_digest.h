/// What a COMMIT says of the headers of its batch, as both ends count it. On one bulk connection an
/// XXH3-128 over the headers in order; on several there is no order, so the sum of the headers'
/// XXH3-128, as big-endian numbers modulo 2^128. (Not their XOR, in which a frame that came twice
/// would vanish.)
#pragma once

#include "replicator/digest.h"

#include <cstdint>

namespace drover::replicator {

class BatchDigest {
  public:
    explicit BatchDigest(bool is_ordered)
        : is_ordered_(is_ordered) {}

    void add(ByteView header);
    /// What another lane counted. Neither is ordered.
    void add(const BatchDigest& other);
    [[nodiscard]] Digest digest() const;
    void reset();

  private:
    void add(std::uint64_t high, std::uint64_t low);

    bool is_ordered_;
    DigestStream stream_;     ///< if it is
    std::uint64_t high_ = 0;  ///< of the sum
    std::uint64_t low_ = 0;
};

}  // namespace drover::replicator
