/// Small files that must survive a crash: keys, markers, checkpoints, settings, journals. Blocking.
/// The simulator links its own file.cc in place of this one's: nothing here may be bypassed by what
/// is to run there.
#pragma once

#include "base/fd.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace drover {

/// Whole contents. Errors: not_found; invalid when larger than `size_max`; io.
[[nodiscard]] Result<Bytes> read_file(const std::filesystem::path& path,
                                      std::size_t size_max = 64U << 20);
[[nodiscard]] Result<std::string> read_text(const std::filesystem::path& path,
                                            std::size_t size_max = 64U << 20);

/// Replaces `path` so that after a crash it holds the old or the new contents, never a mixture:
/// temporary file, fsync, rename, fsync of the directory. `mode` as in chmod(2).
[[nodiscard]] Result<> write_file_durably(const std::filesystem::path& path, ByteView contents,
                                          unsigned mode = 0600);

/// Removes `path` and syncs its directory. A missing file is a success.
[[nodiscard]] Result<> remove_file_durably(const std::filesystem::path& path);

/// Creates the directory and its parents (mode 0700 for the last) and syncs the parent.
[[nodiscard]] Result<> make_directory_durably(const std::filesystem::path& path);

/// fsync of a directory, so that a created, renamed or removed entry survives.
[[nodiscard]] Result<> sync_directory(const std::filesystem::path& path);

/// Paths of the entries of `directory` whose names do not end in ".new" (a write that a crash cut
/// short), in order. A missing directory has none.
[[nodiscard]] Result<std::vector<std::filesystem::path>> list_files(
    const std::filesystem::path& directory);

/// Removes the directory with everything in it, and syncs its parent.
[[nodiscard]] Result<> remove_directory_durably(const std::filesystem::path& path);

/// An existing file that only grows. Not thread-safe.
class AppendFile {
  public:
    /// Errors: not_found, denied, io.
    [[nodiscard]] static Result<AppendFile> open(const std::filesystem::path& path);

    /// Durable when it returns. After an error nobody knows how much of it the file holds. Blocks
    /// for one fdatasync.
    [[nodiscard]] Result<> append(ByteView contents);

  private:
    AppendFile(Fd fd, std::filesystem::path path)
        : fd_(std::move(fd)),
          path_(std::move(path)) {}

    Fd fd_;
    std::filesystem::path path_;
};

}  // namespace drover
