#include "replicator/frame_sender.h"

#include "base/threads.h"

#include <algorithm>

namespace drover::replicator {

void FrameSender::note_read(std::int64_t ms, std::uint64_t limit_bytes_per_s) {
    if (packer_ == nullptr) return;
    packer_->set_limit(limit_bytes_per_s);
    packer_->note_read(ms);
}

Result<> FrameSender::send(FrameHeader header, ByteView content) {
    while (!content.empty()) {
        const bool may_pack = header.kind == FrameKind::data && packer_ != nullptr;
        const std::size_t limit = may_pack ? packer_->piece_bytes() : frame_raw_bytes_max;
        const ByteView piece = content.first(std::min(content.size(), limit));
        TRY_VOID(send_frame(header, piece));
        header.offset += piece.size();
        content = content.subspan(piece.size());
    }
    return {};
}

Result<> FrameSender::send_frame(FrameHeader header, ByteView content) {
    header.raw_length = static_cast<std::uint32_t>(content.size());
    header.digest = digest_of(content);
    const bool is_data = header.kind == FrameKind::data;
    ByteView payload = is_data ? content : ByteView();
    if (is_data && packer_ != nullptr) {
        const BulkPacker::Packed packed = packer_->pack(content);
        header.codec = packed.codec;
        payload = packed.payload;
    }
    header.stored_length = static_cast<std::uint32_t>(payload.size());
    const auto head = encode_frame_header(header);
    const SteadyMillis began_ms = monotonic_ms();
    TRY_VOID(link_.collect(head, payload));
    const std::size_t wire_bytes = head.size() + payload.size();
    if (is_data && packer_ != nullptr) packer_->note_sent(wire_bytes, monotonic_ms() - began_ms);
    wire_bytes_ += wire_bytes;
    ++frames_.count;
    frames_.digest.add(head);
    return {};
}

}  // namespace drover::replicator
