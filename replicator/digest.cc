#include "replicator/digest.h"

#include "base/assert.h"

#include <xxhash.h>

namespace drover::replicator {
namespace {

Digest canonical(XXH128_hash_t hash) {
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, hash);
    Digest out;
    static_assert(sizeof(bytes.digest) == out.data.size());
    for (std::size_t i = 0; i < out.data.size(); ++i) out.data[i] = bytes.digest[i];
    return out;
}

}  // namespace

Digest digest_of(ByteView data) {
    return canonical(XXH3_128bits(data.data(), data.size()));
}

struct DigestStream::State {
    XXH3_state_t* xxh = XXH3_createState();

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    ~State() { XXH3_freeState(xxh); }
};

DigestStream::DigestStream()
    : state_(std::make_unique<State>()) {
    DROVER_ASSERT(state_->xxh != nullptr);
    reset();
}

DigestStream::~DigestStream() = default;
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;

void DigestStream::reset() {
    XXH3_128bits_reset(state_->xxh);
}

void DigestStream::update(ByteView data) {
    XXH3_128bits_update(state_->xxh, data.data(), data.size());
}

Digest DigestStream::digest() const {
    return canonical(XXH3_128bits_digest(state_->xxh));
}

}  // namespace drover::replicator
