/// The head file: how far the log had got, kept outside RocksDB, because RocksDB alone opens
/// without complaint after its last write-ahead log was cut on a record boundary or removed.
///
///   slot 0 (4 KiB) | slot 1 (4 KiB)     written in turn, so one of them is always whole
///
/// The layout of a slot is in format.md. One thread uses an instance; all calls block.
#pragma once

#include "base/file.h"
#include "eventlog/log.h"

#include <filesystem>
#include <optional>

namespace drover::eventlog {

constexpr std::size_t head_slot_bytes = 4096;

struct HeadSlot {
    std::uint64_t generation = 0;  ///< counts writes; the greater one of two valid slots counts
    Uuid lineage;
    Seq seq = 0;
    Hash hash;
    Epoch epoch = 0;

    bool operator==(const HeadSlot&) const = default;
};

[[nodiscard]] Bytes encode_head_slot(const HeadSlot& slot);
/// nullopt unless `bytes` is one whole slot of this version with the right checksum.
[[nodiscard]] std::optional<HeadSlot> decode_head_slot(ByteView bytes);

class HeadFile {
  public:
    /// A new file, or a new beginning of an old one, saying "no event of `lineage` yet".
    [[nodiscard]] static Result<> create(const std::filesystem::path& path, const Uuid& lineage);

    /// The newest valid slot, nullopt when there is none. A missing file has none. Errors: io.
    [[nodiscard]] static Result<std::optional<HeadSlot>> read(const std::filesystem::path& path);

    /// For writing. Errors: not_found, corrupt (no valid slot), io.
    [[nodiscard]] static Result<HeadFile> open(const std::filesystem::path& path);

    /// pwrite and fdatasync of the older (or damaged) slot. After an error the file must not be
    /// written again: a second fdatasync would report success for pages the first one lost.
    [[nodiscard]] Result<> write(const Head& head);

    /// What the last successful write (or open) left.
    [[nodiscard]] const HeadSlot& slot() const { return slot_; }

    /// Whether a write of `head` would change anything.
    [[nodiscard]] bool says(const Head& head) const;

  private:
    HeadFile(std::filesystem::path path, Fd fd, const HeadSlot& slot, std::size_t next)
        : path_(std::move(path)),
          fd_(std::move(fd)),
          slot_(slot),
          next_(next) {}

    std::filesystem::path path_;
    Fd fd_;
    HeadSlot slot_;
    std::size_t next_;  ///< index of the slot to write
};

}  // namespace drover::eventlog
