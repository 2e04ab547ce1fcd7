#include "eventlog/rocksdb_layout.h"

namespace drover::eventlog {
namespace {

constexpr std::uint32_t format_version = 1;
constexpr std::size_t stream_key_bytes = 1 + 16 + 4;
constexpr std::size_t answer_fixed_bytes = 4 + 32;
constexpr std::size_t meta_bytes = 4 + 4 + 16 + 8 + 32 + 8;

Error damaged(std::string id, std::string detail) {
    return Error(Errc::corrupt, std::move(id), std::move(detail));
}

template <class Number>
void put_big_endian(Bytes& out, Number value) {
    for (int shift = 8 * (static_cast<int>(sizeof(Number)) - 1); shift >= 0; shift -= 8)
        out.push_back(static_cast<std::uint8_t>(value >> shift));
}

template <class Number>
Number get_big_endian(ByteView bytes) {
    Number value = 0;
    for (const auto byte : bytes.first(sizeof(Number)))
        value = static_cast<Number>(value << 8 | byte);
    return value;
}

std::uint32_t answer_checksum(const Uuid& command_id, ByteView after_checksum) {
    Bytes covered;
    put_bytes(covered, command_id.view());
    put_bytes(covered, after_checksum);
    return crc32c(covered);
}

}  // namespace

Bytes event_key(Seq seq) {
    Bytes key;
    put_big_endian(key, seq);
    return key;
}

Result<Seq> seq_from_event_key(ByteView key) {
    if (key.size() != 8) return damaged("event_damaged", "a key of another size");
    return get_big_endian<Seq>(key);
}

Bytes stream_key(const StreamId& stream, StreamSeq stream_seq) {
    Bytes key;
    key.push_back(static_cast<std::uint8_t>(stream.kind));
    put_bytes(key, stream.id.view());
    put_big_endian(key, stream_seq);
    return key;
}

Bytes seq_value(Seq seq) {
    Bytes value;
    put_u64(value, seq);
    return value;
}

Result<StreamEntry> decode_stream_entry(ByteView key, ByteView value) {
    if (key.size() != stream_key_bytes || value.size() != 8 ||
        key[0] > static_cast<std::uint8_t>(StreamKind::agent))
        return damaged("index_damaged", "the stream index has an entry of another form");
    StreamEntry entry;
    entry.stream.kind = static_cast<StreamKind>(key[0]);
    entry.stream.id = *Uuid::from(key.subspan(1, 16));
    entry.stream_seq = get_big_endian<StreamSeq>(key.subspan(17));
    entry.seq = get_u64(value, 0);
    return entry;
}

Bytes answer_value(const CommandAnswer& answer) {
    Bytes after_checksum;
    put_bytes(after_checksum, answer.request_digest.view());
    put_bytes(after_checksum, answer.answer);
    Bytes value;
    put_u32(value, answer_checksum(answer.command_id, after_checksum));
    put_bytes(value, after_checksum);
    return value;
}

Result<CommandAnswer> decode_answer(ByteView key, ByteView value) {
    const auto command_id = Uuid::from(key);
    if (!command_id || value.size() < answer_fixed_bytes ||
        get_u32(value, 0) != answer_checksum(*command_id, value.subspan(4)))
        return damaged("answer_damaged", "the stored answer to a command is not what was written");
    CommandAnswer answer;
    answer.command_id = *command_id;
    answer.request_digest = *Hash::from(value.subspan(4, 32));
    const ByteView text = value.subspan(answer_fixed_bytes);
    answer.answer.assign(text.begin(), text.end());
    return answer;
}

Bytes meta_key() {
    const ByteView key = as_bytes("log");
    return {key.begin(), key.end()};
}

Bytes meta_value(const LogMeta& meta) {
    Bytes value;
    put_u32(value, format_version);
    put_u32(value, meta.epoch);
    put_bytes(value, meta.lineage.view());
    put_u64(value, meta.seq);
    put_bytes(value, meta.hash.view());
    put_u64(value, meta.answers);
    return value;
}

Result<LogMeta> decode_meta(ByteView value) {
    if (value.size() < 4) return damaged("meta_damaged", "the facts about the log are cut short");
    if (get_u32(value, 0) != format_version)
        return Error(Errc::unsupported, "log_unsupported",
                     "the log has format " + std::to_string(get_u32(value, 0)) +
                         ", this program reads format " + std::to_string(format_version),
                     "nothing was touched",
                     "use the version of drover that wrote it, or a newer one");
    if (value.size() != meta_bytes)
        return damaged("meta_damaged", "the facts about the log have another size");
    LogMeta meta;
    meta.epoch = get_u32(value, 4);
    meta.lineage = *Uuid::from(value.subspan(8, 16));
    meta.seq = get_u64(value, 24);
    meta.hash = *Hash::from(value.subspan(32, 32));
    meta.answers = get_u64(value, 64);
    return meta;
}

}  // namespace drover::eventlog
