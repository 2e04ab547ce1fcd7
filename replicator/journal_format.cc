/// All numbers little-endian; what is not named is zero; the last 16 bytes are the XXH3-128 of the
/// rest.
///
///   slot    0 magic 8 | 8 journal 16 | 24 key 16 | 40 serial | 48 life | 56 redo bytes
///          64 undo bytes | 72 redo tail | 80 restoring | 88 applied batch | 96 applied taken
///         104 points max u32 | 108 mode u8 | 109 flags u8 (1: restoring, 2: applied is a point,
///         4 and 8: its kind, 16: frozen) | 110 undos u16 | 112 note length u16
///         116 lives before this one that count | 128 undos of 64 each | 2176 note
///   undo    0 batch before | 8 taken | 16 position | 24 bytes | 32 records | 40 content 16
///          56 flags u8 (1: a point)
///   record  0 magic 8 | 8 kind u8 | 9 flags u8 (1: a point) | 10 entries u16 | 12 payload u32
///          16 journal 16 | 32 life | 40 position | 48 batch | 56 durable | 64 content 16
///          80 records | 88 taken | 96 note length u16 | 112 entries of 16 each, or the note
///   entry   0 offset u64 | 8 length u32 | 12 disk u16 | 14 zero u8
#include "replicator/journal_format.h"

#include "base/assert.h"

#include <algorithm>

namespace drover::replicator {
namespace {

constexpr std::string_view slot_magic = "DRVJSLT1";
constexpr std::string_view record_magic = "DRVJREC1";
constexpr std::size_t body_bytes = journal_block_bytes - 16;
constexpr std::size_t undos_at = 128;
constexpr std::size_t undo_entry_bytes = 64;
constexpr std::size_t slot_note_at = undos_at + journal_undos_max * undo_entry_bytes;
constexpr std::size_t entries_at = 112;
constexpr std::size_t entry_bytes = 16;
static_assert(slot_note_at + journal_note_bytes_max <= body_bytes);
static_assert(entries_at + record_entries_max * entry_bytes <= body_bytes);
static_assert(entries_at + journal_note_bytes_max <= body_bytes);

/// A block that is filled in at fixed places.
class Block {
  public:
    Block()
        : bytes_(journal_block_bytes) {}

