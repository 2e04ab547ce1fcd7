/// The bytes of a redo journal: what a target keeps on another disk than those that it writes.
///
///   | slot 0 | slot 1 | redo ring ........................ | undo ring ................. |
///     4 KiB    4 KiB
///
/// The newer intact *slot* says how things stand. A ring is read from where the slot says:
///
///   redo   frames │ frames │ COMMIT of 7 │ frames │ COMMIT of 8 │ frames (open: dropped by a
///   crash) undo   undo of 6 ... END │ undo of 7 ... END                  (what 6 and 7 overwrote)
///
/// A *record* is a head of 4 KiB and a payload of whole blocks, XXH3-128 over each. Its position
/// counts bytes since the life began, modulo the ring's size. A *life* begins whenever the journal
/// is opened, drops what is open or goes back to a point; records of other lives do not count, so
/// nothing left over can pass for what was written last. While the journal is frozen, a life goes
/// on behind the last COMMIT of the one before. Pure; the layout is in journal_format.cc.
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "replicator/digest.h"
#include "replicator/peer_message.h"

#include <optional>
#include <span>
#include <vector>

namespace drover::replicator {

constexpr std::size_t journal_block_bytes = 4096;
constexpr std::uint64_t journal_rings_at = 2 * journal_block_bytes;
constexpr std::size_t record_payload_bytes_max = 1U << 20;
constexpr std::size_t record_entries_max = 160;
/// Points and what lies between them; a slot has room for as many.
constexpr std::size_t journal_undos_max = 32;
constexpr std::size_t journal_note_bytes_max = 1024;

/// What is said of a batch: at its COMMIT, and of the disks once it was applied.
struct BatchMark {
    std::uint64_t batch = 0;
    bool is_point = false;  ///< with it the disks are what a power cut of the source would leave
    WallMicros taken_micros = 0;
    Bytes note;  ///< the owner's own, at most journal_note_bytes_max; kept for the last batch only
    PointKind kind = PointKind::crash;  ///< of a point

    bool operator==(const BatchMark&) const = default;
};

/// Undo records of batches that followed one another: played from the last batch to the first, they
/// take the disks back to what `before` names.
struct UndoExtent {
    BatchMark before;            ///< without its note
    std::uint64_t position = 0;  ///< in the undo ring
    std::uint64_t bytes = 0;
    std::uint64_t records = 0;  ///< END records are not counted
    Digest content;  ///< what the END records say: XOR, each of which is over its batch's records
    std::uint32_t batches = 1;  ///< as many END records

    bool operator==(const UndoExtent&) const = default;
};

struct JournalHeader {
    Uuid journal;  ///< made when it was formatted
    Digest key;    ///< of the job and its disks
    std::uint64_t serial = 0;
    std::uint64_t life = 0;
    /// The first of the lives whose records count; less than `life` only after a test
    /// (redo_journal.h).
    std::uint64_t first_life = 0;
    JournalMode mode = JournalMode::direct;
    bool is_frozen = false;  ///< nothing may be applied
    std::uint64_t redo_bytes = 0;
    std::uint64_t undo_bytes = 0;
    std::uint32_t points_max = 0;
    BatchMark applied;  ///< in direct mode the disks may hold parts of later batches
    std::uint64_t redo_tail = 0;
    std::optional<std::uint64_t> restoring;  ///< the batch that the disks are taken back to
    std::vector<UndoExtent> undos;           ///< oldest first, without a gap

    bool operator==(const JournalHeader&) const = default;
};

/// Exactly journal_block_bytes.
[[nodiscard]] Bytes encode_slot(const JournalHeader& header);
/// nullopt unless it is whole and says nothing impossible.
[[nodiscard]] std::optional<JournalHeader> parse_slot(ByteView block);

enum class RecordKind : std::uint8_t { frames = 1, commit = 2, undo = 3, undo_end = 4 };

/// A range of a disk. Its content follows the others' in the payload, unless it is zero.
struct RecordEntry {
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::uint16_t disk = 0;
    bool zero = false;

    bool operator==(const RecordEntry&) const = default;
};

struct RecordHead {
    RecordKind kind = RecordKind::frames;
    Uuid journal;
    std::uint64_t life = 0;
    std::uint64_t position = 0;
    std::uint64_t batch = 0;
    /// Everything below this position of the ring was durable when the record was made: proof of
    /// a loss if it is not there any more.
    std::uint64_t durable = 0;
    std::uint32_t payload_bytes = 0;
    Digest content;             ///< of the payload; of a COMMIT or END: over the records' digests
    std::uint64_t records = 0;  ///< of a COMMIT or END: how many
    BatchMark mark;             ///< of a COMMIT
    std::vector<RecordEntry> entries;

    [[nodiscard]] std::uint64_t bytes() const { return journal_block_bytes + payload_bytes; }

    bool operator==(const RecordHead&) const = default;
};

/// Exactly journal_block_bytes, ending in the digest of what is before it.
[[nodiscard]] Bytes encode_record_head(const RecordHead& head);
/// nullopt unless it is whole and says nothing impossible; the payload is not looked at.
[[nodiscard]] std::optional<RecordHead> parse_record_head(ByteView block);
/// The digest at the end of an encoded head: it covers the payload through `content`.
[[nodiscard]] Digest record_digest(ByteView block);

/// Replaces the digest at the end of a block. For tests and fuzzing.
void seal_block(std::span<std::uint8_t> block);

}  // namespace drover::replicator
