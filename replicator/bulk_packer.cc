#include "replicator/bulk_packer.h"

namespace drover::replicator {

std::vector<std::string> codec_capabilities(Compression wanted) {
    switch (wanted) {
        case Compression::automatic:
            return {lz4_capability, zstd_capability};
        case Compression::none:
            return {};
        case Compression::lz4:
            return {lz4_capability};
        case Compression::zstd:
            return {zstd_capability};
    }
    return {};
}

bool BulkPacker::may_pack() const {
    switch (wanted_) {
        case Compression::automatic:
            return policy_.may_pay(limit_bytes_per_s_, clock_.steady_ms());
        case Compression::none:
            return false;
        case Compression::lz4:
            return codecs_.lz4;
        case Compression::zstd:
            return codecs_.zstd;
    }
    return false;
}

std::size_t BulkPacker::piece_bytes() const {
    return may_pack() ? packed_piece_bytes : frame_raw_bytes_max;
}

BulkMethod BulkPacker::choose(ByteView raw) {
    if (!may_pack()) return BulkMethod::raw;
    piece_.sampled_ratio = compressor_.sample(raw);
    if (wanted_ == Compression::automatic)
        return policy_.choose(piece_.sampled_ratio, limit_bytes_per_s_, clock_.steady_ms());
    if (piece_.sampled_ratio > CompressionPolicy::ratio_max) return BulkMethod::raw;
    return wanted_ == Compression::lz4 ? BulkMethod::lz4 : BulkMethod::zstd_fast;
}

BulkPacker::Packed BulkPacker::pack(ByteView raw) {
    const SteadyMillis began = clock_.steady_ms();
    piece_ = {};
    piece_.raw_bytes = raw.size();
    piece_.method = choose(raw);
    Packed packed{FrameCodec::raw, raw};
    if (piece_.method != BulkMethod::raw) {
        const ByteView made = compressor_.pack(piece_.method, raw);
        if (!made.empty()) packed = {codec_of(piece_.method), made};
    }
    piece_.codec_ms = clock_.steady_ms() - began;
    return packed;
}

void BulkPacker::note_sent(std::size_t wire_bytes, std::int64_t send_ms) {
    piece_.wire_bytes = wire_bytes;
    piece_.send_ms = send_ms;
    policy_.note_sent(piece_, clock_.steady_ms());
}

}  // namespace drover::replicator
