#include "replicator/journal_store.h"

#include "base/assert.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// Where a position of a ring lies in the file, and how far it is to the ring's end.
struct Place {
    std::uint64_t offset = 0;
    std::uint64_t room = 0;
};

Place place_of(const JournalHeader& header, JournalRing ring, std::uint64_t position) {
    const bool is_redo = ring == JournalRing::redo;
    const std::uint64_t bytes = is_redo ? header.redo_bytes : header.undo_bytes;
    const std::uint64_t start = journal_rings_at + (is_redo ? 0 : header.redo_bytes);
    const std::uint64_t at = position % bytes;
    return {start + at, bytes - at};
}

/// nullopt unless it is of this journal and was written for this place; the undo ring keeps what
/// earlier lives wrote.
std::optional<RecordHead> head_at(const JournalHeader& header, JournalRing ring,
                                  std::uint64_t position, ByteView block) {
    auto head = parse_record_head(block);
    if (!head) return head;
    const bool is_redo = ring == JournalRing::redo;
    const bool is_here = head->journal == header.journal && head->position == position &&
                         is_redo == (head->kind <= RecordKind::commit);
    const bool is_of_life =
        !is_redo || (head->life >= header.first_life && head->life <= header.life);
    if (!is_here || !is_of_life) head.reset();
    return head;
}

}  // namespace

Error journal_corrupt(const std::string& why) {
    return Error(Errc::corrupt, "journal_corrupt", "the target's journal is damaged: " + why,
                 "the target's disks as they are; nothing more is written to them",
                 "find out what damaged the journal's file system; the disks are compared as a "
                 "whole before they are used");
}

// ---- RecordBuilder ----

RecordBuilder::RecordBuilder()
    : memory_(journal_block_bytes + record_payload_bytes_max) {}

bool RecordBuilder::has_room_for(const RecordEntry& entry) const {
    const std::size_t bytes = entry.zero ? 0 : entry.length;
    return entries_.size() < record_entries_max && bytes <= record_payload_bytes_max - data_bytes_;
}

void RecordBuilder::add(const RecordEntry& entry, ByteView data) {
    DROVER_ASSERT(has_room_for(entry) && data.size() == (entry.zero ? 0 : entry.length));
    const auto place = memory_.first(journal_block_bytes + data_bytes_ + data.size());
    std::copy(data.begin(), data.end(), place.end() - static_cast<std::ptrdiff_t>(data.size()));
    data_bytes_ += data.size();
    entries_.push_back(entry);
}

std::uint64_t RecordBuilder::bytes() const {
    const std::size_t blocks = (data_bytes_ + journal_block_bytes - 1) / journal_block_bytes;
    return (1 + blocks) * journal_block_bytes;
}

ByteView RecordBuilder::payload() const {
    return memory_.first(journal_block_bytes + data_bytes_).subspan(journal_block_bytes);
}

ByteView RecordBuilder::finish(RecordHead& head) {
    const auto whole = memory_.first(bytes());
    const auto payload = whole.subspan(journal_block_bytes);
    std::fill(payload.begin() + static_cast<std::ptrdiff_t>(data_bytes_), payload.end(), 0);
    head.entries = entries_;
    head.payload_bytes = static_cast<std::uint32_t>(payload.size());
    head.content = digest_of(payload);
    const Bytes encoded = encode_record_head(head);
    std::ranges::copy(encoded, whole.begin());
    return whole;
}

void RecordBuilder::clear() {
    data_bytes_ = 0;
    entries_.clear();
}

// ---- slots ----

Result<std::optional<JournalHeader>> JournalStore::newest_slot() {
    std::optional<JournalHeader> newest;
    for (std::size_t slot = 0; slot < 2; ++slot) {
        const auto block = head_.first(journal_block_bytes);
        TRY_VOID(file_.read(slot * journal_block_bytes, block));
        auto found = parse_slot(block);
        if (!found || found->serial % 2 != slot) continue;
        if (!newest || found->serial > newest->serial) newest = std::move(found);
    }
    return newest;
}

