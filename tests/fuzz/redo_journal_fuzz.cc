/// Any bytes as a slot or a record of a redo journal, as they are and with a digest that fits:
/// refused, or exactly what encoding gives back. And a journal with bytes of it changed: opened or
/// refused.
#include "base/assert.h"
#include "replicator/redo_journal.h"

#include <algorithm>

using namespace drover;
using namespace drover::replicator;

namespace {

constexpr std::uint64_t ring_bytes = 16 * journal_block_bytes;
constexpr std::uint64_t disk_bytes = 8 * journal_block_bytes;

void parse(ByteView block) {
    if (const auto slot = parse_slot(block))
        DROVER_ASSERT(std::ranges::equal(encode_slot(*slot), block));
    if (const auto record = parse_record_head(block))
        DROVER_ASSERT(std::ranges::equal(encode_record_head(*record), block));
}

/// Three points and a batch that is committed and not applied.
Bytes sound_journal() {
    MemoryDevice file(journal_rings_at + 2 * ring_bytes);
    MemoryDevice disk(disk_bytes);
    const RedoJournal::Disks disks{&disk};
    const JournalShape shape{Uuid(), journal_key(JobId(), disks), ring_bytes, ring_bytes, 4};
    DROVER_ASSERT(RedoJournal::format(file, shape, BatchMark()).has_value());
    auto journal = RedoJournal::open(file, disks, shape.key);
    DROVER_ASSERT(journal.has_value());
    const Bytes data(journal_block_bytes, 7);
    for (std::uint64_t batch = 1; batch < 5; ++batch) {
        const RecordEntry range{batch * journal_block_bytes, journal_block_bytes, 0, false};
        DROVER_ASSERT((*journal)->add({batch, range, data}).has_value());
        DROVER_ASSERT((*journal)->commit({batch, true, 1, Bytes(3)}).has_value());
        if (batch < 4) DROVER_ASSERT((*journal)->apply_all().has_value());
    }
    return file.contents();
}

/// Triples of a place (16 bits, in bytes) and a value; every block changed gets a digest that fits
/// if the first byte is odd.
void change(Bytes& journal, ByteView changes, bool seals) {
    for (; changes.size() >= 3; changes = changes.subspan(3)) {
        const std::size_t at = get_u16(changes, 0) * 4U % journal.size();
        journal[at + changes[2] % 4] ^= static_cast<std::uint8_t>(changes[2] | 1);
        const auto block = std::span(journal).subspan(
            at / journal_block_bytes * journal_block_bytes, journal_block_bytes);
        if (seals) seal_block(block);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Bytes sound = sound_journal();
    const ByteView bytes(data, size);
    parse(bytes);
    Bytes block(bytes.begin(), bytes.end());
    block.resize(journal_block_bytes);
    seal_block(block);
    parse(block);
    MemoryDevice file(sound.size());
    file.contents() = sound;
    if (!bytes.empty()) change(file.contents(), bytes.subspan(1), (bytes[0] & 1) != 0);
    MemoryDevice disk(disk_bytes);
    const RedoJournal::Disks disks{&disk};
    auto journal = RedoJournal::open(file, disks, journal_key(JobId(), disks));
    if (!journal) return 0;
    for (const BatchMark& point : (*journal)->points()) (void)(*journal)->restore(point.batch);
    return 0;
}
