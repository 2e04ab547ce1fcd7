#include "replicator/batch_stream.h"

#include "base/mutation.h"
#include "replicator/zero_runs.h"

#include <utility>

namespace drover::replicator {

/// With several lanes, what the links take becomes known after send() has returned.
std::uint64_t BatchStream::count_wire_bytes() {
    const std::uint64_t bytes = lanes_.take_wire_bytes();
    state_.add(Counter::bytes_on_wire, bytes);
    return bytes;
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
        if (const auto taken = lanes_.send(header, data.subspan(run.offset, run.length)); !taken)
            return control_.reason_behind(taken.error());
        (run.zero ? sent.zero_bytes : sent.payload_bytes) += run.length;
    }
    open_bytes_ += data.size();
    point_micros_.reset();
    sent.wire_bytes = std::exchange(unpaid_wire_bytes_, 0) + count_wire_bytes();
    return sent;
}

Result<> BatchStream::flush() {
    if (const auto taken = lanes_.flush(); !taken) return control_.reason_behind(taken.error());
    return {};
}

Result<> BatchStream::commit() {
    if (const auto taken = lanes_.settle(); !taken) return control_.reason_behind(taken.error());
    unpaid_wire_bytes_ += count_wire_bytes();
    TRY_VOID(await_ack());
    const SentFrames frames = lanes_.take_frames();
    Commit commit;
    commit.batch = batch_;
    commit.frames = frames.count;
    commit.digest = frames.digest.digest();
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
    open_bytes_ = 0;
    ended_in_point_ = point_micros_.has_value();
    point_micros_.reset();
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
        open_bytes_ > 0 || mirrored_upto_ != mirrored_sent_ || is_new_point || even_if_empty;
    if (news) TRY_VOID(commit());
    return await_ack();
}

}  // namespace drover::replicator
