/// The file that a redo journal lives in.
#pragma once

#include "replicator/device.h"

#include <filesystem>

namespace drover::replicator {

constexpr std::string_view journal_file_name = "redo.journal";

/// Success if a file in this directory is still there after a power cut: a local file system with
/// storage of its own. Errors: unsupported "journal_not_durable" (tmpfs, a network file system),
/// not_found, denied, io.
[[nodiscard]] Result<> check_journal_directory(const std::filesystem::path& directory);

/// A new file of zeroes in place of whatever was there; all of its blocks are allocated and
/// written, so that later writes change no metadata and find room. Blocks for as long as writing
/// it takes. Errors: as above; unavailable "journal_no_space" (nothing is left behind), io.
[[nodiscard]] Result<std::unique_ptr<BlockDevice>> make_journal_file(
    const std::filesystem::path& path, std::uint64_t bytes);

/// Errors: not_found, denied, io.
[[nodiscard]] Result<std::unique_ptr<BlockDevice>> open_journal_file(
    const std::filesystem::path& path);

}  // namespace drover::replicator
