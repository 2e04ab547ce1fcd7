#include "replicator/frame.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr std::uint32_t sector_bytes_min = 512;

void store(std::uint8_t* out, std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

Error bad_frame(const std::string& why) {
    return Error(Errc::invalid, "bad_frame", "a bulk frame does not have the agreed form: " + why,
                 "nothing of it was written", "check that both agents run matching versions");
}

std::string range_text(const FrameHeader& header) {
    return "disk " + std::to_string(header.disk) + " bytes " + std::to_string(header.offset) + "+" +
           std::to_string(header.raw_length);
}

Result<> check_range(const FrameHeader& header, std::span<const std::uint64_t> sizes_bytes) {
    if (header.disk >= sizes_bytes.size())
        return bad_frame("no disk " + std::to_string(header.disk));
    if (header.raw_length == 0 || header.raw_length > frame_raw_bytes_max)
        return bad_frame("length " + std::to_string(header.raw_length));
    const std::uint64_t size = sizes_bytes[header.disk];
    if (header.raw_length > size || header.offset > size - header.raw_length)
        return bad_frame(range_text(header) + " is beyond the end");
    const bool ends_well =
        header.raw_length % sector_bytes_min == 0 || header.offset + header.raw_length == size;
    if (header.offset % sector_bytes_min != 0 || !ends_well)
        return bad_frame(range_text(header) + " is not on sectors");
    return {};
}

Result<FrameCodec> read_codec(std::uint8_t byte, BulkCodecs codecs) {
    const bool is_known = byte == static_cast<std::uint8_t>(FrameCodec::raw) ||
                          (byte == static_cast<std::uint8_t>(FrameCodec::lz4) && codecs.lz4) ||
                          (byte == static_cast<std::uint8_t>(FrameCodec::zstd) && codecs.zstd);
    if (is_known) return static_cast<FrameCodec>(byte);
    return bad_frame("codec " + std::to_string(byte) + " is unknown or was not agreed");
}

Result<> check_stored(const FrameHeader& header, std::size_t payload_bytes) {
    const bool is_data = header.kind == FrameKind::data;
    if (!is_data && header.codec != FrameCodec::raw)
        return bad_frame("a codec for " + range_text(header) + ", which has no payload");
    const bool is_packed = header.codec != FrameCodec::raw;
    const std::uint32_t expected = is_data ? header.raw_length : 0;
    const bool fits = is_packed ? header.stored_length > 0 && header.stored_length < expected
                                : header.stored_length == expected;
    if (fits && payload_bytes == header.stored_length) return {};
    return bad_frame("payload of " + std::to_string(payload_bytes) + " bytes, said to be " +
                     std::to_string(header.stored_length) + ", for " + range_text(header));
}

}  // namespace

std::array<std::uint8_t, frame_header_bytes> encode_frame_header(const FrameHeader& header) {
    std::array<std::uint8_t, frame_header_bytes> out{};
    store(out.data(), header.batch, 8);
    store(out.data() + 8, header.offset, 8);
    store(out.data() + 16, header.disk, 4);
    store(out.data() + 20, header.raw_length, 4);
    store(out.data() + 24, header.stored_length, 4);
    out[28] = static_cast<std::uint8_t>(header.kind);
    out[29] = static_cast<std::uint8_t>(header.codec);
    std::copy(header.digest.data.begin(), header.digest.data.end(), out.begin() + 32);
    return out;
}

Result<Frame> parse_frame(ByteView bytes, std::span<const std::uint64_t> sizes_bytes,
                          BulkCodecs codecs) {
    if (bytes.size() < frame_header_bytes) return bad_frame("shorter than its header");
    Frame frame;
    FrameHeader& header = frame.header;
    header.batch = get_u64(bytes, 0);
    header.offset = get_u64(bytes, 8);
    header.disk = get_u32(bytes, 16);
    header.raw_length = get_u32(bytes, 20);
    header.stored_length = get_u32(bytes, 24);
    header.digest = *Digest::from(bytes.subspan(32, 16));
    frame.payload = bytes.subspan(frame_header_bytes);
    if (bytes[28] > static_cast<std::uint8_t>(FrameKind::discard)) return bad_frame("unknown kind");
    TRY(header.codec, read_codec(bytes[29], codecs));
    if (get_u16(bytes, 30) != 0) return bad_frame("reserved bytes are not zero");
    header.kind = static_cast<FrameKind>(bytes[28]);
    TRY_VOID(check_range(header, sizes_bytes));
    TRY_VOID(check_stored(header, frame.payload.size()));
    return frame;
}

Result<> check_content(const Frame& frame) {
    static const Bytes zeroes(frame_raw_bytes_max);
    const ByteView content = frame.header.kind == FrameKind::data
                                 ? frame.payload
                                 : ByteView(zeroes).first(frame.header.raw_length);
    if (digest_of(content) == frame.header.digest) return {};
    return frame_corrupt(frame.header, "arrived with another content than was read");
}

Error frame_corrupt(const FrameHeader& header, const std::string& why) {
    return Error(Errc::corrupt, "frame_corrupt", range_text(header) + " " + why,
                 "nothing of it was written", "it is sent again; check memory and network cards");
}

}  // namespace drover::replicator
