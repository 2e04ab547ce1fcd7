/// SHA-256 (FIPS 180-4) by OpenSSL. Used for the audit chain and for proof of equal content.
#pragma once

#include <memory>

#include "base/bytes.h"

namespace drover {

class Sha256 {
  public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    Sha256& update(ByteView bytes);
    /// The digest of everything since construction; the object starts anew.
    [[nodiscard]] Hash finish();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

[[nodiscard]] Hash sha256(ByteView bytes);

}  // namespace drover
