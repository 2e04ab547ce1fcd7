#include "replicator/batch_digest.h"

#include "base/assert.h"

namespace drover::replicator {
namespace {

std::uint64_t read_big_endian(const std::uint8_t* bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
    return value;
}

void write_big_endian(std::uint64_t value, std::uint8_t* out) {
    for (int i = 7; i >= 0; --i, value >>= 8) out[i] = static_cast<std::uint8_t>(value);
}

}  // namespace

void BatchDigest::add(ByteView header) {
    if (is_ordered_) return stream_.update(header);
    const Digest digest = digest_of(header);
    add(read_big_endian(digest.data.data()), read_big_endian(digest.data.data() + 8));
}

void BatchDigest::add(const BatchDigest& other) {
    DROVER_ASSERT(!is_ordered_ && !other.is_ordered_);
    add(other.high_, other.low_);
}

void BatchDigest::add(std::uint64_t high, std::uint64_t low) {
    low_ += low;
    high_ += high + (low_ < low ? 1 : 0);
}

Digest BatchDigest::digest() const {
    if (is_ordered_) return stream_.digest();
    Digest out;
    write_big_endian(high_, out.data.data());
    write_big_endian(low_, out.data.data() + 8);
    return out;
}

void BatchDigest::reset() {
    stream_.reset();
    high_ = low_ = 0;
}

}  // namespace drover::replicator
