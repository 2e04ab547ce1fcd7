#include "replicator/bulk_codec.h"

#include "base/assert.h"
#include "replicator/aligned_buffer.h"

#include <algorithm>
#include <array>
#include <limits>

#include <lz4.h>
#include <zstd.h>

namespace drover::replicator {
namespace {

constexpr int zstd_fast_level = 1;
constexpr int zstd_dense_level = 3;
constexpr std::size_t sample_slices = 4;
constexpr std::size_t slice_bytes = 4096;

static_assert(frame_raw_bytes_max <= LZ4_MAX_INPUT_SIZE);
static_assert(frame_raw_bytes_max <= std::numeric_limits<int>::max());

const char* chars(const std::uint8_t* bytes) {
    return reinterpret_cast<const char*>(bytes);
}

char* chars(std::uint8_t* bytes) {
    return reinterpret_cast<char*>(bytes);
}

/// 0 if it does not fit.
std::size_t lz4_pack(void* state, ByteView raw, std::span<std::uint8_t> out) {
    const int made =
        LZ4_compress_fast_extState(state, chars(raw.data()), chars(out.data()),
                                   static_cast<int>(raw.size()), static_cast<int>(out.size()), 1);
    return made > 0 ? static_cast<std::size_t>(made) : 0;
}

Result<> lz4_unpack(const Frame& frame, std::span<std::uint8_t> out) {
    const int made =
        LZ4_decompress_safe(chars(frame.payload.data()), chars(out.data()),
                            static_cast<int>(frame.payload.size()), static_cast<int>(out.size()));
    if (made >= 0 && static_cast<std::size_t>(made) == out.size()) return {};
    return frame_corrupt(frame.header,
                         made < 0 ? "is no LZ4 block of its length"
                                  : "is an LZ4 block of " + std::to_string(made) + " bytes only");
}

/// Formats of old, frames to be skipped, several in a row: all legal for the library, none is ours.
bool is_one_zstd_frame(ByteView payload) {
    constexpr std::size_t magic_bytes = 4;
    return payload.size() > magic_bytes && get_u32(payload, 0) == ZSTD_MAGICNUMBER &&
           ZSTD_findFrameCompressedSize(payload.data(), payload.size()) == payload.size();
}

Result<> zstd_unpack(ZSTD_DCtx* context, const Frame& frame, std::span<std::uint8_t> out) {
    const ByteView payload = frame.payload;
    if (!is_one_zstd_frame(payload))
        return frame_corrupt(frame.header, "is not one whole Zstandard frame");
    const unsigned long long content = ZSTD_getFrameContentSize(payload.data(), payload.size());
    if (content != out.size())
        return frame_corrupt(frame.header, "is a Zstandard frame of another length");
    const std::size_t made =
        ZSTD_decompressDCtx(context, out.data(), out.size(), payload.data(), payload.size());
    if (ZSTD_isError(made) == 0 && made == out.size()) return {};
    return frame_corrupt(frame.header, "is a damaged Zstandard frame");
}

bool has(const std::vector<std::string>& capabilities, const char* name) {
    return std::ranges::count(capabilities, name) > 0;
}

}  // namespace

BulkCodecs codecs_in(const std::vector<std::string>& capabilities) {
    return {has(capabilities, lz4_capability), has(capabilities, zstd_capability)};
}

FrameCodec codec_of(BulkMethod method) {
    switch (method) {
        case BulkMethod::raw:
            return FrameCodec::raw;
        case BulkMethod::lz4:
            return FrameCodec::lz4;
        case BulkMethod::zstd_fast:
        case BulkMethod::zstd_dense:
            return FrameCodec::zstd;
    }
    return FrameCodec::raw;
}

// ---- packing ----

struct BulkCompressor::State {
    State()
        : lz4(static_cast<std::size_t>(LZ4_sizeofState())),
          zstd(ZSTD_createCCtx()) {
        DROVER_ASSERT(zstd != nullptr);
    }

    ~State() { ZSTD_freeCCtx(zstd); }

    State(const State&) = delete;
    State& operator=(const State&) = delete;

    AlignedBuffer lz4;
    ZSTD_CCtx* zstd;
    Bytes packed = Bytes(frame_raw_bytes_max);
    std::array<std::uint8_t, sample_slices * slice_bytes> sampled{};
};

BulkCompressor::BulkCompressor() = default;
BulkCompressor::~BulkCompressor() = default;

ByteView BulkCompressor::pack(BulkMethod method, ByteView raw) {
    DROVER_ASSERT(!raw.empty() && raw.size() <= frame_raw_bytes_max);
    if (!state_) state_ = std::make_unique<State>();
    // One byte less than raw: what does not fit there is not worth it.
    const auto out = std::span(state_->packed).first(raw.size() - 1);
    std::size_t made = 0;
    if (codec_of(method) == FrameCodec::lz4) {
        made = lz4_pack(state_->lz4.first(1).data(), raw, out);
    } else if (codec_of(method) == FrameCodec::zstd) {
        const int level = method == BulkMethod::zstd_dense ? zstd_dense_level : zstd_fast_level;
        made =
            ZSTD_compressCCtx(state_->zstd, out.data(), out.size(), raw.data(), raw.size(), level);
        if (ZSTD_isError(made) != 0) made = 0;
    }
    return ByteView(out).first(made);
}

double BulkCompressor::sample(ByteView raw) {
    DROVER_ASSERT(!raw.empty());
    if (!state_) state_ = std::make_unique<State>();
    ByteView sampled = raw;
    if (raw.size() > state_->sampled.size()) {
        const std::size_t step = raw.size() / sample_slices;
        for (std::size_t i = 0; i < sample_slices; ++i)
            std::copy_n(raw.begin() + static_cast<std::ptrdiff_t>(i * step), slice_bytes,
                        state_->sampled.begin() + static_cast<std::ptrdiff_t>(i * slice_bytes));
        sampled = state_->sampled;
    }
    const std::size_t made = lz4_pack(state_->lz4.first(1).data(), sampled, state_->packed);
    return std::min(1.0, static_cast<double>(made) / static_cast<double>(sampled.size()));
}

// ---- unpacking ----

struct BulkDecompressor::State {
    State()
        : zstd(ZSTD_createDCtx()) {
        DROVER_ASSERT(zstd != nullptr);
    }

    ~State() { ZSTD_freeDCtx(zstd); }

    State(const State&) = delete;
    State& operator=(const State&) = delete;

    ZSTD_DCtx* zstd;
    AlignedBuffer raw = AlignedBuffer(frame_raw_bytes_max);
};

BulkDecompressor::BulkDecompressor() = default;
BulkDecompressor::~BulkDecompressor() = default;

Result<Frame> BulkDecompressor::unpack(const Frame& frame) {
    if (frame.header.codec == FrameCodec::raw) return frame;
    DROVER_ASSERT(frame.header.raw_length <= frame_raw_bytes_max);
    if (!state_) state_ = std::make_unique<State>();
    const auto out = state_->raw.first(frame.header.raw_length);
    TRY_VOID(frame.header.codec == FrameCodec::lz4 ? lz4_unpack(frame, out)
                                                   : zstd_unpack(state_->zstd, frame, out));
    Frame unpacked = frame;
    unpacked.payload = out;
    return unpacked;
}

}  // namespace drover::replicator
