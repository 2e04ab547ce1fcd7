/// Reads and writes a redo journal's slots and records on its file. Knows the layout, not the
/// order in which things may happen: that is redo_journal.h. Not thread-safe.
#pragma once

#include "replicator/aligned_buffer.h"
#include "replicator/device.h"
#include "replicator/journal_format.h"

#include <optional>
#include <vector>

namespace drover::replicator {

enum class JournalRing : std::uint8_t { redo, undo };

/// A piece of a ring that holds one record.
struct RecordPlace {
    std::uint64_t position = 0;
    std::uint64_t bytes = 0;
};

struct StoredRecord {
    RecordHead head;
    Digest digest;
    ByteView payload;  ///< valid until the next read
};

/// Collects ranges until a record is full.
class RecordBuilder {
  public:
    RecordBuilder();

    [[nodiscard]] bool is_empty() const { return entries_.empty(); }

    [[nodiscard]] bool has_room_for(const RecordEntry& entry) const;
    /// `data` has the entry's length, or is empty for a zero entry.
    void add(const RecordEntry& entry, ByteView data);

    [[nodiscard]] const std::vector<RecordEntry>& entries() const { return entries_; }

    /// Of the whole record, as it stands.
    [[nodiscard]] std::uint64_t bytes() const;
    [[nodiscard]] ByteView payload() const;
    /// The record's bytes, valid until the next add(). `head` gets entries, length and digest.
    [[nodiscard]] ByteView finish(RecordHead& head);
    void clear();

  private:
    AlignedBuffer memory_;
    std::size_t data_bytes_ = 0;
    std::vector<RecordEntry> entries_;
};

class JournalStore {
  public:
    explicit JournalStore(BlockDevice& file)
        : file_(file),
          buffer_(record_payload_bytes_max),
          head_(journal_block_bytes) {}

    /// The newest intact slot, written once more and flushed: a flush that failed when it was
    /// written may have left it where no crash finds it. Errors: io; corrupt "journal_corrupt".
    [[nodiscard]] Result<JournalHeader> open();
    /// Gives the header the next serial and makes it durable in the older slot.
    [[nodiscard]] Result<> store(JournalHeader& header);
    /// Both slots, durably: what was there before is void.
    [[nodiscard]] Result<> format(JournalHeader& header);

    /// nullopt if no intact record of this journal lies there, for the redo ring of a life that
    /// counts.
    [[nodiscard]] Result<std::optional<StoredRecord>> read(const JournalHeader& header,
                                                           JournalRing ring,
                                                           std::uint64_t position);
    /// True if a record of such a life in the redo ring between `position` and `end` says that what
    /// lies at `position` was durable when it was written.
    [[nodiscard]] Result<bool> was_durable(const JournalHeader& header, std::uint64_t position,
                                           std::uint64_t end);
    /// Not durable before flush(). `bytes`: a finished record.
    [[nodiscard]] Result<> write(const JournalHeader& header, JournalRing ring,
                                 std::uint64_t position, ByteView bytes);
    /// Writes what is read there once more.
    [[nodiscard]] Result<> rewrite(const JournalHeader& header, JournalRing ring,
                                   const RecordPlace& place);

    [[nodiscard]] Result<> flush() { return file_.flush(); }

    [[nodiscard]] std::uint64_t file_bytes() const { return file_.facts().size_bytes; }

  private:
    [[nodiscard]] Result<std::optional<JournalHeader>> newest_slot();
    [[nodiscard]] Result<> read_bytes(const JournalHeader& header, JournalRing ring,
                                      std::uint64_t position, std::span<std::uint8_t> out);

    BlockDevice& file_;
    AlignedBuffer buffer_;
    AlignedBuffer head_;
};

[[nodiscard]] Error journal_corrupt(const std::string& why);

}  // namespace drover::replicator
