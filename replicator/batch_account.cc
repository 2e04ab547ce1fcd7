#include "replicator/batch_account.h"

#include "base/assert.h"

#include <utility>

namespace drover::replicator {

bool BatchAccount::must_wait(const FrameHeader& header) const {
    return !is_ordered_ && !is_closed_ && header.batch == committed_ + 2;
}

Result<> BatchAccount::admit(const FrameHeader& header) {
    DROVER_ASSERT(!must_wait(header));
    const bool is_next = header.batch == committed_ + 1 && open_[1].admitted == 0 && !is_closed_;
    if (is_next || header.batch == committed_ + 2) {
        ++open_[is_next ? 0 : 1].admitted;
        return {};
    }
    return Error(Errc::invalid, "bad_frame",
                 "a frame of batch " + std::to_string(header.batch) + " after batch " +
                     std::to_string(committed_) +
                     (is_closed_ ? " and the COMMIT after it" : " was committed"),
                 "nothing of it was written", "check that both agents run matching versions");
}

void BatchAccount::add(const FrameHeader& header) {
    DROVER_ASSERT(header.batch == committed_ + 1 || header.batch == committed_ + 2);
    Open& open = open_[header.batch - committed_ - 1];
    ++open.frames;
    open.digest.add(encode_frame_header(header));
}

std::uint64_t BatchAccount::frames(std::uint64_t batch) const {
    DROVER_ASSERT(batch == committed_ + 1);
    return open_[0].frames;
}

std::uint64_t BatchAccount::admitted(std::uint64_t batch) const {
    DROVER_ASSERT(batch == committed_ + 1);
    return open_[0].admitted;
}

void BatchAccount::close(std::uint64_t batch) {
    DROVER_ASSERT(batch == committed_ + 1);
    is_closed_ = true;
}

Digest BatchAccount::digest(std::uint64_t batch) const {
    DROVER_ASSERT(batch == committed_ + 1);
    return open_[0].digest.digest();
}

void BatchAccount::commit() {
    ++committed_;
    is_closed_ = false;
    open_[0] = std::exchange(open_[1], Open(is_ordered_));
}

}  // namespace drover::replicator
