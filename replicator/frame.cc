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

Result<Frame> parse_frame(ByteView bytes, std::span<const std::uint64_t> sizes_bytes) {
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
    if (bytes[29] != static_cast<std::uint8_t>(FrameCodec::raw)) return bad_frame("unknown codec");
    if (get_u16(bytes, 30) != 0) return bad_frame("reserved bytes are not zero");
    header.kind = static_cast<FrameKind>(bytes[28]);
    TRY_VOID(check_range(header, sizes_bytes));
    const std::uint32_t expected = header.kind == FrameKind::data ? header.raw_length : 0;
    if (header.stored_length != expected || frame.payload.size() != expected)
        return bad_frame("payload of " + std::to_string(frame.payload.size()) + " bytes for " +
                         range_text(header));
    return frame;
}

Result<> check_content(const Frame& frame) {
    static const Bytes zeroes(frame_raw_bytes_max);
    const ByteView content = frame.header.kind == FrameKind::data
                                 ? frame.payload
                                 : ByteView(zeroes).first(frame.header.raw_length);
    if (digest_of(content) == frame.header.digest) return {};
    return Error(Errc::corrupt, "frame_corrupt",
                 range_text(frame.header) + " arrived with another content than was read",
                 "nothing of it was written", "it is sent again; check memory and network cards");
}

}  // namespace drover::replicator
