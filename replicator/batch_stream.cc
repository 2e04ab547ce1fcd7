#include "replicator/batch_stream.h"

#include "base/assert.h"
#include "base/mutation.h"
#include "base/threads.h"
#include "replicator/zero_runs.h"

#include <algorithm>

namespace drover::replicator {

void BatchStream::note_read(std::int64_t ms, std::uint64_t limit_bytes_per_s) {
    if (packer_ == nullptr) return;
    packer_->set_limit(limit_bytes_per_s);
    packer_->note_read(ms);
}

Result<> BatchStream::send_frame(FrameHeader header, ByteView content, Sent& sent) {
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
    if (const auto taken = bulk_.collect(head, payload); !taken)
        return control_.reason_behind(taken.error());
    const std::size_t wire_bytes = head.size() + payload.size();
    if (is_data && packer_ != nullptr) packer_->note_sent(wire_bytes, monotonic_ms() - began_ms);
    sent.wire_bytes += wire_bytes;
    ++frames_;
    digest_.update(head);
    return {};
}

Result<> BatchStream::send_run(FrameHeader header, ByteView content, Sent& sent) {
    while (!content.empty()) {
        const bool may_pack = header.kind == FrameKind::data && packer_ != nullptr;
        const std::size_t limit = may_pack ? packer_->piece_bytes() : frame_raw_bytes_max;
        const ByteView piece = content.first(std::min(content.size(), limit));
        TRY_VOID(send_frame(header, piece, sent));
        header.offset += piece.size();
        content = content.subspan(piece.size());
    }
    return {};
}

Result<BatchStream::Sent> BatchStream::send(std::uint32_t disk, std::uint64_t offset,
                                            ByteView data) {
    Sent sent;
    for (const Run& run : zero_runs(data)) {
        FrameHeader header;
        header.batch = batch_;
        header.disk = disk;
        header.offset = offset + run.offset;
        header.kind = run.zero ? FrameKind::zero : FrameKind::data;
        TRY_VOID(send_run(header, data.subspan(run.offset, run.length), sent));
        (run.zero ? sent.zero_bytes : sent.payload_bytes) += run.length;
    }
    open_bytes_ += data.size();
    point_micros_.reset();
    return sent;
}

Result<> BatchStream::flush() {
    if (const auto taken = bulk_.flush(); !taken) return control_.reason_behind(taken.error());
    return {};
}

Result<> BatchStream::commit() {
    TRY_VOID(flush());
    TRY_VOID(await_ack());
    Commit commit;
    commit.batch = batch_;
    commit.frames = frames_;
    commit.digest = digest_.digest();
    commit.mirrored_upto = mirrored_upto_;
    commit.generation = state_.generation();
    commit.is_point = point_micros_.has_value();
    commit.taken_micros = point_micros_.value_or(0);
    if (commit.is_point) commit.kind = point_kind_;
    TRY_VOID(control_.send(commit));
    // At once, so that it costs no round trip.
    if (read_back_) TRY_VOID(control_.send(ReadBackWanted{}));
    for (std::size_t i = 0; i < state_.disks(); ++i)
        if (DROVER_MUTANT("pending_cleared_at_commit")) state_.pending(i, batch_).clear_all();
    mirrored_sent_ = mirrored_upto_;
    unacked_ = std::move(commit);
    ++batch_;
    frames_ = 0;
    open_bytes_ = 0;
    ended_in_point_ = point_micros_.has_value();
    point_micros_.reset();
    digest_.reset();
    return {};
}

Result<> BatchStream::await_ack() {
    if (!unacked_) return {};
    TRY(const Committed ack, control_.expect<Committed>());
    if (ack.batch != unacked_->batch)
        return Error(Errc::invalid, "bad_message",
                     "the target acknowledged batch " + std::to_string(ack.batch) + " instead of " +
                         std::to_string(unacked_->batch));
    state_.end_batch(ack.batch);
    for (std::size_t i = 0; i < state_.disks(); ++i) {
        const CopyPhase phase = state_.phase(i);
        if (phase == CopyPhase::mirroring || phase == CopyPhase::catching_up)
            state_.set_cursor(i, unacked_->mirrored_upto[i]);
    }
    state_.set_acked_batch(ack.batch, unacked_->generation == state_.generation());
    unacked_.reset();
    if (!read_back_) return {};
    TRY(const ReadBackFound found, control_.expect<ReadBackFound>());
    read_back_(found);
    return {};
}

Result<> BatchStream::finish(bool even_if_empty) {
    const bool is_new_point = point_micros_ && !ended_in_point_;
    const bool news =
        frames_ > 0 || mirrored_upto_ != mirrored_sent_ || is_new_point || even_if_empty;
    if (news) TRY_VOID(commit());
    return await_ack();
}

}  // namespace drover::replicator
