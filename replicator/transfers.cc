#include "replicator/transfers.h"

#include "base/assert.h"

#include <cerrno>

namespace drover::replicator {

Transfers::Transfers(std::vector<Transfer> parts, std::size_t unit_bytes)
    : parts_(std::move(parts)),
      unit_bytes_(unit_bytes) {
    for (const Transfer& part : parts_) DROVER_ASSERT(part.length > 0);
}

std::optional<std::size_t> Transfers::next() {
    if (failure_) return std::nullopt;
    std::size_t part = begun_;
    if (!again_.empty()) {
        part = again_.back();
        again_.pop_back();
    } else if (begun_ == parts_.size()) {
        return std::nullopt;
    } else {
        ++begun_;
    }
    ++under_way_;
    return part;
}

void Transfers::ended(std::size_t part, std::int64_t result) {
    DROVER_ASSERT(under_way_ > 0);
    --under_way_;
    Transfer& rest = parts_.at(part);
    const bool is_interrupted = result == -EINTR || result == -EAGAIN;
    if (is_interrupted && ++interrupted_ <= interrupted_max) {
        again_.push_back(part);
        return;
    }
    if (result < 0) {
        if (!failure_) failure_ = Failure{rest, static_cast<int>(-result)};
        return;
    }
    auto moved = static_cast<std::size_t>(result);
    DROVER_ASSERT(moved <= rest.length);
    // A disk cannot be asked for the rest of a unit: that unit is moved once more.
    if (moved < rest.length) moved -= moved % unit_bytes_;
    if (moved == 0) {
        if (!failure_) failure_ = Failure{rest, 0};
        return;
    }
    rest.offset += moved;
    rest.memory += moved;
    rest.length -= moved;
    if (rest.length > 0) again_.push_back(part);
}

}  // namespace drover::replicator
