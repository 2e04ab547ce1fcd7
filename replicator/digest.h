/// XXH3-128: finds candidates and transport errors between trusted ends. Not a proof of equality:
/// that is SHA-256 (merkle.h). Stored in XXH3's canonical (big-endian) form.
#pragma once

#include "base/bytes.h"

#include <memory>

namespace drover::replicator {

using Digest = FixedBytes<16, struct DigestTag>;

[[nodiscard]] Digest digest_of(ByteView data);

/// Digest of a sequence of pieces.
class DigestStream {
  public:
    DigestStream();
    ~DigestStream();
    DigestStream(DigestStream&&) noexcept;
    DigestStream& operator=(DigestStream&&) noexcept;

    void update(ByteView data);
    [[nodiscard]] Digest digest() const;
    void reset();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace drover::replicator
