/// Finds the one kind of damage to a table at which RocksDB aborts the process instead of refusing.
///
/// RocksDB reads the block of properties of a table before it verifies that block's checksum, and
/// the last bit of the block says whether it has a hash index. Properties have none; when the bit
/// is flipped, Debian's build of 7.8.3, which has its assertions on, aborts (DataBlockHashIndex),
/// at this start and at every further one.
///
///   table    ... | properties | index of such blocks | footer 53
///   footer   checksum type 1, place of the index of such blocks, place of the index of data
///   blocks,
///            zeros up to 41, version 4, magic number 8
#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <filesystem>
#include <optional>

namespace drover::eventlog {

/// Part of a file.
struct Extent {
    std::uint64_t at = 0;
    std::uint64_t size = 0;
};

/// Where a table's block of properties is; nullopt when the footer or the index of such blocks
/// cannot be understood, which RocksDB finds by itself. `meta_index` is the block that `footer`
/// names.
[[nodiscard]] std::optional<Extent> meta_index_extent(ByteView footer);
[[nodiscard]] std::optional<Extent> properties_extent(ByteView meta_index);

/// Errors: log_damaged, naming the table. Reads a few kilobytes of each table in `database`.
[[nodiscard]] Result<> guard_tables(const std::filesystem::path& database);

}  // namespace drover::eventlog