Result<JournalHeader> JournalStore::open() {
    if (file_bytes() < journal_rings_at) return journal_corrupt("the file is too short");
    TRY(const auto newest, newest_slot());
    if (!newest) return journal_corrupt("no intact slot");
    const std::uint64_t room = file_bytes() - journal_rings_at;
    if (newest->redo_bytes > room || newest->undo_bytes > room - newest->redo_bytes)
        return journal_corrupt("the file is shorter than it was");
    TRY_VOID(file_.write(newest->serial % 2 * journal_block_bytes, encode_slot(*newest)));
    TRY_VOID(file_.flush());
    return *newest;
}

Result<> JournalStore::store(JournalHeader& header) {
    ++header.serial;
    TRY_VOID(file_.write(header.serial % 2 * journal_block_bytes, encode_slot(header)));
    return file_.flush();
}

Result<> JournalStore::format(JournalHeader& header) {
    // Over the older slot first: a crash in between leaves the earlier journal or this one.
    TRY(const auto earlier, newest_slot());
    if (earlier) header.serial = earlier->serial;
    TRY_VOID(store(header));
    return store(header);
}

// ---- records ----

Result<> JournalStore::read_bytes(const JournalHeader& header, JournalRing ring,
                                  std::uint64_t position, std::span<std::uint8_t> out) {
    while (!out.empty()) {
        const Place place = place_of(header, ring, position);
        const auto piece = out.first(std::min<std::uint64_t>(out.size(), place.room));
        TRY_VOID(file_.read(place.offset, piece));
        out = out.subspan(piece.size());
        position += piece.size();
    }
    return {};
}

Result<bool> JournalStore::was_durable(const JournalHeader& header, std::uint64_t position,
                                       std::uint64_t end) {
    for (std::uint64_t at = position; at < end; at += record_payload_bytes_max) {
        const auto piece =
            buffer_.first(std::min<std::uint64_t>(end - at, record_payload_bytes_max));
        TRY_VOID(read_bytes(header, JournalRing::redo, at, piece));
        for (std::size_t block = 0; block < piece.size(); block += journal_block_bytes) {
            const auto head = head_at(header, JournalRing::redo, at + block,
                                      piece.subspan(block, journal_block_bytes));
            if (head && head->durable > position) return true;
        }
    }
    return false;
}

Result<std::optional<StoredRecord>> JournalStore::read(const JournalHeader& header,
                                                       JournalRing ring, std::uint64_t position) {
    const auto block = head_.first(journal_block_bytes);
    TRY_VOID(read_bytes(header, ring, position, block));
    auto head = head_at(header, ring, position, block);
    const std::uint64_t bytes = ring == JournalRing::redo ? header.redo_bytes : header.undo_bytes;
    if (!head || head->bytes() > bytes) return std::optional<StoredRecord>();
    StoredRecord record;
    record.digest = record_digest(block);
    const auto payload = buffer_.first(head->payload_bytes);
    TRY_VOID(read_bytes(header, ring, position + journal_block_bytes, payload));
    const bool has_payload = !head->entries.empty();
    if (has_payload && digest_of(payload) != head->content) return std::optional<StoredRecord>();
    record.payload = payload;
    record.head = std::move(*head);
    return std::optional<StoredRecord>(std::move(record));
}

Result<> JournalStore::write(const JournalHeader& header, JournalRing ring, std::uint64_t position,
                             ByteView bytes) {
    while (!bytes.empty()) {
        const Place place = place_of(header, ring, position);
        const ByteView piece = bytes.first(std::min<std::uint64_t>(bytes.size(), place.room));
        TRY_VOID(file_.write(place.offset, piece));
        bytes = bytes.subspan(piece.size());
        position += piece.size();
    }
    return {};
}

Result<> JournalStore::rewrite(const JournalHeader& header, JournalRing ring,
                               const RecordPlace& place) {
    const AlignedBuffer copy(place.bytes);
    TRY_VOID(read_bytes(header, ring, place.position, copy.first(place.bytes)));
    return write(header, ring, place.position, copy.first(place.bytes));
}

}  // namespace drover::replicator
