#include "eventlog/record.h"

#include "base/assert.h"
#include "base/sha256.h"

namespace drover::eventlog {
namespace {

constexpr std::uint16_t layout_version = 1;
constexpr std::uint8_t flag_clock_stepped = 1;
constexpr std::string_view hash_domain = "drover-ev1";

Error damaged(std::string detail) {
    return Error(Errc::corrupt, "event_damaged", std::move(detail));
}

template <class Id>
Id id_at(ByteView bytes, std::size_t at) {
    const auto id = Id::from(bytes.subspan(at, Id{}.data.size()));
    DROVER_ASSERT(id.has_value());
    return *id;
}

/// Everything the hash covers: the stored form without its last 32 bytes.
Bytes encode_hashed_part(const Record& record) {
    DROVER_ASSERT(record.actor.size() <= actor_bytes_max);
    DROVER_ASSERT(record.payload.size() <= payload_bytes_max);
    Bytes out;
    out.reserve(record_header_bytes + record.actor.size() + record.payload.size() +
                record_trailer_bytes);
    put_u16(out, layout_version);
    out.push_back(static_cast<std::uint8_t>(record.stream.kind));
    out.push_back(record.clock_stepped ? flag_clock_stepped : std::uint8_t{0});
    put_u16(out, record.kind);
    put_u16(out, record.kind_version);
    put_u64(out, record.seq);
    put_bytes(out, record.stream.id.view());
    put_u32(out, record.stream_seq);
    put_u32(out, record.epoch);
    put_u64(out, static_cast<std::uint64_t>(record.wall_micros));
    put_u64(out, record.cause);
    put_bytes(out, record.command_id.view());
    put_u16(out, static_cast<std::uint16_t>(record.actor.size()));
    put_u16(out, 0);
    put_u32(out, static_cast<std::uint32_t>(record.payload.size()));
    put_bytes(out, record.prev_stream_hash.view());
    DROVER_ASSERT(out.size() == record_header_bytes);
    put_bytes(out, as_bytes(record.actor));
    put_bytes(out, record.payload);
    put_bytes(out, record.prev_hash.view());
    return out;
}

Hash hash_of(ByteView hashed_part) {
    // One hasher for all: making its context costs as much as hashing a small event.
    static thread_local Sha256 hasher;
    return hasher.update(as_bytes(hash_domain)).update(hashed_part).finish();
}

/// The fields before the actor. A byte that this version never writes is damage, so that every
/// accepted byte string has exactly one meaning and encoding gives it back.
Result<Record> decode_header(ByteView bytes) {
    if (get_u16(bytes, 0) != layout_version)
        return damaged("layout version " + std::to_string(get_u16(bytes, 0)) + " is unknown");
    if (bytes[2] > static_cast<std::uint8_t>(StreamKind::agent))
        return damaged("stream kind " + std::to_string(bytes[2]) + " is unknown");
    if ((bytes[3] & ~flag_clock_stepped) != 0 || get_u16(bytes, 74) != 0)
        return damaged("a reserved bit is set");
    Record record;
    record.stream.kind = static_cast<StreamKind>(bytes[2]);
    record.clock_stepped = bytes[3] == flag_clock_stepped;
    record.kind = get_u16(bytes, 4);
    record.kind_version = get_u16(bytes, 6);
    record.seq = get_u64(bytes, 8);
    record.stream.id = id_at<Uuid>(bytes, 16);
    record.stream_seq = get_u32(bytes, 32);
    record.epoch = get_u32(bytes, 36);
    record.wall_micros = static_cast<WallMicros>(get_u64(bytes, 40));
    record.cause = get_u64(bytes, 48);
    record.command_id = id_at<Uuid>(bytes, 56);
    record.prev_stream_hash = id_at<Hash>(bytes, 80);
    return record;
}

}  // namespace

Hash record_hash(const Record& record) {
    return hash_of(encode_hashed_part(record));
}

Bytes encode_record(const Record& record) {
    Bytes out = encode_hashed_part(record);
    put_bytes(out, record.hash.view());
    return out;
}

Result<Record> decode_record(ByteView bytes) {
    if (bytes.size() < record_header_bytes + record_trailer_bytes)
        return damaged("only " + std::to_string(bytes.size()) + " bytes");
    const std::size_t actor_bytes = get_u16(bytes, 72);
    const std::size_t payload_bytes = get_u32(bytes, 76);
    if (actor_bytes > actor_bytes_max || payload_bytes > payload_bytes_max)
        return damaged("a length is beyond its limit");
    const std::size_t expected =
        record_header_bytes + actor_bytes + payload_bytes + record_trailer_bytes;
    if (bytes.size() != expected)
        return damaged(std::to_string(bytes.size()) + " bytes where its lengths ask for " +
                       std::to_string(expected));
    TRY(Record record, decode_header(bytes));
    const ByteView payload = bytes.subspan(record_header_bytes + actor_bytes, payload_bytes);
    record.actor = std::string(as_text(bytes.subspan(record_header_bytes, actor_bytes)));
    record.payload.assign(payload.begin(), payload.end());
    record.prev_hash = id_at<Hash>(bytes, expected - 64);
    record.hash = id_at<Hash>(bytes, expected - 32);
    return record;
}

Hash stored_hash(ByteView stored) {
    DROVER_ASSERT(stored.size() >= record_header_bytes + record_trailer_bytes);
    return hash_of(stored.first(stored.size() - 32));
}

}  // namespace drover::eventlog