    void number(std::size_t at, std::uint64_t value, std::size_t bytes = 8) {
        for (std::size_t i = 0; i < bytes; ++i)
            bytes_[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
    }

    void copy(std::size_t at, ByteView value) {
        std::copy(value.begin(), value.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(at));
    }

    [[nodiscard]] Bytes sealed() {
        seal_block(bytes_);
        return std::move(bytes_);
    }

  private:
    Bytes bytes_;
};

bool is_sealed(ByteView block, std::string_view magic) {
    return block.size() == journal_block_bytes && as_text(block.first(8)) == magic &&
           record_digest(block) == digest_of(block.first(body_bytes));
}

/// Sizes and positions far beyond what a journal reaches would only overflow sums.
bool is_whole_blocks(std::uint64_t bytes) {
    return bytes % journal_block_bytes == 0 && bytes < std::uint64_t{1} << 60;
}

/// Nothing is overtaken, nothing overlaps, and all of it fits into the ring.
bool undos_are_possible(const JournalHeader& header) {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < header.undos.size(); ++i) {
        const UndoExtent& undo = header.undos[i];
        if (undo.bytes == 0 || undo.batches == 0 || !is_whole_blocks(undo.bytes) ||
            !is_whole_blocks(undo.position) || undo.bytes > header.undo_bytes - bytes)
            return false;
        bytes += undo.bytes;
        const bool is_last = i + 1 == header.undos.size();
        const std::uint64_t next =
            is_last ? header.applied.batch : header.undos[i + 1].before.batch;
        if (undo.before.batch >= next) return false;
        if (!is_last && header.undos[i + 1].position != undo.position + undo.bytes) return false;
    }
    return true;
}

bool is_possible(const JournalHeader& header) {
    const bool has_shape = header.redo_bytes > 0 && is_whole_blocks(header.redo_bytes) &&
                           is_whole_blocks(header.undo_bytes) && is_whole_blocks(header.redo_tail);
    if (!has_shape || !undos_are_possible(header)) return false;
    if (header.is_frozen && (header.mode == JournalMode::direct || header.restoring)) return false;
    if (header.mode == JournalMode::direct && (header.restoring || !header.undos.empty()))
        return false;
    return !header.restoring ||
           std::any_of(header.undos.begin(), header.undos.end(), [&](const UndoExtent& undo) {
               return undo.before.batch == *header.restoring;
           });
}

/// bit 0: it is a point; bits 1 and 2: its kind.
std::uint64_t label_of(const BatchMark& mark) {
    return (mark.is_point ? 1U : 0U) | static_cast<std::uint64_t>(mark.kind) << 1;
}

/// What is no kind makes the bytes differ when they are compared.
void take_label(BatchMark& mark, unsigned label) {
    mark.is_point = (label & 1) != 0;
    const unsigned kind = label >> 1 & 3;
    if (kind <= static_cast<unsigned>(PointKind::application))
        mark.kind = static_cast<PointKind>(kind);
}

UndoExtent undo_of(ByteView entry) {
    UndoExtent undo;
    undo.before.batch = get_u64(entry, 0);
    undo.before.taken_micros = static_cast<WallMicros>(get_u64(entry, 8));
    undo.position = get_u64(entry, 16);
    undo.bytes = get_u64(entry, 24);
    undo.records = get_u64(entry, 32);
    undo.content = *Digest::from(entry.subspan(40, 16));
    take_label(undo.before, entry[56]);
    undo.batches = get_u32(entry, 60);
    return undo;
}

/// Data lies in the payload without gaps; only the end of the last block is filled up.
bool is_possible(const RecordHead& head) {
    const bool has_entries = head.kind == RecordKind::frames || head.kind == RecordKind::undo;
    if (has_entries != !head.entries.empty()) return false;
    if (has_entries && (head.records != 0 || head.mark != BatchMark())) return false;
    if (head.kind == RecordKind::undo_end && head.mark != BatchMark()) return false;
    if (head.kind == RecordKind::commit && head.mark.batch != head.batch) return false;
    if (!is_whole_blocks(head.position) || head.durable > head.position) return false;
    std::uint64_t data = 0;
    for (const RecordEntry& entry : head.entries) {
        if (entry.length == 0 || entry.length > record_payload_bytes_max) return false;
        if (!entry.zero) data += entry.length;
    }
    const std::uint64_t padded =
        (data + journal_block_bytes - 1) / journal_block_bytes * journal_block_bytes;
    return head.payload_bytes == padded && padded <= record_payload_bytes_max;
}

}  // namespace

Digest record_digest(ByteView block) {
    return *Digest::from(block.subspan(body_bytes, 16));
}

void seal_block(std::span<std::uint8_t> block) {
    DROVER_ASSERT(block.size() == journal_block_bytes);
    const Digest digest = digest_of(block.first(body_bytes));
    std::copy(digest.data.begin(), digest.data.end(), block.begin() + body_bytes);
}

Bytes encode_slot(const JournalHeader& header) {
    DROVER_ASSERT(header.undos.size() <= journal_undos_max);
    DROVER_ASSERT(header.first_life <= header.life);
    DROVER_ASSERT(header.applied.note.size() <= journal_note_bytes_max);
    Block out;
    out.copy(0, as_bytes(slot_magic));
    out.copy(8, header.journal.view());
    out.copy(24, header.key.view());
    out.number(40, header.serial);
    out.number(48, header.life);
    out.number(56, header.redo_bytes);
    out.number(64, header.undo_bytes);
    out.number(72, header.redo_tail);
    out.number(80, header.restoring.value_or(0));
    out.number(88, header.applied.batch);
    out.number(96, static_cast<std::uint64_t>(header.applied.taken_micros));
    out.number(104, header.points_max, 4);
    out.number(108, static_cast<std::uint64_t>(header.mode), 1);
    out.number(109,
               (header.restoring ? 1U : 0U) | label_of(header.applied) << 1 |
                   (header.is_frozen ? 16U : 0U),
               1);
    out.number(110, header.undos.size(), 2);
    out.number(112, header.applied.note.size(), 2);
    out.number(116, header.life - header.first_life);
    std::size_t at = undos_at;
    for (const UndoExtent& undo : header.undos) {
        out.number(at, undo.before.batch);
        out.number(at + 8, static_cast<std::uint64_t>(undo.before.taken_micros));
        out.number(at + 16, undo.position);
        out.number(at + 24, undo.bytes);
        out.number(at + 32, undo.records);
        out.copy(at + 40, undo.content.view());
        out.number(at + 56, label_of(undo.before), 1);
        out.number(at + 60, undo.batches, 4);
        at += undo_entry_bytes;
    }
    out.copy(slot_note_at, header.applied.note);
    return out.sealed();
}

std::optional<JournalHeader> parse_slot(ByteView block) {
    if (!is_sealed(block, slot_magic)) return std::nullopt;
    const std::uint16_t undos = get_u16(block, 110);
    const std::uint16_t note = get_u16(block, 112);
    if (undos > journal_undos_max || note > journal_note_bytes_max || block[108] > 1 ||
        get_u64(block, 116) > get_u64(block, 48))
        return std::nullopt;
    JournalHeader out;
    out.journal = *Uuid::from(block.subspan(8, 16));
    out.key = *Digest::from(block.subspan(24, 16));
    out.serial = get_u64(block, 40);
    out.life = get_u64(block, 48);
    out.first_life = out.life - get_u64(block, 116);
    out.is_frozen = (block[109] & 16) != 0;
    out.redo_bytes = get_u64(block, 56);
    out.undo_bytes = get_u64(block, 64);
    out.redo_tail = get_u64(block, 72);
    if ((block[109] & 1) != 0) out.restoring = get_u64(block, 80);
    out.applied.batch = get_u64(block, 88);
    out.applied.taken_micros = static_cast<WallMicros>(get_u64(block, 96));
    out.points_max = get_u32(block, 104);
    out.mode = static_cast<JournalMode>(block[108]);
    take_label(out.applied, block[109] >> 1);
    for (std::size_t i = 0; i < undos; ++i)
        out.undos.push_back(
            undo_of(block.subspan(undos_at + i * undo_entry_bytes, undo_entry_bytes)));
    const ByteView text = block.subspan(slot_note_at, note);
    out.applied.note.assign(text.begin(), text.end());
    // Whatever this version does not know makes the bytes differ.
    const bool is_known = std::ranges::equal(encode_slot(out), block);
    if (!is_known || !is_possible(out)) return std::nullopt;
    return out;
}

Bytes encode_record_head(const RecordHead& head) {
    DROVER_ASSERT(head.entries.size() <= record_entries_max);
    DROVER_ASSERT(head.mark.note.size() <= journal_note_bytes_max);
    Block out;
    out.copy(0, as_bytes(record_magic));
    out.number(8, static_cast<std::uint64_t>(head.kind), 1);
    out.number(9, label_of(head.mark), 1);
    out.number(10, head.entries.size(), 2);
    out.number(12, head.payload_bytes, 4);
    out.copy(16, head.journal.view());
    out.number(32, head.life);
    out.number(40, head.position);
    out.number(48, head.batch);
    out.number(56, head.durable);
    out.copy(64, head.content.view());
    out.number(80, head.records);
    out.number(88, static_cast<std::uint64_t>(head.mark.taken_micros));
    out.number(96, head.mark.note.size(), 2);
    out.copy(entries_at, head.mark.note);
    std::size_t at = entries_at;
    for (const RecordEntry& entry : head.entries) {
        out.number(at, entry.offset);
        out.number(at + 8, entry.length, 4);
        out.number(at + 12, entry.disk, 2);
        out.number(at + 14, entry.zero ? 1 : 0, 1);
        at += entry_bytes;
    }
    return out.sealed();
}

std::optional<RecordHead> parse_record_head(ByteView block) {
    if (!is_sealed(block, record_magic)) return std::nullopt;
    const std::uint16_t count = get_u16(block, 10);
    const std::uint16_t note = get_u16(block, 96);
    if (block[8] < 1 || block[8] > 4 || count > record_entries_max ||
        note > journal_note_bytes_max || (note > 0 && count > 0))
        return std::nullopt;
    RecordHead out;
    out.kind = static_cast<RecordKind>(block[8]);
    out.payload_bytes = get_u32(block, 12);
    out.journal = *Uuid::from(block.subspan(16, 16));
    out.life = get_u64(block, 32);
    out.position = get_u64(block, 40);
    out.batch = get_u64(block, 48);
    out.durable = get_u64(block, 56);
    out.content = *Digest::from(block.subspan(64, 16));
    out.records = get_u64(block, 80);
    take_label(out.mark, block[9]);
    out.mark.taken_micros = static_cast<WallMicros>(get_u64(block, 88));
    const ByteView text = block.subspan(entries_at, note);
    out.mark.note.assign(text.begin(), text.end());
    if (out.kind == RecordKind::commit) out.mark.batch = out.batch;
    for (std::size_t i = 0; i < count; ++i) {
        const ByteView entry = block.subspan(entries_at + i * entry_bytes, entry_bytes);
        out.entries.push_back(
            {get_u64(entry, 0), get_u32(entry, 8), get_u16(entry, 12), entry[14] != 0});
    }
    const bool is_known = std::ranges::equal(encode_record_head(out), block);
    if (!is_known || !is_possible(out)) return std::nullopt;
    return out;
}

}  // namespace drover::replicator
