#include "replicator/write_window.h"

#include "base/assert.h"

#include <algorithm>

namespace drover::replicator {

bool WriteWindow::follows(const FrameHeader& header) const {
    if (waiting_.empty()) return true;
    const FrameHeader& last = waiting_.back().header;
    return is_for(header) && header.batch == last.batch && header.disk == last.disk &&
           header.offset >= last.offset + last.raw_length && used_ + frame_bytes_max <= bytes_max;
}

void WriteWindow::add(const FrameHeader& header, ByteView content,
                      std::shared_ptr<const ExtentHashes> hashes) {
    DROVER_ASSERT(is_for(header) && follows(header) && content.size() == header.raw_length);
    if (!memory_) memory_.emplace(bytes_max);
    const auto memory = memory_->first(bytes_max).subspan(used_, content.size());
    std::ranges::copy(content, memory.begin());
    used_ += (content.size() + direct_alignment - 1) / direct_alignment * direct_alignment;
    waiting_.push_back({header, std::move(hashes)});
    parts_.push_back({header.offset, memory});
}

Result<> WriteWindow::write(BlockDevice& disk) {
    return disk.write_many(parts_);
}

void WriteWindow::clear() {
    used_ = 0;
    waiting_.clear();
    parts_.clear();
}

}  // namespace drover::replicator
